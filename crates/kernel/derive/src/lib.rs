//! `#[derive(Record)]`: the description of a stored type, from the type itself.
//!
//! ```ignore
//! #[derive(Record)]
//! #[record(table = "organizations", entity = "organization", tenant = id, version = version,
//!          unique(organizations_slug_key = slug))]
//! pub struct Organization {
//!     #[record(key)]
//!     pub id: OrganizationId,
//!     #[record(plain, about = "its name in addresses")]
//!     pub slug: Slug,
//!     #[record(encrypted, subject = "the contact of the organization", about = "to reach them")]
//!     pub contact: Option<Personal<Email>>,
//!     pub version: i64,
//! }
//! ```
//!
//! On the type: `table`, `entity`, `tenant = field` (or `system`), `version = field`, `expires = field` (from when on the janitor removes it), `retention = account|audit|event|short`,
//! `unaudited`, `unique(constraint = field | (field, field))`. On a field: `key`, `plain` (a free text, document or bytes that is no
//! personal data; without it such a field does not compile), `encrypted`, `searchable`, `about = "why it is kept"`, `subject = "whose it is"` (both, where it is personal data).

use proc_macro::TokenStream;
use proc_macro2::{Ident, Span, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Meta, Result, Token, Visibility, parenthesized};

/// See the crate.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

#[derive(Default)]
struct Container {
    table: Option<LitStr>,
    entity: Option<LitStr>,
    tenant: Option<Ident>,
    system: bool,
    version: Option<Ident>,
    expires: Option<Ident>,
    retention: Option<Ident>,
    unaudited: bool,
    unique: Vec<(Ident, Vec<Ident>)>,
}

#[derive(Default)]
struct Attributes {
    key: bool,
    plain: bool,
    encrypted: bool,
    searchable: bool,
    about: Option<LitStr>,
    subject: Option<LitStr>,
}

fn container(input: &DeriveInput) -> Result<Container> {
    let mut found = Container::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("record")) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?.to_string();
            match name.as_str() {
                "table" => found.table = Some(meta.value()?.parse()?),
                "entity" => found.entity = Some(meta.value()?.parse()?),
                "tenant" => found.tenant = Some(meta.value()?.parse()?),
                "system" => found.system = true,
                "version" => found.version = Some(meta.value()?.parse()?),
                "expires" => found.expires = Some(meta.value()?.parse()?),
                "retention" => found.retention = Some(meta.value()?.parse()?),
                "unaudited" => found.unaudited = true,
                "unique" => meta.parse_nested_meta(|unique| {
                    let constraint = unique.path.require_ident()?.clone();
                    let value = unique.value()?;
                    let columns = if value.peek(syn::token::Paren) {
                        let content;
                        parenthesized!(content in value);
                        Punctuated::<Ident, Token![,]>::parse_terminated(&content)?.into_iter().collect()
                    } else {
                        vec![value.parse()?]
                    };
                    found.unique.push((constraint, columns));
                    Ok(())
                })?,
                other => return Err(meta.error(format!("`{other}` is not an attribute of a record"))),
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn attributes(field: &Field) -> Result<Attributes> {
    let mut found = Attributes::default();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("record")) {
        let Meta::List(_) = &attribute.meta else {
            return Err(Error::new(attribute.span(), "expected #[record(…)]"));
        };
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?.to_string();
            match name.as_str() {
                "key" => found.key = true,
                "plain" => found.plain = true,
                "encrypted" => found.encrypted = true,
                "searchable" => found.searchable = true,
                "about" => found.about = Some(meta.value()?.parse()?),
                "subject" => found.subject = Some(meta.value()?.parse()?),
                other => return Err(meta.error(format!("`{other}` is not an attribute of a column"))),
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn expand(input: &DeriveInput) -> Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "a record is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(input.span(), "the fields of a record have names"));
    };
    let kernel = quote!(::stoa_kernel::store);
    let found = container(input)?;
    let name = &input.ident;
    let missing = |what: &str| Error::new(name.span(), format!("a record needs #[record({what})]"));
    let table = found.table.as_ref().ok_or_else(|| missing("table = \"…\""))?;
    let entity = found.entity.as_ref().ok_or_else(|| missing("entity = \"…\""))?;
    let fields: Vec<&Field> = fields.named.iter().collect();
    let index_of = |wanted: &Ident| {
        fields
            .iter()
            .position(|field| field.ident.as_ref() == Some(wanted))
            .ok_or_else(|| Error::new(wanted.span(), "there is no field of this name"))
    };
    let tenancy = match (&found.tenant, found.system) {
        (Some(tenant), false) => {
            let index = index_of(tenant)?;
            quote!(#kernel::Tenancy::Organization(#index))
        }
        (None, true) => quote!(#kernel::Tenancy::System),
        _ => return Err(missing("tenant = field, or system")),
    };
    let optional = |field: &Option<Ident>| match field {
        Some(field) => index_of(field).map(|index| quote!(::core::option::Option::Some(#index))),
        None => Ok(quote!(::core::option::Option::None)),
    };
    let (version, expires) = (optional(&found.version)?, optional(&found.expires)?);
    let retention = found.retention.unwrap_or_else(|| Ident::new("account", Span::call_site()));
    let retention = match retention.to_string().as_str() {
        "account" => quote!(Account),
        "audit" => quote!(Audit),
        "event" => quote!(Event),
        "short" => quote!(Short),
        _ => return Err(Error::new(retention.span(), "a retention is account, audit, event or short")),
    };
    let mut unique = Vec::new();
    for (constraint, columns) in &found.unique {
        let constraint = constraint.to_string();
        let columns = columns.iter().map(index_of).collect::<Result<Vec<_>>>()?;
        unique.push(quote!(#kernel::UniqueMeta { name: #constraint, columns: &[#(#columns),*] }));
    }
    let (mut columns, mut names, mut keys, mut checks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut idents, mut label) = (Vec::new(), None);
    for (index, field) in fields.iter().enumerate() {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "a field needs a name"))?;
        let attributes = attributes(field)?;
        let (kind, column) = (&field.ty, ident.to_string());
        let Attributes { plain, encrypted, searchable, about, subject, .. } = &attributes;
        let text = |text: &Option<LitStr>| text.as_ref().map_or_else(String::new, LitStr::value);
        let (about, subject) = (text(about), text(subject));
        let is_explained = !about.is_empty() && !subject.is_empty();
        if attributes.key {
            keys.push(index);
            label = Some(ident);
        }
        columns.push(quote!(#kernel::ColumnMeta {
            name: #column,
            kind: <#kind as #kernel::Field>::KIND,
            shown: <#kind as #kernel::Field>::SHOWN,
            nullable: <#kind as #kernel::Field>::NULLABLE,
            personal: <#kind as #kernel::Field>::PERSONAL,
            encrypted: #encrypted,
            searchable: #searchable,
            about: #about,
            subject: #subject,
        }));
        let message =
            format!("{name}::{column} can hold anything: wrap it in Personal, or say #[record(plain)]");
        checks.push(quote!(
            const _: () = ::core::assert!(#plain || !<#kind as #kernel::Field>::FREE || <#kind as #kernel::Field>::PERSONAL, #message);
        ));
        let message = format!(
            "{name}::{column} is personal: the data registry needs #[record(subject = \"whose\", about = \"why\")]"
        );
        checks.push(quote!(
            const _: () = ::core::assert!(!<#kind as #kernel::Field>::PERSONAL || #is_explained, #message);
        ));
        let constant = format_ident!("{}", column.to_uppercase());
        let doc = format!("The column `{column}`.");
        let visibility = if matches!(field.vis, Visibility::Inherited) { quote!() } else { quote!(pub) };
        names.push(quote!(#[doc = #doc] #visibility const #constant: #kernel::Column<Self, #kind> = #kernel::Column::new(#index);));
        idents.push(ident);
    }
    let label = label.ok_or_else(|| missing("key) on a field"))?;
    let audited = !found.unaudited;
    Ok(quote! {
        #(#checks)*
        impl #name {
            #(#names)*
        }
        impl #kernel::Record for #name {
            const META: &'static #kernel::RecordMeta = &#kernel::RecordMeta {
                table: #table,
                entity: #entity,
                columns: &[#(#columns),*],
                key: &[#(#keys),*],
                tenancy: #tenancy,
                version: #version,
                unique: &[#(#unique),*],
                audited: #audited,
                retention: #kernel::Retention::#retention,
                expires: #expires,
            };
            fn values(&self) -> ::std::vec::Vec<#kernel::Value> {
                ::std::vec![#(#kernel::Field::to_value(&self.#idents)),*]
            }
            fn from_values(values: ::std::vec::Vec<#kernel::Value>) -> ::core::result::Result<Self, #kernel::Corrupt> {
                let mut values = #kernel::Values::new(<Self as #kernel::Record>::META, values);
                ::core::result::Result::Ok(Self { #(#idents: values.field()?),* })
            }
            fn label(&self) -> ::std::string::String {
                ::std::string::ToString::to_string(&self.#label)
            }
        }
    })
}

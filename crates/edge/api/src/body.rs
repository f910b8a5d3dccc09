//! Bodies and pages: what they hold is declared once, for whoever reads the document and for whoever reads the request.

/// Declares a body: its fields, what the document says of them, and how each is read (`required`, `optional`, `nullable`, `value`).
macro_rules! body {
    ($(#[doc = $about:literal])* $name:ident as $schema:ident {
        $($(#[doc = $field_about:literal])* $kind:ident $field:ident($json:literal): $type:ty as $doc:ty [$($extra:tt)*],)*
    }) => {
        $(#[doc = $about])*
        #[derive(utoipa::ToSchema)]
        #[schema(as = $schema, rename_all = "camelCase")]
        pub(crate) struct $name {
            $($(#[doc = $field_about])* #[schema(value_type = $doc, $($extra)*)] pub(crate) $field: $type,)*
        }

        impl $name {
            /// Reads the body of a call; everything that is wrong is told at once.
            pub(crate) fn read(call: &$crate::call::Call) -> Result<Self, stoa_http::Problem> {
                let mut given = call.fields()?;
                $(let $field: Option<$type> = $crate::body::body!(@read $kind given $json);)*
                given.finish()?;
                match ($($field,)*) {
                    ($(Some($field),)*) => Ok(Self { $($field,)* }),
                    _ => Err(stoa_http::Problem::new("internal", "A field was lost.")),
                }
            }
        }
    };
    (@read required $given:ident $json:literal) => { $given.required($json) };
    (@read optional $given:ident $json:literal) => { Some($given.optional($json)) };
    (@read nullable $given:ident $json:literal) => { Some($given.nullable($json)) };
    (@read value $given:ident $json:literal) => { Some($given.value($json)) };
    (@read any $given:ident $json:literal) => { $given.any($json) };
}
/// Declares the page of a list, for whoever reads the document.
macro_rules! page {
    ($(#[doc = $about:literal])* $vis:vis $name:ident as $schema:ident: Vec<$view:ty> $items:literal) => {
        $(#[doc = $about])*
        #[derive(serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase")]
        #[schema(as = $schema)]
        $vis struct $name {
            #[doc = $items]
            items: Vec<$view>,
            /// Where the next page begins; null on the last.
            next_cursor: Option<String>,
            /// Whether there are more.
            has_more: bool,
            /// How many there are, where that was asked for.
            #[schema(required = false, nullable = false)]
            total: Option<i64>,
        }
    };
}

pub(crate) use {body, page};

//! The frame of the document: what holds for every operation.

use serde::Serialize;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

/// What went wrong: a problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProblemDocument {
    /// The address of the page about this code.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, for people.
    title: String,
    /// The status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// What it is, stable.
    code: String,
    /// What to search the logs for.
    trace_id: String,
    /// Everything that is wrong with the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldDocument>,
}

/// One thing that is wrong with a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct FieldDocument {
    /// A JSON Pointer into the body, or the name of a parameter.
    pointer: String,
    /// What, stable.
    code: String,
    /// What, for people.
    message: String,
}

/// The document before its operations.
pub(crate) fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Stoa")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Accounts, conversations, documents and work for an organization. Errors are problem documents (RFC 9457); lists are \
             paged by opaque cursors; changes take an Idempotency-Key and If-Match. Every request may carry X-Request-Id, traceparent, and \
             Stoa-Deadline-Ms, the milliseconds after which its answer is of no use any more.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme("operator", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)))
        .schema("ProblemDocument", ProblemDocument::schema())
        .schema("FieldDocument", FieldDocument::schema())
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new("operator", [""; 0])]))
        .build()
}

/// What any operation may answer, whatever it does.
const ANY: [(&str, &str); 7] = [
    ("400", "The request cannot be read."),
    ("401", "The operator token is missing or wrong."),
    ("429", "Too many requests in too short a time."),
    ("500", "A defect; the log has more under the trace id."),
    ("503", "Overloaded, starting, or the database cannot be reached."),
    ("504", "The deadline passed."),
    ("507", "The disk is full; reads go on."),
];

/// Adds to every operation what any of them may answer.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    let problem = |about: &str| {
        let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ProblemDocument"))));
        ResponseBuilder::new().description(about).content("application/problem+json", content).build()
    };
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
            .into_iter()
            .flatten();
        for operation in operations {
            for (status, about) in ANY {
                operation
                    .responses
                    .responses
                    .entry(status.to_owned())
                    .or_insert_with(|| RefOr::T(problem(about)));
            }
        }
    }
    document
}

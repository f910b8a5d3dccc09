//! The frame of the document: what holds for every operation.

use axum::http::Method;
use serde::Serialize;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::access::{Who, rule};

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
        .security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)))
        .security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))))
        .schema("ProblemDocument", ProblemDocument::schema())
        .schema("FieldDocument", FieldDocument::schema())
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([
            SecurityRequirement::new("bearer", [""; 0]),
            SecurityRequirement::new("key", [""; 0]),
        ]))
        .build()
}

/// What any operation may answer, whatever it does.
const ANY: [(&str, &str); 6] = [
    ("400", "The request cannot be read."),
    ("429", "Too many requests in too short a time."),
    ("500", "A defect; the log has more under the trace id."),
    ("503", "Overloaded, starting, or the database cannot be reached."),
    ("504", "The deadline passed."),
    ("507", "The disk is full; reads go on."),
];

/// What an operation may answer that is not for anybody.
const CREDENTIALED: [(&str, &str); 3] = [
    ("401", "The credential is missing, or not good any more."),
    ("403", "It is good, but does not allow this."),
    ("404", "There is none, or none that the caller may know of."),
];

/// What an operation may answer that takes a body.
const BODIED: [(&str, &str); 3] = [
    ("413", "The body is too large."),
    ("415", "The body is not JSON."),
    ("422", "Fields cannot be taken, or the idempotency key was used for another request."),
];

/// What an operation may answer that changes something.
const CHANGING: [(&str, &str); 3] = [
    ("409", "Something is in the way: its state, its name, or somebody else's change."),
    ("412", "It is at another version than `If-Match` names."),
    ("422", "Fields cannot be taken, or the idempotency key was used for another request."),
];

fn problem(about: &str) -> Response {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ProblemDocument"))));
    ResponseBuilder::new().description(about).content("application/problem+json", content).build()
}

/// Adds an answer that may come; one that the operation describes itself keeps its words, and is a problem document where it is none.
fn may_answer(operation: &mut Operation, answers: &[(&str, &str)]) {
    for (status, about) in answers {
        let answer = operation.responses.responses.entry((*status).to_owned());
        answer.or_insert_with(|| RefOr::T(problem(about)));
    }
}

fn header(name: &str, about: &str, pattern: Option<&str>) -> Parameter {
    let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).pattern(pattern);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(text.build()))
        .build()
}

fn takes(operation: &mut Operation, parameter: Parameter) {
    let parameters = operation.parameters.get_or_insert_default();
    let is_there = |own: &RefOr<Parameter>| matches!(own, RefOr::T(own) if own.name.eq_ignore_ascii_case(&parameter.name));
    if !parameters.iter().any(is_there) {
        parameters.push(RefOr::T(parameter));
    }
}

/// Adds to an operation what follows from its rule: who may call it, what it takes, what it may answer.
fn complete_one(method: &Method, path: &str, operation: &mut Operation) {
    // What describes an error without a body has the body of every error.
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer
            && status.starts_with(['4', '5'])
            && answer.content.is_empty()
        {
            *answer = problem(&answer.description);
        }
    }
    may_answer(operation, &ANY);
    let Some(rule) = rule(method, path) else { return };
    let is_anyones = rule.who == Who::Anyone;
    if is_anyones {
        operation.security = Some(Vec::new());
    } else {
        may_answer(operation, &CREDENTIALED);
        let mut needs = format!("For {}.", rule.who.about());
        if let Some(permission) = rule.who.permission() {
            needs = format!("{needs} Permission: `{permission}`.");
        }
        if rule.is_fresh {
            needs = format!("{needs} People must have authenticated within the last ten minutes.");
        }
        let about =
            operation.description.take().map_or_else(|| needs.clone(), |about| format!("{about}\n\n{needs}"));
        operation.description = Some(about);
    }
    if rule.who.permission().is_some() && !path.contains("{organization}") {
        takes(
            operation,
            header(
                "Stoa-Organization",
                "The organization: its id or slug; that of the key or the session without",
                None,
            ),
        );
    }
    if *method != Method::GET {
        may_answer(operation, &CHANGING);
        if !is_anyones {
            takes(
                operation,
                header(
                    "Idempotency-Key",
                    "Makes a retry safe: 1 to 255 visible ASCII characters",
                    Some("^[!-~]{1,255}$"),
                ),
            );
            takes(operation, header("If-Match", "The entity tag of the version to change", None));
        }
    }
    if operation.request_body.is_some() {
        may_answer(operation, &BODIED);
    }
    if is_anyones {
        may_answer(
            operation,
            &[
                ("401", "The credentials are not right."),
                ("403", "It is not allowed."),
                ("404", "There is none."),
                ("410", "It is over, or was used."),
            ],
        );
    }
    may_answer(operation, &[("410", "It is over, or was used.")]);
}

/// Adds to every operation what follows from the table of rules.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::PUT, &mut item.put),
            (Method::POST, &mut item.post),
            (Method::DELETE, &mut item.delete),
            (Method::PATCH, &mut item.patch),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                complete_one(&method, path, operation);
            }
        }
    }
    document
}

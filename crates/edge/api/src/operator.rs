//! The operator token: the one credential until there are accounts. `stoa serve` prints it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use stoa_http::Problem;
use stoa_http::observe::Seen;
use stoa_kernel::context::Context;

use crate::platform::Platform;

/// The hash of the token; the token itself is not kept.
#[derive(Clone)]
pub struct OperatorToken(blake3::Hash);

impl OperatorToken {
    /// The hash of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    /// Whether this is the token; takes the same time for every wrong one.
    fn is(&self, token: &str) -> bool {
        blake3::hash(token.as_bytes()) == self.0
    }
}

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorToken")
    }
}

/// A request of the operator, and the context that it works in.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) Context);

impl FromRequestParts<Arc<Platform>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Self, Problem> {
        let seen = *parts
            .extensions
            .get::<Seen>()
            .ok_or_else(|| Problem::new("internal", "The request was not seen."))?;
        let given =
            parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
        let token = given
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match token {
            Some(token) if platform.operator.is(token) => Ok(Self(platform.system(seen))),
            _ => Err(Problem::new(
                "not_authenticated",
                "Send the operator token: Authorization: Bearer <token>.",
            )
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"stoa\"")),
        }
    }
}

//! The conventions of the HTTP API, without any business: what every operation has, whatever it does.
//!
//! What it may not know: a context, an adapter, a driver.
//!
//! | start at | for |
//! |---|---|
//! | [`problem`] | errors as problem documents (RFC 9457) |
//! | [`observe`] | request ids, traces, deadlines, metrics, one log line, panics |
//! | [`shed`] | a bound on requests under way, and rate limits |
//! | [`fields`], [`params`] | bodies and queries, with every mistake told at once |
//! | [`etag`] | versions and preconditions (RFC 9110, section 13) |
//! | [`idempotency`] | one operation, however often it is sent |
//! | [`browser`] | cookies, and requests that other sites make browsers send |
//! | [`proxy`] | the address of the client, behind proxies |
//! | [`headers`] | security headers, CORS, compression |
#![deny(missing_docs)]

pub mod browser;
pub mod etag;
pub mod fields;
pub mod headers;
pub mod idempotency;
pub mod observe;
pub mod params;
pub mod problem;
pub mod proxy;
pub mod shed;

pub use problem::Problem;

//! Requests to somebody else, guarded against being turned on ourselves (server-side request forgery, OWASP A10:2021).
//!
//! ```text
//! parse once ─► https, no user info ─► resolve once ─► every address is public ─► connect to that very address ─► bounded answer
//! ```
//!
//! No redirects are followed and no proxy of the environment is used: both would lead past the check.
//!
//! What it may not know: who asks, and why.
#![deny(missing_docs)]

mod address;
mod fetch;
mod target;

pub use address::is_public;
pub use fetch::{Guarded, Resolve};
pub use ipnet::IpNet;

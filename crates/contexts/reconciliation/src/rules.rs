//! Rules: an ordered list of passes, read from YAML or JSON, or inferred.

mod amounts;
mod exact;
mod infer;
mod model;
mod parse;
mod schema;

pub use amounts::*;
pub use exact::Exact;
pub use infer::{InferOptions, infer};
pub use model::*;
pub(crate) use parse::nearest as nearest_name;
pub use parse::{RulesError, parse, to_yaml};
pub use schema::json_schema;

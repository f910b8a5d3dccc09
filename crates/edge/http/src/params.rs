//! Queries: every parameter is known, read once, and told about when it is wrong.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::Uri;

use crate::problem::{FieldProblem, Problem};

/// The parameters of a query.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
    wrong: Vec<FieldProblem>,
}

impl Params {
    /// Those of an address.
    #[must_use]
    pub fn of(uri: &Uri) -> Self {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        match query {
            Ok(pairs) => Self { pairs: pairs.0, wrong: Vec::new() },
            Err(_) => {
                let mut params = Self { pairs: Vec::new(), wrong: Vec::new() };
                params.refuse("", "the query cannot be read");
                params
            }
        }
    }

    fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.wrong.push(FieldProblem {
            pointer: name.to_owned(),
            code: "invalid_parameter",
            message: message.into(),
        });
    }

    /// The text of a parameter.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(given, _)| given == name)?;
        let (_, value) = self.pairs.swap_remove(at);
        if self.pairs.iter().any(|(given, _)| given == name) {
            self.refuse(name, "is given more than once");
        }
        Some(value)
    }

    /// A parameter, read as its type.
    pub fn read<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        text.parse().map_err(|error: T::Err| self.refuse(name, error.to_string())).ok()
    }

    /// `limit`: 1 to 100, 20 without.
    pub fn limit(&mut self) -> u32 {
        let Some(text) = self.text("limit") else { return 20 };
        match text.parse::<u32>() {
            Ok(limit @ 1..=100) => limit,
            _ => {
                self.refuse("limit", "a limit is a number from 1 to 100");
                20
            }
        }
    }

    /// Says that a parameter is wrong.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.refuse(name, message);
    }

    /// Whether everything was right, and nothing is left.
    ///
    /// # Errors
    /// `invalid_parameter`, with everything that is wrong.
    pub fn finish(mut self) -> Result<(), Problem> {
        let unknown: Vec<String> = self.pairs.drain(..).map(|(name, _)| name).collect();
        for name in unknown {
            if !self.wrong.iter().any(|one| one.pointer == name) {
                self.refuse(&name, "there is no parameter of this name");
            }
        }
        if self.wrong.is_empty() {
            return Ok(());
        }
        Err(Problem::new("invalid_parameter", "Parameters of the query cannot be taken.").with(self.wrong))
    }
}

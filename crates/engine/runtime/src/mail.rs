//! Mail as a port, and what is asked to be sent.

use serde::{Deserialize, Serialize};
use stoa_kernel::store::BoxFuture;

/// The queue and the kind of the job that sends a letter.
pub const SEND: (&str, &str) = ("mail", "mail.send");

/// A letter that is wanted: which one, to whom, and what it says. The payload of a job [`SEND`], sealed at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The name of the template.
    pub template: String,
    /// The address.
    pub to: String,
    /// What the template shows.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// A letter as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// The subject: one line.
    pub subject: String,
    /// The body as text.
    pub text: String,
    /// The body as HTML.
    pub html: String,
    /// Makes a repetition recognisable: the same for every attempt.
    pub id: String,
    /// Where whoever gets it chooses not to (RFC 2369), where they can.
    pub unsubscribe: Option<String>,
}

/// Why a letter was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// Trying again may help.
    Later(String),
    /// It never will: the address or the letter cannot be used.
    Never(String),
}

/// Sends letters.
pub trait Mailer: Send + Sync {
    /// Sends one. `Ok` when somebody else has taken it over.
    ///
    /// # Errors
    /// [`Unsent`].
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), Unsent>>;

    /// Whether letters can be sent.
    ///
    /// # Errors
    /// What does not work.
    fn ping(&self) -> BoxFuture<'_, Result<(), String>>;
}

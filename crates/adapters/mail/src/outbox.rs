//! Letters as files: what the embedded profile does with them. They can be read, and opened by any mail program.

use std::path::PathBuf;

use lettre::message::Mailbox;
use stoa_kernel::store::BoxFuture;
use stoa_runtime::mail::{Letter, Mailer, Unsent};

use crate::message::message;

/// A folder of letters, `<id>.eml`.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
    from: Mailbox,
}

impl Outbox {
    /// Letters from `from` in `folder`, which is made when there is one.
    ///
    /// # Errors
    /// When `from` is no mailbox.
    pub fn new(folder: PathBuf, from: &str) -> Result<Self, String> {
        let from = from.parse().map_err(|error| format!("\"{from}\": {error}"))?;
        Ok(Self { folder, from })
    }
}

impl Mailer for Outbox {
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), Unsent>> {
        Box::pin(async move {
            let text = message(&self.from, letter)?.formatted();
            let (folder, name) = (self.folder.clone(), format!("{}.eml", letter.id));
            let written = tokio::task::spawn_blocking(move || {
                std::fs::create_dir_all(&folder)?;
                // Whole or not at all: whoever looks into the folder never reads half a letter.
                let draft = folder.join(format!(".{name}"));
                std::fs::write(&draft, text)?;
                std::fs::rename(draft, folder.join(name))
            });
            let written = written.await.map_err(|error| Unsent::Later(error.to_string()))?;
            written.map_err(|error| Unsent::Later(error.to_string()))?;
            tracing::info!(letter = %letter.id, "a letter lies in the outbox");
            Ok(())
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

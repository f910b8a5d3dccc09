//! The commands that ask a running platform, as a person: `stoa login`, `org`, `user`, `member`, `invite`, `key`, `session`, `flag`, `job`, `dlq`, `queue`, `schedule`, `run`, `event`, `webhook`, `notification`, `audit`.

mod ask;
mod commands;
mod events;
mod login;
mod notifications;
mod runs;
mod schedules;
mod table;
mod webhooks;
mod work;

use crate::cli::client::ClientCommand;
use crate::failure::{Exit, Failure};

/// Does what a command says.
pub(crate) fn run(command: &ClientCommand) -> Result<Exit, Failure> {
    match command {
        ClientCommand::Login { client, password_stdin } => login::login(client, password_stdin.as_deref()),
        ClientCommand::Logout { client } => login::logout(client),
        other => commands::run(other),
    }
}

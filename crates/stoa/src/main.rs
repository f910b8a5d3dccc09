//! The `stoa` binary: command line, configuration, lifecycle. The only composition root.

mod cli;
mod client;
mod failure;
mod inspect;
mod open;
mod output;
mod platform;
mod progress;
mod reconcile;
mod schema;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::failure::{Exit, Failure};

fn main() -> ExitCode {
    // The one provider of cryptography, for every connection with TLS. It is set once, so this cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli::Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

fn run(cli: cli::Cli) -> Result<Exit, Failure> {
    if cli.command.keeps_data() {
        // What the platform keeps is for its user alone, whatever the shell says.
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    }
    match cli.command {
        cli::Command::Reconcile(arguments) => reconcile::run(&arguments),
        cli::Command::Inspect(arguments) => inspect::run(&arguments),
        cli::Command::Schema => schema::run(),
        cli::Command::Serve(arguments) => platform::serve(&arguments.load()?),
        cli::Command::Migrate(arguments) => platform::migrate(&arguments.load()?),
        cli::Command::Health { process, json } => platform::health(&process.load()?, json),
        cli::Command::Doctor(arguments) => platform::doctor(&arguments.load()?),
        cli::Command::Backup { process, to } => platform::backup(&process.load()?, &to),
        cli::Command::Restore { process, from: Some(from), master_keys, .. } => {
            platform::restore(&process.load()?, &from, master_keys.as_deref())
        }
        cli::Command::Restore { process, from: None, .. } => platform::restored(&process.load()?),
        cli::Command::Keys { process, what } => {
            platform::keys(&process.load()?, matches!(what, cli::KeysCommand::Rotate))
        }
        cli::Command::Privacy { what: cli::PrivacyCommand::Registry { json } } => platform::registry(json),
        cli::Command::Config { process, what } => match what {
            cli::ConfigCommand::Check => platform::config_check(&process.load()?),
            cli::ConfigCommand::Show { json } => platform::config_show(&process.load()?, json),
            cli::ConfigCommand::Reference => platform::config_reference(),
        },
        cli::Command::Secrets { what: cli::SecretsCommand::Generate } => platform::generate(),
        cli::Command::Openapi => platform::openapi(),
        cli::Command::EventTypes => platform::event_types(),
        cli::Command::Ask(command) => client::run(&command),
        cli::Command::Permissions => print(&stoa_api::permissions_page()),
    }
}

/// Prints to the standard output. Nobody who reads it any more is no failure.
fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("output_unwritable", "standard output", &error))
        }
        _ => Ok(Exit::Clean),
    }
}

//! The `stoa` binary: command line, configuration, lifecycle. The only composition root.

mod cli;
mod failure;
mod inspect;
mod open;
mod output;
mod progress;
mod reconcile;
mod schema;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let result = match cli::Cli::parse().command {
        cli::Command::Reconcile(arguments) => reconcile::run(&arguments),
        cli::Command::Inspect(arguments) => inspect::run(&arguments),
        cli::Command::Schema => schema::run(),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

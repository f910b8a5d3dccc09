//! `stoa-harness run COMMAND…`: runs tests with one PostgreSQL server for all of them.
#![expect(clippy::print_stderr, reason = "it is a command")]

use std::process::{Command, ExitCode};

use stoa_harness::Postgres;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(verb), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: stoa-harness run COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    if verb != "run" {
        eprintln!("stoa-harness knows `run` alone");
        return ExitCode::from(2);
    }
    let postgres = Postgres::start(false);
    let mut command = Command::new(program);
    command.args(arguments);
    postgres.share_with(&mut command);
    match command.status() {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => {
            eprintln!("{command:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

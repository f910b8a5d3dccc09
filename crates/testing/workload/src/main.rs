//! Makes a workload, or scores the links that were found in one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stoa_workload::{Settings, generate, score};

#[derive(Parser)]
#[command(name = "stoa-workload", about = "A reconciliation workload with ground truth")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write left.csv, right.csv and truth.csv
    Generate {
        /// Events; about one row a side for each
        #[arg(long, default_value_t = 1_000_000)]
        events: u32,
        /// The seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The parts of a split lose their reference
        #[arg(long)]
        unkeyed_splits: bool,
        /// The folder
        out: PathBuf,
    },
    /// Compare a links.csv with the truth
    Score {
        /// The folder of the workload
        folder: PathBuf,
        /// The links.csv
        links: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Generate { events, seed, unkeyed_splits, out } => {
            generate(&Settings { events, seed, unkeyed_splits }, &out)
        }
        Command::Score { folder, links } => score(&folder, &links).map(|score| println!("{score:#?}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

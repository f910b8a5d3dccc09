//! The command line.

pub(crate) mod client;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use stoa_reconciliation::rules::Exact;
use stoa_reconciliation::source::SideName;

use crate::failure::Failure;
use crate::platform::config::{self, Loaded};

/// Accounts, conversations, documents and work for an organization, in one binary.
#[derive(Debug, Parser)]
#[command(name = "stoa", version, arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Match two files of records and say what is open, and why
    #[command(after_help = RECONCILE_HELP)]
    Reconcile(Box<Reconcile>),
    /// Show what is read from a file: dialect, mapping, balances, warnings, rejected rows
    Inspect(Inspect),
    /// Print the JSON Schema of rules files
    Schema,
    /// Run the platform
    #[command(after_help = SERVE_HELP)]
    Serve(Process),
    /// Bring the schema of the database up to date
    Migrate(Process),
    /// Ask the running platform how it does; exits 1 when something that is needed does not work
    Health {
        #[command(flatten)]
        process: Process,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// See whether everything is as it should be, and what to do where it is not
    Doctor(Process),
    /// Copy the data of a running platform, and verify the copy
    Backup {
        #[command(flatten)]
        process: Process,
        /// The folder to make
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Put a backup into a fresh data folder
    Restore {
        #[command(flatten)]
        process: Process,
        /// The folder that `stoa backup` made
        #[arg(long, value_name = "FOLDER", required_unless_present = "database")]
        from: Option<PathBuf>,
        /// The master.keys of the original
        #[arg(long, value_name = "FILE", requires = "from")]
        master_keys: Option<PathBuf>,
        /// PostgreSQL was restored by its own tools: tell the event log, so that followers know
        #[arg(long, conflicts_with = "from")]
        database: bool,
    },
    /// Make new data keys, and seal everything by them
    Keys {
        #[command(flatten)]
        process: Process,
        #[command(subcommand)]
        what: KeysCommand,
    },
    /// See what is kept of whom, and why
    Privacy {
        #[command(subcommand)]
        what: PrivacyCommand,
    },
    /// Check, show or explain the configuration
    Config {
        #[command(flatten)]
        process: Process,
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Make secrets for a cluster
    Secrets {
        #[command(subcommand)]
        what: SecretsCommand,
    },
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Print the catalogue of event types
    EventTypes,
    /// Print what each role may do, and what each operation needs
    Permissions,
    #[command(flatten)]
    Ask(client::ClientCommand),
}

impl Command {
    /// Whether it makes files of the platform, rather than results for whoever called it.
    pub(crate) const fn keeps_data(&self) -> bool {
        !matches!(
            self,
            Self::Reconcile(_)
                | Self::Inspect(_)
                | Self::Schema
                | Self::Openapi
                | Self::EventTypes
                | Self::Permissions
        )
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Try the configuration: its secrets, and its store
    Check,
    /// Print every value and where it came from, secrets masked
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every key, its default and its meaning
    Reference,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Give every organization a new data key, and seal everything by it
    Rotate,
    /// Seal by the current keys what is sealed by older ones, such as after a new master key
    Reseal,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PrivacyCommand {
    /// Print the data registry: every column, whether it is personal, whose, why, and for how long
    Registry {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Print new ones as variables of the environment
    Generate,
}

const SERVE_HELP: &str = "\
Examples:
  stoa serve
  stoa serve --listen 127.0.0.1:9000 --data /var/lib/stoa
  DATABASE_URL=postgres://stoa@db/stoa DATABASE_OWNER_URL=postgres://owner@db/stoa stoa serve
  stoa serve --mode api

Without a configuration it keeps everything in ./stoa-data. `stoa config reference` lists every key.";

/// Which platform it is about.
#[derive(Debug, Args)]
pub(crate) struct Process {
    /// The configuration file [default: stoa.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// The address and port of the API
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub(crate) listen: Option<String>,
    /// What runs: api, gateway, worker, scheduler, or all
    #[arg(long, value_name = "MODES", global = true)]
    pub(crate) mode: Option<String>,
}

impl Process {
    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let data = self.data.as_ref().map(|folder| folder.display().to_string());
        let flags =
            [("data.folder", data), ("server.listen", self.listen.clone()), ("mode", self.mode.clone())];
        let flags = flags.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
        let variables = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        config::load(self.config.as_deref(), &flags, variables)
    }
}

const RECONCILE_HELP: &str = "\
Examples:
  stoa reconcile statement.sta ledger.csv
  stoa reconcile left.csv right.csv --rules rules.yaml --output report/
  stoa reconcile bank.csv book.xlsx --left amount=Betrag --left numbers=comma --tolerance 0.05 --days 5
  stoa reconcile bank.csv book.csv --explain INV-17

Formats: CSV/TSV, XLSX, JSON, NDJSON, MT940, MT942, camt.052/053/054, OFX/QFX, BAI2, QIF. They are told by content.

Exit codes: 0 everything is matched, 3 there are exceptions, 2 the command or the rules cannot be used, 1 it failed.";

/// How the sources are read.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// An option of the left source, as name=value: format, encoding, delimiter, header, skip_lines, sheet, numbers, dates, zone,
    /// currency, flip_sign, strict, or a field and its column (amount=Betrag, text=Memo+Purpose). May be repeated
    #[arg(long = "left", value_name = "NAME=VALUE")]
    pub(crate) left_options: Vec<String>,
    /// The same for the right source
    #[arg(long = "right", value_name = "NAME=VALUE")]
    pub(crate) right_options: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// The left file, by convention the one to be explained: a bank statement. `-` is standard input
    pub(crate) left: PathBuf,
    /// The right file, by convention the one that explains: a ledger
    pub(crate) right: PathBuf,
    /// A further file of the left side; lines that an earlier file has brought are recognised. May be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) add_left: Vec<PathBuf>,
    /// A further file of the right side. May be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) add_right: Vec<PathBuf>,
    /// Rules as YAML or JSON; inferred from the files when not given
    #[arg(long, short, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Exchange rates as CSV: date,from,to,rate
    #[arg(long, value_name = "FILE")]
    pub(crate) rates: Option<PathBuf>,
    /// A folder for report.html, summary.json, matches.csv, exceptions.csv, rejected.csv, links.csv and rules.yaml
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Explain one record: its id, or its line; `left:` or `right:` before it chooses the side. May be repeated
    #[arg(long, value_name = "RECORD")]
    pub(crate) explain: Vec<String>,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// For inferred rules: the largest difference of amounts
    #[arg(long, value_name = "AMOUNT", value_parser = exact, conflicts_with = "rules")]
    pub(crate) tolerance: Option<Exact>,
    /// For inferred rules: how many days the two sides may lie apart
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=3650), conflicts_with = "rules")]
    pub(crate) days: Option<u32>,
    /// Threads; as many as there are processors by default. Does not change the result
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Partitions of the work. Does not change the result
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) partitions: Option<u16>,
    /// Memory for the rows of both files, in MiB; what is more goes to temporary files
    #[arg(long, value_name = "MIB", default_value_t = 384, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) memory: u32,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The file; `-` is standard input
    pub(crate) file: PathBuf,
    /// An option of the source, as name=value: format, encoding, delimiter, header, skip_lines, sheet, numbers, dates, zone, currency,
    /// flip_sign, or a field and its column (amount=Betrag). May be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) options: Vec<String>,
    /// Show the record of this line, step by step
    #[arg(long, value_name = "LINE")]
    pub(crate) line: Option<u64>,
    /// Print everything as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn exact(text: &str) -> Result<Exact, String> {
    let decimal: stoa_kernel::money::Decimal =
        text.parse().map_err(|_| format!("\"{text}\" is not a decimal number such as 0.05"))?;
    if decimal.units < 0 { Err("a tolerance is not negative".to_owned()) } else { Ok(Exact(decimal)) }
}

/// Splits `left:ID`, `right:ID` or `ID`.
pub(crate) fn record_of(text: &str) -> (Option<SideName>, &str) {
    for side in [SideName::Left, SideName::Right] {
        if let Some(rest) = text.strip_prefix(side.name()).and_then(|rest| rest.strip_prefix(':')) {
            return (Some(side), rest);
        }
    }
    (None, text)
}

//! The commands that ask a running platform.

mod accounts;
mod delivery;
mod work;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) use accounts::{
    AuditCommand, FlagCommand, InviteCommand, KeyCommand, MemberCommand, OrgCommand, SessionCommand,
    UserCommand,
};
pub(crate) use delivery::{EndpointArgs, EventCommand, NotificationCommand, WebhookCommand};
pub(crate) use work::{
    DlqCommand, Firing, JobCommand, Letters, QueueCommand, RunCommand, ScheduleCommand, Times,
};

/// Whom is asked, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Client {
    /// The platform [default: that of the login, else http://localhost:8080]
    #[arg(long, value_name = "URL", global = true, env = "STOA_URL")]
    pub(crate) url: Option<String>,
    /// An API key, an access token or the operator token, instead of the login
    #[arg(long, value_name = "TOKEN", global = true, env = "STOA_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The organization: its id or its slug [default: that of the login]
    #[arg(long = "org", value_name = "ORGANIZATION", global = true, env = "STOA_ORG")]
    pub(crate) organization: Option<String>,
    /// Where the login is kept [default: stoa/credentials.json in the user's configuration]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) credentials: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Sign in to a platform, by a code that is typed into a browser
    Login {
        #[command(flatten)]
        client: Client,
        /// Sign in with this address; the first line of the input is the password, the second a code where there is a second factor
        #[arg(long, value_name = "ADDRESS")]
        password_stdin: Option<String>,
    },
    /// Sign out
    Logout {
        #[command(flatten)]
        client: Client,
    },
    /// Organizations
    Org {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: OrgCommand,
    },
    /// Users: yourself, and for whoever runs the installation all of them
    User {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: UserCommand,
    },
    /// Members of an organization
    Member {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: MemberCommand,
    },
    /// Invitations to an organization
    Invite {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: InviteCommand,
    },
    /// Keys of programs
    Key {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: KeyCommand,
    },
    /// Where you are signed in
    Session {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: SessionCommand,
    },
    /// Feature flags
    Flag {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: FlagCommand,
    },
    /// Jobs
    Job {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: JobCommand,
    },
    /// Dead letters: jobs that are not tried any more
    Dlq {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: DlqCommand,
    },
    /// Queues of jobs, for whoever runs the installation
    Queue {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: QueueCommand,
    },
    /// What asks for jobs by the clock
    Schedule {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: Box<ScheduleCommand>,
    },
    /// Runs of workflows
    Run {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: RunCommand,
    },
    /// The event log
    #[command(visible_alias = "events")]
    Event {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: EventCommand,
    },
    /// Webhook endpoints, and webhooks of others
    Webhook {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: WebhookCommand,
    },
    /// What you are told, and how
    Notification {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: NotificationCommand,
    },
    /// The audit trail
    Audit {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        what: AuditCommand,
    },
}

impl ClientCommand {
    /// Whom it asks, and as whom.
    pub(crate) const fn client(&self) -> &Client {
        match self {
            Self::Login { client, .. }
            | Self::Logout { client }
            | Self::Org { client, .. }
            | Self::User { client, .. }
            | Self::Member { client, .. }
            | Self::Invite { client, .. }
            | Self::Key { client, .. }
            | Self::Session { client, .. }
            | Self::Flag { client, .. }
            | Self::Job { client, .. }
            | Self::Dlq { client, .. }
            | Self::Queue { client, .. }
            | Self::Schedule { client, .. }
            | Self::Run { client, .. }
            | Self::Event { client, .. }
            | Self::Webhook { client, .. }
            | Self::Notification { client, .. }
            | Self::Audit { client, .. } => client,
        }
    }
}

//! The commands that ask a running platform.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// List yours
    List {
        /// All of the installation
        #[arg(long)]
        all: bool,
    },
    /// Make one
    Create {
        /// Its name in addresses
        slug: String,
        /// Its name for people
        #[arg(long)]
        name: Option<String>,
    },
    /// Show one
    Show {
        /// Its id or its slug
        organization: String,
    },
    /// Refuse its requests
    Suspend {
        /// Its id
        organization: String,
    },
    /// Take its requests again
    Resume {
        /// Its id
        organization: String,
    },
    /// Keep it to be read
    Archive {
        /// Its id
        organization: String,
    },
    /// Remove it with everything in it
    Purge {
        /// Its id
        organization: String,
        /// Its slug, to confirm
        #[arg(long)]
        confirm: String,
    },
    /// Put it on a plan
    Plan {
        /// Its id
        organization: String,
        /// free, team, business or unlimited
        plan: String,
    },
    /// Leave it
    Leave {
        /// Its id or its slug
        organization: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Show yourself
    Me,
    /// List all
    List,
    /// Show one
    Show {
        /// Their id
        user: String,
    },
    /// Sign one out, and let them in no more
    Suspend {
        /// Their id
        user: String,
    },
    /// Let one in again
    Resume {
        /// Their id
        user: String,
    },
    /// Take the second factors from one who has lost theirs
    ResetFactors {
        /// Their id
        user: String,
    },
    /// Invite somebody to register
    Invite {
        /// Their address
        email: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List them
    List,
    /// Change the role of one
    Role {
        /// Its id
        member: String,
        /// owner, admin, developer, member, viewer or guest
        role: String,
    },
    /// Remove one
    Remove {
        /// Its id
        member: String,
    },
    /// Sign one out everywhere
    SignOut {
        /// Its id
        member: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum InviteCommand {
    /// List them
    List,
    /// Make one; the link is shown once
    Create {
        /// To which address; to whoever has the link without
        email: Option<String>,
        /// What they are to be
        #[arg(long, default_value = "member")]
        role: String,
        /// How many days it is good
        #[arg(long)]
        days: Option<u32>,
        /// How often it can be used
        #[arg(long)]
        uses: Option<u32>,
    },
    /// Send one again, with a new link
    Resend {
        /// Its id
        invitation: String,
    },
    /// Take one back
    Revoke {
        /// Its id
        invitation: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List them
    List,
    /// Make one; it is shown once
    Create {
        /// What people call it
        name: String,
        /// A permission; may be repeated
        #[arg(long, required = true)]
        scope: Vec<String>,
        /// A network that it may be used from; may be repeated
        #[arg(long)]
        network: Vec<String>,
        /// The most requests of a minute
        #[arg(long)]
        rate_per_minute: Option<u32>,
        /// How many days it is good
        #[arg(long)]
        days: Option<u32>,
    },
    /// Replace one; the new one is shown once
    Rotate {
        /// Its id
        key: String,
        /// How long the old one works on, in seconds
        #[arg(long, default_value_t = 0)]
        grace_seconds: u32,
    },
    /// End one
    Revoke {
        /// Its id
        key: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List them
    List,
    /// End one
    Revoke {
        /// Its id
        session: String,
    },
    /// End all but this one
    RevokeAll,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FlagCommand {
    /// List them, and whether they are on for you
    List,
    /// Make or change one
    Set {
        /// Its name
        flag: String,
        /// Turn it on
        #[arg(long, conflicts_with = "off")]
        on: bool,
        /// Turn it off
        #[arg(long)]
        off: bool,
        /// For how many of a hundred actors
        #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
        percentage: Option<u8>,
        /// What it turns on
        #[arg(long)]
        about: Option<String>,
    },
    /// Remove one
    Remove {
        /// Its name
        flag: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Read it, the newest first
    List {
        /// Only about this id
        #[arg(long)]
        target: Option<String>,
        /// Only by this actor
        #[arg(long)]
        actor: Option<String>,
        /// Only this action; all that begin so where it ends with a dot
        #[arg(long)]
        action: Option<String>,
        /// That of the installation
        #[arg(long)]
        installation: bool,
    },
    /// What you have done
    Mine,
    /// Export it as NDJSON
    Export {
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Prove that nothing was altered or removed; exits 1 when something was
    Verify {
        /// That of the installation
        #[arg(long)]
        installation: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List the newest
    List {
        /// Only these, separated by commas: queued, running, completed, failed, cancelled
        #[arg(long)]
        state: Option<String>,
        /// Only of this kind
        #[arg(long)]
        kind: Option<String>,
        /// Only of this batch
        #[arg(long)]
        batch: Option<String>,
    },
    /// List the kinds
    Kinds,
    /// Show one
    Show {
        /// Its id
        job: String,
    },
    /// Ask for one
    Submit {
        /// Its kind
        kind: String,
        /// What it needs to know, as JSON
        #[arg(long, default_value = "{}")]
        payload: String,
        /// critical, high, normal or low
        #[arg(long)]
        priority: Option<String>,
        /// Not before, such as 2026-11-21T12:00:00Z
        #[arg(long)]
        run_at: Option<String>,
        /// Its mailbox: jobs with the same key run one at a time, in order
        #[arg(long)]
        order_key: Option<String>,
        /// At most one live job has it
        #[arg(long)]
        dedupe_key: Option<String>,
        /// Jobs with the same one are counted together
        #[arg(long)]
        batch_key: Option<String>,
    },
    /// Stop one
    Cancel {
        /// Its id
        job: String,
    },
    /// Count a batch
    Batch {
        /// Its key
        batch: String,
        /// How many seconds to wait for its end, at most 25
        #[arg(long, default_value_t = 0)]
        wait_s: u32,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Letters {
    /// Of this kind
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Of this queue
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// With this reason
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List the newest
    List {
        #[command(flatten)]
        which: Letters,
    },
    /// Show one
    Show {
        /// Its id
        job: String,
    },
    /// Try one again, or the oldest 200 that are named
    Replay {
        /// Its id; without it, those that are named
        job: Option<String>,
        /// Another payload, as JSON
        #[arg(long, requires = "job")]
        payload: Option<String>,
        #[command(flatten)]
        which: Letters,
    },
    /// Discard one, or the oldest 200 that are named
    Discard {
        /// Its id; without it, those that are named
        job: Option<String>,
        #[command(flatten)]
        which: Letters,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List them, and how they do
    List,
    /// Begin nothing of one
    Pause {
        /// Its name
        queue: String,
    },
    /// Let one go on
    Resume {
        /// Its name
        queue: String,
    },
    /// Run so many of its jobs at once, in all processes together
    Limit {
        /// Its name
        queue: String,
        /// How many; without it, as many as there is room for
        most: Option<u32>,
    },
    /// Cancel the newest 200 that wait in one
    Drain {
        /// Its name
        queue: String,
    },
}

/// When something fires.
#[derive(Debug, Clone, Args)]
pub(crate) struct Times {
    /// A cron expression: minute, hour, day of the month, month, day of the week
    #[arg(long, conflicts_with_all = ["every_s", "at"])]
    pub(crate) cron: Option<String>,
    /// On whose clocks, such as Europe/Berlin [default: UTC]
    #[arg(long)]
    pub(crate) time_zone: Option<String>,
    /// Every so many seconds
    #[arg(long, conflicts_with = "at")]
    pub(crate) every_s: Option<i64>,
    /// Once, such as 2026-12-01T12:00:00Z
    #[arg(long)]
    pub(crate) at: Option<String>,
}

/// How a schedule fires.
#[derive(Debug, Clone, Args)]
pub(crate) struct Firing {
    #[command(flatten)]
    pub(crate) times: Times,
    /// What its jobs need to know, as JSON
    #[arg(long)]
    pub(crate) payload: Option<String>,
    /// critical, high, normal or low
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// What becomes of instants that were missed: run_once, skip or catch_up
    #[arg(long)]
    pub(crate) misfire: Option<String>,
    /// How many of them are caught up with
    #[arg(long)]
    pub(crate) catch_up_max: Option<u32>,
    /// While the job before has not ended: allow, skip or queue
    #[arg(long)]
    pub(crate) overlap: Option<String>,
    /// How many seconds a job is delayed at most, by chance
    #[arg(long)]
    pub(crate) jitter_s: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List them
    List,
    /// Show one
    Show {
        /// Its id
        schedule: String,
    },
    /// Make one
    Create {
        /// What people call it
        name: String,
        /// The kind of its jobs
        kind: String,
        #[command(flatten)]
        firing: Firing,
    },
    /// Change one
    Set {
        /// Its id
        schedule: String,
        #[command(flatten)]
        firing: Firing,
    },
    /// Let one fire no more for now
    Pause {
        /// Its id
        schedule: String,
    },
    /// Let one fire again
    Resume {
        /// Its id
        schedule: String,
    },
    /// Fire one now
    Run {
        /// Its id
        schedule: String,
    },
    /// Remove one
    Remove {
        /// Its id
        schedule: String,
    },
    /// Show when one fires next, or would
    Preview {
        /// Its id; without it, the times that are given
        schedule: Option<String>,
        #[command(flatten)]
        times: Times,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List the newest
    List {
        /// Only of this workflow
        #[arg(long)]
        workflow: Option<String>,
        /// Only these, separated by commas: running, compensating, completed, failed, cancelled, stopped
        #[arg(long)]
        state: Option<String>,
    },
    /// List the workflows
    Workflows,
    /// Show one with its journal
    Show {
        /// Its id
        run: String,
    },
    /// Start one
    Start {
        /// The workflow
        workflow: String,
        /// What it is given, as JSON
        #[arg(long, default_value = "{}")]
        input: String,
        /// At most one live run of the workflow has it
        #[arg(long)]
        key: Option<String>,
    },
    /// Tell one something
    Signal {
        /// Its id
        run: String,
        /// What the signal is called
        name: String,
        /// What it says, as JSON
        #[arg(long, default_value = "null")]
        payload: String,
    },
    /// Stop one; it undoes what it did
    Cancel {
        /// Its id
        run: String,
    },
    /// Try one again from the step that failed
    Retry {
        /// Its id
        run: String,
    },
    /// Begin another one with what this one had completed before a step
    Fork {
        /// Its id
        run: String,
        /// The step that is done anew
        step: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// List what happened, the oldest first
    List {
        /// Only these types, separated by commas
        #[arg(long = "type")]
        kind: Option<String>,
        /// Only this stream
        #[arg(long)]
        stream: Option<String>,
        /// Only from this time on, such as 2026-11-21T12:00:00Z
        #[arg(long)]
        since: Option<String>,
    },
    /// Follow what happens, one line each, until it is interrupted; goes on by itself after an interruption
    Follow {
        /// Only these types, separated by commas
        #[arg(long = "type")]
        kind: Option<String>,
        /// Only this stream
        #[arg(long)]
        stream: Option<String>,
        /// Begin after this event; with what happens next without
        #[arg(long, value_name = "EVENT")]
        after: Option<String>,
        /// End after so many
        #[arg(long)]
        count: Option<u64>,
    },
    /// Count what happened, by day and type
    Activity {
        /// Only from this day on, such as 2026-11-28
        #[arg(long)]
        from: Option<String>,
        /// Only up to this day
        #[arg(long)]
        to: Option<String>,
        /// Only these types, separated by commas
        #[arg(long = "type")]
        kind: Option<String>,
    },
    /// List the types
    Types,
    /// List what is made of the log, and how far behind it is, for whoever runs the installation
    Projections,
    /// Make a projection anew, from the first event on; what there is stays readable meanwhile
    Rebuild {
        /// Its name
        projection: String,
    },
    /// List who follows the log, and how far behind they are, for whoever runs the installation
    Consumers,
}

/// What an endpoint is.
#[derive(Debug, Clone, Args)]
pub(crate) struct EndpointArgs {
    /// Which types of events: member.added, member.*, *; may be repeated
    #[arg(long = "event")]
    pub(crate) events: Vec<String>,
    /// A header of its own, NAME=VALUE; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<String>,
    /// What it is for
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// How long it may take, in seconds
    #[arg(long)]
    pub(crate) timeout_s: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// List the endpoints
    List,
    /// Show one
    Show {
        /// Its id
        webhook: String,
    },
    /// Make one; its secret is shown once
    Create {
        /// Where: https, at a public address
        target: String,
        #[command(flatten)]
        what: EndpointArgs,
    },
    /// Change one
    Set {
        /// Its id
        webhook: String,
        /// Where
        #[arg(long)]
        to: Option<String>,
        #[command(flatten)]
        what: EndpointArgs,
    },
    /// Send nothing to one for now
    Disable {
        /// Its id
        webhook: String,
    },
    /// Send to one again
    Enable {
        /// Its id
        webhook: String,
    },
    /// Remove one
    Remove {
        /// Its id
        webhook: String,
    },
    /// Replace the secret of one; the new one is shown once
    Rotate {
        /// Its id
        webhook: String,
        /// For how many seconds the one before signs too
        #[arg(long, default_value_t = 86_400)]
        overlap_s: u32,
    },
    /// Send something to one for trying
    Test {
        /// Its id
        webhook: String,
    },
    /// List what was sent to one, the newest first
    Deliveries {
        /// Its id
        webhook: String,
        /// Only these: pending, delivered, failed or cancelled
        #[arg(long)]
        state: Option<String>,
    },
    /// Show a delivery with every attempt
    Delivery {
        /// Its id
        delivery: String,
    },
    /// Send a delivery again
    Resend {
        /// Its id
        delivery: String,
    },
    /// Send again what failed, the oldest 200
    Replay {
        /// The id of the endpoint
        webhook: String,
        /// From this time on, such as 2026-11-21T12:00:00Z
        #[arg(long)]
        since: String,
    },
    /// List from where webhooks are taken
    Sources,
    /// Take webhooks from somebody; the secret is shown once
    AddSource {
        /// What people call it
        name: String,
        /// How it signs: standard, github or stripe
        #[arg(long, default_value = "standard")]
        kind: String,
    },
    /// Take no more webhooks from somebody
    RemoveSource {
        /// Its id
        source: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotificationCommand {
    /// List what you are told, the newest first
    List {
        /// Only what is not read
        #[arg(long)]
        unread: bool,
    },
    /// Count what you have not read
    Count,
    /// Mark one as read, or all
    Read {
        /// Its id; all without
        notification: Option<String>,
    },
    /// Show how you are told anything
    Settings,
    /// Let nothing leave the application until a time, such as 2026-12-01T12:00:00Z
    Mute {
        /// Until when
        until: String,
    },
    /// Be told again
    Unmute,
    /// Choose how often letters come: off (one for each), hourly or daily
    Digest {
        /// How often
        often: String,
    },
    /// List what you are told, and where
    Preferences,
    /// Choose whether you are told something somewhere
    Prefer {
        /// What, such as role_changed
        template: String,
        /// Where: in_app, email or webhook
        channel: String,
        /// Whether: on or off
        #[arg(value_parser = ["on", "off"])]
        on: String,
    },
    /// List letters and how they stand, for whoever runs the installation
    Letters {
        /// Only these: queued, digest, sending, delivered, failed or dead
        #[arg(long)]
        state: Option<String>,
    },
    /// Try a letter again that is dead, for whoever runs the installation
    Replay {
        /// Its id
        delivery: String,
    },
}

//! Events, webhooks and notifications.

use clap::{Args, Subcommand};
use stoa_kernel::id::EventId;

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
        after: Option<EventId>,
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
    /// Which types of events: member.joined, member.*, *; may be repeated
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

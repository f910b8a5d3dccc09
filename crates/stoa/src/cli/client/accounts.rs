//! Organizations, the people in them, and what programs sign in with.

use clap::Subcommand;

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

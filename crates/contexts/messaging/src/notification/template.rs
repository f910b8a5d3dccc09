//! What people are told: each template with the values that it shows, and where it goes unless somebody says otherwise.

use super::record::Channel;

/// Something that people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// When it is told.
    pub about: &'static str,
    /// The values that it shows.
    pub variables: &'static [&'static str],
    /// Where it goes, unless somebody says otherwise.
    pub channels: &'static [Channel],
}

impl Template {
    /// Whether it goes somewhere, unless somebody says otherwise.
    #[must_use]
    pub fn goes_to(&self, channel: Channel) -> bool {
        self.channels.contains(&channel)
    }
}

const BOTH: &[Channel] = &[Channel::InApp, Channel::Email];

/// Every template.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "dead_letter",
        about: "A job of the organization is not tried any more. For developers and above; once an hour for a kind of job.",
        variables: &["organization", "kind", "queue", "reason", "job"],
        channels: BOTH,
    },
    Template {
        name: "member_joined",
        about: "Somebody joined the organization. For admins and above.",
        variables: &["organization", "role"],
        channels: &[Channel::InApp],
    },
    Template {
        name: "role_changed",
        about: "Your role in an organization changed.",
        variables: &["organization", "role"],
        channels: BOTH,
    },
    Template {
        name: "run_stopped",
        about: "A run cannot undo what it did. For developers and above.",
        variables: &["organization", "workflow", "run"],
        channels: BOTH,
    },
    Template {
        name: "webhook_disabled",
        about: "A webhook endpoint is sent nothing more. For developers and above.",
        variables: &["organization", "endpoint", "reason"],
        channels: BOTH,
    },
];

/// The template of a name.
#[must_use]
pub fn template(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

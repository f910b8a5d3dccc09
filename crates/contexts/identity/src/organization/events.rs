//! What happens to organizations.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{Aggregate, Event, EventType};

use super::Organization;

fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident $name:literal $about:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct $event {
                /// The organization.
                #[schemars(with = "String")]
                pub id: OrganizationId,
                /// Its name in addresses.
                pub slug: String,
                /// Its name for people.
                pub name: String,
                /// Where it is in its life: active, suspended, archived, purging or purged.
                pub state: String,
                #[serde(skip)]
                version: i64,
            }

            impl $event {
                /// The event of an organization as it is now.
                #[must_use]
                pub fn of(organization: &Organization) -> Self {
                    Self {
                        id: organization.id,
                        slug: organization.slug.to_string(),
                        name: organization.name.clone(),
                        state: organization.state.to_string(),
                        version: organization.version,
                    }
                }
            }

            impl Event for $event {
                const TYPE: EventType =
                    EventType { name: $name, version: 1, about: $about, schema: schema::<$event> };

                fn aggregate(&self) -> Aggregate {
                    Aggregate {
                        kind: "organization".to_owned(),
                        id: self.id.to_string(),
                        version: Some(self.version),
                    }
                }

                fn organization(&self) -> Option<OrganizationId> {
                    Some(self.id)
                }
            }
        )*
        /// The types of these events.
        pub const EVENT_TYPES: &[EventType] = &[$($event::TYPE),*];
    };
}

events! {
    /// An organization was made.
    Created "organization.created" "An organization was made.";
    /// Its name, slug, contact or settings changed.
    Updated "organization.updated" "The name, slug, contact or settings of an organization changed.";
    /// It was suspended.
    Suspended "organization.suspended" "An organization was suspended: its requests are refused.";
    /// It is active again.
    Resumed "organization.resumed" "A suspended organization is active again.";
    /// It was archived.
    Archived "organization.archived" "An organization was archived: it can be read, and never changes again.";
    /// Everything in it is being removed.
    PurgeBegun "organization.purge_begun" "Everything in an organization is being removed.";
    /// Everything in it was removed.
    Purged "organization.purged" "Everything in an organization was removed; a tombstone stays.";
}

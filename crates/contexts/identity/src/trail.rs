//! The audit trail, as it is asked: by target, actor, action and time; one's own.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::store::trail::AuditEntry;
use stoa_kernel::store::{Page, PageRequest, Query, Record as _};

use crate::Error;
use crate::service::Identity;

/// What is asked of the trail.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Only about this: an id.
    pub target: Option<String>,
    /// Only by this actor, as `user:usr_…`, `key:key_…` or `system`.
    pub actor: Option<String>,
    /// Only this action; a prefix where it ends with a dot.
    pub action: Option<String>,
    /// Only from then on.
    pub since: Option<Micros>,
    /// Only before then.
    pub until: Option<Micros>,
}

impl Asked {
    /// The query, the newest first, in the scope of the context.
    #[must_use]
    pub fn query(&self, cx: &Context) -> Query<AuditEntry> {
        let mut query = AuditEntry::select().eq(AuditEntry::ORGANIZATION_ID, &cx.scope.number());
        if let Some(target) = &self.target {
            query = query.eq(AuditEntry::TARGET, target);
        }
        if let Some(actor) = &self.actor {
            query = query.eq(AuditEntry::ACTOR, actor);
        }
        query = match &self.action {
            Some(prefix) if prefix.ends_with('.') => query.prefix(AuditEntry::ACTION, prefix),
            Some(action) => query.eq(AuditEntry::ACTION, action),
            None => query,
        };
        if let Some(since) = &self.since {
            query = query.ge(AuditEntry::TIME, since);
        }
        if let Some(until) = &self.until {
            query = query.lt(AuditEntry::TIME, until);
        }
        query.descending(AuditEntry::SEQUENCE)
    }
}

impl Identity {
    /// One page of the trail.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn audit(
        &self,
        cx: &Context,
        asked: &Asked,
        request: PageRequest,
    ) -> Result<Page<AuditEntry>, Error> {
        Ok(self.store.page(cx, asked.query(cx), request).await?)
    }
}

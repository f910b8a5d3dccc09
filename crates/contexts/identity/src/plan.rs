//! Plans: how much an organization may have; and credits, which it spends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{CreditId, OrganizationId};
use stoa_kernel::store::{Commit, Page, PageRequest, Query, Record, StoreError, StoreErrorKind};

use crate::Error;
use crate::facts::CreditsChanged;
use crate::member::Member;
use crate::organization;
use crate::register::of_organization;
use crate::service::Identity;

/// What there is a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Members of the organization.
    Members,
    /// Bytes of files.
    StorageBytes,
    /// Records of one execution of a reconciliation.
    ExecutionRecords,
    /// Requests of a minute, of all members and keys together.
    RequestsPerMinute,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Members, Self::StorageBytes, Self::ExecutionRecords, Self::RequestsPerMinute];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::StorageBytes => "storageBytes",
            Self::ExecutionRecords => "executionRecords",
            Self::RequestsPerMinute => "requestsPerMinute",
        }
    }
}

/// Limits that an operator has set for one organization, beside its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// See [`Limit::Members`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<i64>,
    /// See [`Limit::StorageBytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<i64>,
    /// See [`Limit::ExecutionRecords`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_records: Option<i64>,
    /// See [`Limit::RequestsPerMinute`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
}

impl Limits {
    /// The limit of one thing, if there is one.
    #[must_use]
    pub const fn of(&self, limit: Limit) -> Option<i64> {
        match limit {
            Limit::Members => self.members,
            Limit::StorageBytes => self.storage_bytes,
            Limit::ExecutionRecords => self.execution_records,
            Limit::RequestsPerMinute => self.requests_per_minute,
        }
    }
}

/// A plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plan {
    /// To try it.
    Free,
    /// A group.
    Team,
    /// A company.
    Business,
    /// Without limits: what a house that runs Stoa for itself has.
    #[default]
    Unlimited,
}

impl Plan {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Free, Self::Team, Self::Business, Self::Unlimited];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Team => "team",
            Self::Business => "business",
            Self::Unlimited => "unlimited",
        }
    }

    /// How much it allows.
    #[must_use]
    pub const fn limits(self) -> Limits {
        let (members, gigabytes, records, requests) = match self {
            Self::Free => (5, 1, 10_000, 600),
            Self::Team => (50, 100, 1_000_000, 6_000),
            Self::Business => (1_000, 1_000, 10_000_000, 60_000),
            Self::Unlimited => {
                return Limits {
                    members: None,
                    storage_bytes: None,
                    execution_records: None,
                    requests_per_minute: None,
                };
            }
        };
        Limits {
            members: Some(members),
            storage_bytes: Some(gigabytes * 1_000_000_000),
            execution_records: Some(records),
            requests_per_minute: Some(requests),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|plan| plan.name() == text)
            .ok_or_else(|| "a plan is free, team, business or unlimited".to_owned())
    }
}

stoa_kernel::text_field!(Plan);

/// An entry of the ledger of credits: the balance is in the entry, so that the ledger proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "credit_entries", entity = "credit", tenant = organization_id,
         unique(credit_entries_sequence_key = (organization_id, sequence)))]
pub struct CreditEntry {
    /// Its id.
    #[record(key)]
    pub id: CreditId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its place, dense from 1.
    pub sequence: i64,
    /// What was granted; less than zero when it was spent.
    pub amount: i64,
    /// What is left after it.
    pub balance: i64,
    /// What for.
    #[record(plain, about = "why credits were granted or spent")]
    pub reason: String,
    /// When.
    pub created_at: Micros,
}

impl Identity {
    /// The limit of an organization, if there is one: what an operator has set, else that of the plan.
    pub(crate) async fn limit(
        &self,
        cx: &Context,
        id: OrganizationId,
        limit: Limit,
    ) -> Result<Option<i64>, Error> {
        let found = organization::by_id(self.store.as_ref(), &cx.within(Scope::System), id)
            .await
            .map_err(of_organization)?;
        Ok(found.limits.0.of(limit).or_else(|| found.plan.limits().of(limit)))
    }

    /// How much of what there is a limit of the organization of the context uses, as far as it is counted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn usage(&self, cx: &Context) -> Result<Vec<(Limit, Option<i64>, i64)>, Error> {
        let id = cx
            .scope
            .organization()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "no organization"))?;
        let members = self.store.count(cx, Member::select()).await?;
        let mut usage = Vec::new();
        for limit in Limit::ALL {
            let used = if limit == Limit::Members { members } else { 0 };
            usage.push((limit, self.limit(cx, id, limit).await?, used));
        }
        Ok(usage)
    }

    /// The ledger of the organization of the context, the newest first.
    #[must_use]
    pub fn credit_query() -> Query<CreditEntry> {
        CreditEntry::select().descending(CreditEntry::SEQUENCE)
    }

    /// One page of it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn credits(&self, cx: &Context, request: PageRequest) -> Result<Page<CreditEntry>, Error> {
        Ok(self.store.page(cx, Self::credit_query(), request).await?)
    }

    /// Grants credits to the organization of the context, or spends them where `amount` is less than zero. Nothing is spent that is
    /// not there; of two entries at one place one is refused, as a duplicate of `credit_entries_sequence_key`.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`], [`Error::Invalid`].
    pub async fn enter_credits(
        &self,
        cx: &Context,
        amount: i64,
        reason: &str,
    ) -> Result<(CreditEntry, Commit), Error> {
        let organization_id = cx
            .scope
            .organization()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "no organization"))?;
        let last = self.store.find(cx, Self::credit_query()).await?;
        let (sequence, before) = last.map_or((0, 0), |last| (last.sequence, last.balance));
        let balance = before.checked_add(amount).filter(|_| amount != 0);
        let balance = balance.ok_or_else(|| {
            Error::field("/amount", "is a number of credits, not zero, that leaves a balance in 64 bits")
        })?;
        if balance < 0 {
            return Err(Error::QuotaExceeded {
                what: "credits",
                limit: before,
                used: amount.saturating_neg(),
            });
        }
        let entry = CreditEntry {
            id: self.ids.next()?,
            organization_id,
            sequence: sequence + 1,
            amount,
            balance,
            reason: reason.to_owned(),
            created_at: self.clock.now(),
        };
        let told = CreditsChanged {
            id: organization_id.to_string(),
            amount: amount.to_string(),
            balance: balance.to_string(),
            organization: Some(organization_id),
        };
        let commit = Commit::new().insert(&entry).event(&told);
        Ok((entry, commit))
    }
}

//! What every implementation of a port must do: the same cases, run against each.
//!
//! An adapter's test gives the suite a way to open a fresh [`Subject`] and names the suite:
//!
//! ```ignore
//! stoa_conformance::store_suite!(fresh);
//! ```
//!
//! Rate limiters and buses have suites of their own, on what `$open` makes: `async fn() -> (Arc<dyn …>, whatever must live as long)`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a case that fails is to panic"
)]

pub mod cases;
pub mod orphans;
mod specimen;
pub mod upgrade;

use std::sync::Arc;

use stoa_jobs::queue::Queue;
use stoa_kernel::clock::Clock;
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{Ids, OrganizationId, RequestId};
use stoa_kernel::store::{AuditTrail, EventLog, Keyring, Leases, Store, Upkeep};

pub use upgrade::everything;

pub use specimen::{Ended, Noted, SPECIMENS_POSTGRES, SPECIMENS_SQLITE, Specimen};

/// A fresh store, with the table of [`Specimen`] beside its own.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its log.
    pub log: Arc<dyn EventLog>,
    /// Its audit trail.
    pub trail: Arc<dyn AuditTrail>,
    /// Its leases.
    pub leases: Arc<dyn Leases>,
    /// Its keys.
    pub keyring: Arc<dyn Keyring>,
    /// Its jobs.
    pub queue: Arc<dyn Queue>,
    /// Its upkeep.
    pub upkeep: Arc<dyn Upkeep>,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its ids.
    pub ids: Arc<dyn Ids>,
    /// Whatever must live as long: a folder, a server.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Subject {
    /// The ports of one store. `keep` is whatever must live as long.
    pub fn of<S>(
        store: &Arc<S>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        keep: Box<dyn std::any::Any + Send + Sync>,
    ) -> Self
    where
        S: Store + EventLog + AuditTrail + Leases + Keyring + Queue + Upkeep + 'static,
    {
        Self {
            store: Arc::clone(store) as _,
            log: Arc::clone(store) as _,
            trail: Arc::clone(store) as _,
            leases: Arc::clone(store) as _,
            keyring: Arc::clone(store) as _,
            queue: Arc::clone(store) as _,
            upkeep: Arc::clone(store) as _,
            clock,
            ids,
            keep,
        }
    }

    /// A context of an organization with a new id.
    pub fn organization(&self) -> Context {
        let id: OrganizationId = self.ids.next().unwrap();
        self.system().within(Scope::Organization(id))
    }

    /// The context of the installation.
    pub fn system(&self) -> Context {
        Context {
            scope: Scope::System,
            actor: Actor::System,
            request: self.ids.next::<stoa_kernel::id::Request>().map(|id: RequestId| id).unwrap(),
            trace: None,
            deadline: None,
        }
    }

    /// Events that are committed have positions after this.
    pub async fn sequenced(&self) {
        while self.log.sequence(10_000).await.unwrap() > 0 {}
    }
}

/// Declares one test for each case, on subjects that `$open` makes: `async fn() -> Subject`.
#[macro_export]
macro_rules! store_suite {
    ($open:path) => {
        $crate::store_suite!(@each $open:
            records_of_every_kind_read_back
            extreme_values_read_back
            a_stale_version_is_refused_and_changes_nothing
            of_two_changes_from_one_version_one_wins
            a_record_that_is_gone_cannot_be_changed
            a_taken_key_is_named
            a_commit_is_applied_whole_or_not_at_all
            a_commit_that_is_wrong_in_itself_is_refused
            offsets_are_dense_in_every_stream_under_contention
            readers_by_position_see_every_event_once
            a_reader_sees_its_own_organization_alone
            an_organization_cannot_write_for_another
            the_system_sees_every_organization
            nothing_ever_crosses_between_two_organizations
            pages_show_every_record_once_in_every_order
            every_condition_selects_what_it_says
            text_is_ordered_by_bytes_and_empty_is_not_null
            an_operation_with_a_key_happens_once
            a_guarded_record_must_be_unchanged
            a_count_is_guarded_after_the_writes
            two_commits_cannot_break_a_count_together
            the_audit_trail_holds_and_redacts
            reads_see_what_was_committed_before
            a_commit_past_its_deadline_is_refused
            a_lease_has_one_holder
            sealed_columns_are_sealed_anew
            the_log_is_filtered
            what_has_expired_is_purged_in_bounded_steps
            a_job_is_enqueued_with_its_commit_or_not_at_all
            every_job_is_claimed_by_one_of_many_workers
            a_claim_takes_what_is_urgent_and_gives_everybody_a_turn
            what_is_paused_on_hold_or_full_is_not_claimed
            jobs_of_a_mailbox_run_one_at_a_time_in_their_order
            mailboxes_keep_their_order_under_contention
            whoever_has_lost_a_job_can_do_nothing_to_it
            ended_jobs_are_kept_as_long_as_they_say
            jobs_are_tried_again_when_their_time_comes
            a_running_job_is_told_to_stop
            dead_letters_are_taken_back_when_some_time_has_passed
            a_mailbox_whose_first_was_skipped_goes_on
            an_organization_has_no_more_places_than_it_may
            a_schedule_fires_once_for_an_instant_whoever_leads
            one_process_fires_and_the_next_takes_over
            schedules_of_an_organization_on_hold_wait
            what_overlaps_fires_waits_or_is_passed_over
            schedules_of_stoa_are_there_once_and_stay_paused
            a_saga_holds_with_each_step_run_twice_and_a_failure_at_each
            a_purge_holds_with_each_step_run_twice_and_a_failure_at_each
            a_rotation_of_keys_holds_with_each_step_run_twice
            a_signal_and_a_run_that_goes_on_do_not_miss_each_other
            a_consumer_takes_every_event_once_whoever_leads
            an_event_that_fails_holds_up_nothing_and_is_tried_again
            a_broker_is_told_everything_and_again_when_it_lost_it
            a_projection_has_every_event_once_whoever_leads
            a_projection_is_made_anew_while_it_is_read
            an_event_that_cannot_be_folded_holds_up_nothing
            nothing_of_an_organization_that_ended_is_counted
            a_note_is_in_the_audit_trail_and_changes_nothing
            an_organization_is_purged_in_bounded_steps_and_nobody_else_is_touched
            a_look_into_the_database_names_its_tables
            the_log_says_how_far_behind_it_is
            a_ping_answers
        );
    };
    (@each $open:path: $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::cases::$case($open().await).await;
        }
    )*};
}

/// Declares one test for each case of a port, on what `$open` makes: the implementation, and whatever must live as long.
#[macro_export]
macro_rules! port_suite {
    ($module:ident, $open:path: $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (subject, _keep) = $open().await;
            $crate::cases::$module::$case(subject).await;
        }
    )*};
}

/// The cases of a rate limiter: `async fn() -> (Arc<dyn RateLimiter>, _)`.
#[macro_export]
macro_rules! limiter_suite {
    ($open:path) => {
        $crate::port_suite!(limits, $open:
            a_burst_passes_and_then_the_rate
            a_window_holds_so_many
            all_limits_are_charged_or_none
            many_at_once_pass_no_more
            a_limiter_answers
        );
    };
}

/// The cases of a cache that processes share: `async fn() -> (Arc<dyn SharedCache>, _)`.
#[macro_export]
macro_rules! cache_suite {
    ($open:path) => {
        $crate::port_suite!(caches, $open:
            what_is_kept_is_found_for_its_time
            what_is_forgotten_is_found_no_more
            what_was_looked_up_before_a_change_is_not_found_after_it
            a_cache_answers
        );
    };
}

/// The cases of a bus: `async fn() -> (Arc<dyn Signals>, _)`.
#[macro_export]
macro_rules! signals_suite {
    ($open:path) => {
        $crate::port_suite!(signals, $open:
            a_signal_reaches_every_listener_of_its_subject
            signals_keep_their_order_and_a_slow_listener_is_told
            a_signal_that_nobody_hears_is_forgotten
        );
    };
}

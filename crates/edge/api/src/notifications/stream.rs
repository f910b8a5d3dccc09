use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use stoa_http::Problem;
use stoa_kernel::context::Scope;
use stoa_kernel::id::NotificationId;
use stoa_messaging::notification::{Inbox, Notification};
use stoa_runtime::lifecycle::Phase;
use utoipa::ToSchema;

use super::{View, own};
use crate::call::Call;
use crate::events::is_still_good;
use crate::platform::Platform;

/// Between comments that keep the connection open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two looks, where nobody says that something happened.
const LOOK: Duration = Duration::from_secs(1);
/// The most of a look.
const STEP: u32 = 500;

/// Ids are not in the order of commits: so far back it is looked for what came later, in milliseconds.
const BACK_MS: u64 = 10_000;
/// The most ids that are remembered; fewer come within that time.
const REMEMBERED_MAX: usize = 2_000;

/// What a stream has shown.
struct Seen {
    /// After which it begins.
    begin: NotificationId,
    newest: NotificationId,
    ids: VecDeque<NotificationId>,
}

impl Seen {
    fn note(&mut self, id: NotificationId) {
        self.newest = if id.raw() > self.newest.raw() { id } else { self.newest };
        self.ids.push_back(id);
        if self.ids.len() > REMEMBERED_MAX {
            self.ids.pop_front();
        }
    }

    fn has(&self, id: NotificationId) -> bool {
        self.ids.contains(&id)
    }

    /// After which it is looked for more.
    fn floor(&self) -> NotificationId {
        let back = self.newest.raw().saturating_sub(BACK_MS << 22).max(self.begin.raw());
        NotificationId::from_raw(back).unwrap_or(self.newest)
    }
}

/// What is told as it comes.
#[derive(ToSchema)]
#[schema(as = NotificationEvent)]
#[expect(dead_code, reason = "it is written as an event, not as JSON")]
struct Told {
    /// The id of the notification.
    #[schema(example = "ntf_0akvp3r7jtw01")]
    id: String,
    /// Always `notification`.
    #[schema(example = "notification")]
    event: String,
    /// The notification, as JSON.
    data: String,
}

/// Follow what you are told
///
/// Server-sent events: `notification` for each that comes, with the notification as `data`. `Last-Event-ID` goes on after one.
#[utoipa::path(
    get, path = "/v1/notifications/stream", tag = "notifications", operation_id = "streamNotifications",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last that was seen")),
    responses((status = 200, description = "The stream.", content_type = "text/event-stream", body = Told))
)]
pub(crate) async fn stream(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let (user, organization) = own(&call)?;
    call.params().finish()?;
    let store = platform.store.as_ref();
    let cx = call.caller.cx.within(Scope::System);
    let given = call.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after: NotificationId = match given {
        Some(text) => text.parse().map_err(|error| Problem::new("invalid_id", format!("{error}.")))?,
        None => {
            let newest = store.find(&cx, Inbox::query(user, organization, false)).await;
            let newest = newest.map_err(|error| Problem::of(&error))?;
            newest.map_or(NotificationId::NONE, |newest| newest.id)
        }
    };
    let place = Arc::clone(&platform.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::new("overloaded", "Too many streams are open.").retry_after(5))?;
    let hints = platform.feed.subscribe();
    let state = (
        platform,
        call,
        place,
        hints,
        Seen { begin: after, newest: after, ids: VecDeque::new() },
        VecDeque::new(),
    );
    let events = stream::unfold(state, move |state| async move {
        let (platform, call, place, mut hints, mut seen, mut waiting): (
            _,
            _,
            _,
            _,
            Seen,
            VecDeque<Notification>,
        ) = state;
        let cx = call.caller.cx.within(Scope::System);
        let mut phase = platform.health.phases();
        loop {
            if let Some(next) = waiting.pop_front() {
                let id = next.id;
                seen.note(id);
                let shown = platform.inbox.shown(vec![next]);
                let text =
                    shown.first().map(|shown| serde_json::to_string(&View::of(shown)).unwrap_or_default());
                let event = Event::default()
                    .id(after.to_string())
                    .event("notification")
                    .data(text.unwrap_or_default());
                return Some((Ok(event), (platform, call, place, hints, seen, waiting)));
            }
            if !is_still_good(&platform, &call.caller).await {
                return None;
            }
            hints.mark_unchanged();
            let newer = Inbox::newer(user, organization, seen.floor()).limit(STEP);
            let found = platform.store.list(&cx, newer).await.ok()?;
            waiting.extend(found.into_iter().filter(|one| !seen.has(one.id)));
            if waiting.is_empty() {
                tokio::select! {
                    _ = tokio::time::timeout(LOOK, hints.changed()) => {}
                    // A process that ends lets go: the client continues elsewhere.
                    _ = phase.wait_for(|phase| *phase == Phase::Draining) => return None,
                }
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

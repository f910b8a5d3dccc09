use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt as _};
use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_kernel::context::Scope;
use stoa_kernel::id::EventId;
use stoa_kernel::store::event::RESTORED;
use stoa_kernel::store::{EventFilter, Value};
use stoa_runtime::lifecycle::Phase;

use super::{failed, filter, fingerprint};
use crate::caller::{Caller, Credential};
use crate::platform::Platform;

/// Between comments that keep the connection open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The most events that are read at once.
const STEP: u32 = 200;

/// How long nothing happens before it is looked whether the caller may go on.
const LOOK: Duration = Duration::from_millis(500);

/// Whether whoever follows something may go on: they may have been signed out, removed or suspended meanwhile.
pub(crate) async fn is_still_good(platform: &Platform, caller: &Caller) -> bool {
    let (session, key) = match &caller.credential {
        Credential::Session(known) => (Some(known.session.id), None),
        Credential::Key(key, _) => (None, Some(key.as_ref())),
        _ => return true,
    };
    platform.identity.is_still_good(&caller.cx, session, key).await.unwrap_or(false)
}

/// The position of the id that came last: of an event, or of the place where a stream began.
async fn place(platform: &Platform, scope: Scope, print: u64, text: &str) -> Result<Option<i64>, Problem> {
    let Ok(event) = text.parse::<EventId>() else {
        let began = platform.cursors.open(print, text).ok();
        return Ok(began.as_ref().and_then(|place| place.first()).and_then(Value::integer));
    };
    match platform.log.position_of(scope, event).await.map_err(|error| failed(&error))? {
        Some(position) => Ok(Some(position)),
        // What it saw last may have been lost in a restoration: then it goes on from there.
        None => before_restoration(platform).await,
    }
}

/// The place before the last restoration, if there was one.
async fn before_restoration(platform: &Platform) -> Result<Option<i64>, Problem> {
    let filter = EventFilter { kinds: vec![RESTORED.name.to_owned()], ..EventFilter::default() };
    let (mut position, mut last) = (0, None);
    loop {
        let found = platform.log.events_after(Scope::System, position, STEP, &filter).await;
        let found = found.map_err(|error| failed(&error))?;
        let Some(event) = found.last() else { return Ok(last) };
        position = event.position;
        last = Some(position - 1);
    }
}

/// Follow events
///
/// Server-sent events: `id` is the event's, `event` its type, `data` the envelope. Continues after `Last-Event-ID`; without it,
/// begins with what happens next. The first thing that comes is an `id` alone, of the place where it begins: whoever is interrupted before
/// anything happened continues there.
#[utoipa::path(
    get, path = "/v1/events/stream", tag = "events", operation_id = "streamEvents",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "The id that came last"),
        ("organization" = Option<String>, Query, description = "Only those of this organization"),
        ("type" = Option<String>, Query, description = "Only these types, separated by commas"),
        ("stream" = Option<String>, Query, description = "Only this stream"),
        ("since" = Option<String>, Query, description = "Only from this time on", format = "date-time"),
    ),
    responses((status = 200, description = "The stream.", content_type = "text/event-stream", body = String))
)]
pub(crate) async fn stream(
    State(platform): State<Arc<Platform>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let mut params = Params::of(&uri);
    let (scope, filter) = filter(&platform, &caller, &mut params);
    let print = fingerprint(scope, &filter);
    let seen = match headers.get("last-event-id").map(|value| value.to_str().unwrap_or("")) {
        None => None,
        Some(text) => {
            let seen = place(&platform, scope, print, text).await?;
            if seen.is_none() {
                params.wrong("Last-Event-ID", "there is no such event");
            }
            seen
        }
    };
    params.finish()?;
    // Streams last; they have a bound of their own, beside that of requests.
    let place = Arc::clone(&platform.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::new("overloaded", "Too many streams are open.").retry_after(5))?;
    let position = match seen {
        Some(position) => position,
        None => platform.log.head().await.map_err(|error| failed(&error))?,
    };
    let begins = platform.cursors.seal(print, &[Value::Integer(position)]);
    let begins = stream::once(std::future::ready(Ok(Event::default().id(begins))));
    let follower = platform.feed.follow(Arc::clone(&platform.log), scope, position, filter);
    let state = (platform, caller, follower, place);
    let events = stream::unfold(state, |(platform, caller, mut follower, place)| async {
        let mut phase = platform.health.phases();
        let events = tokio::select! {
            events = follower.next(STEP) => events.ok()?,
            () = tokio::time::sleep(LOOK) => Vec::new(),
            // A process that ends lets go: the client continues elsewhere with the last id.
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => return None,
        };
        if !is_still_good(&platform, &caller).await {
            return None;
        }
        let items: Vec<_> = events
            .into_iter()
            .map(|event| {
                let data = serde_json::to_string(&event).unwrap_or_default();
                Ok(Event::default().id(event.event_id.to_string()).event(event.kind).data(data))
            })
            .collect();
        Some((stream::iter(items), (platform, caller, follower, place)))
    });
    Ok(Sse::new(begins.chain(events.flatten())).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

//! Spans: what a request did, for whoever looks into it. Their parent is explicit, as in [`stoa_kernel::context::Context`]; names
//! and attributes follow the OpenTelemetry semantic conventions. No payloads, no names, no addresses.
//!
//! Without a collector nothing of this costs more than a load.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{Context as Baggage, KeyValue, Value as Attribute};
use stoa_kernel::context::{Context, TraceParent};
use stoa_kernel::error::Coded as _;
use stoa_kernel::store::{
    BoxFuture, Commit, Consistency, Receipt, Replayed, Select, Store, StoreError, Value,
};

pub use opentelemetry::trace::SpanKind as Kind;

static TRACER: OnceLock<BoxedTracer> = OnceLock::new();

/// From now on spans are recorded, by the global provider.
pub fn enable() {
    let _ = TRACER.set(opentelemetry::global::tracer("stoa"));
}

/// Whether spans are recorded.
#[must_use]
pub fn is_enabled() -> bool {
    TRACER.get().is_some()
}

/// Something that takes time. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(Option<BoxedSpan>);

/// Begins a span under a parent, or a trace of its own.
#[must_use]
pub fn start(name: impl Into<Cow<'static, str>>, kind: SpanKind, parent: Option<TraceParent>) -> Span {
    let Some(tracer) = TRACER.get() else { return Span(None) };
    let context = parent.map_or_else(Baggage::new, |parent| {
        let flags = if parent.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        let (trace, span) = (TraceId::from(parent.trace()), SpanId::from(parent.span()));
        Baggage::new().with_remote_span_context(SpanContext::new(
            trace,
            span,
            flags,
            true,
            TraceState::default(),
        ))
    });
    Span(Some(tracer.build_with_context(tracer.span_builder(name).with_kind(kind), &context)))
}

impl Span {
    /// The parent of whatever this span causes; `None` when nothing is recorded.
    #[must_use]
    pub fn context(&self) -> Option<TraceParent> {
        let context = self.0.as_ref()?.span_context();
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        let span = u64::from_be_bytes(context.span_id().to_bytes());
        TraceParent::new(trace, span, context.is_sampled())
    }

    /// Says something about it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Attribute>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed, for the reason with this code.
    pub fn fail(&mut self, code: &'static str) {
        self.set("error.type", code);
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(code));
        }
    }
}

/// What clients report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Measurements.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// Its name, as in the path of a collector.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The name of the list in its document.
    #[must_use]
    pub const fn list(self) -> &'static str {
        match self {
            Self::Traces => "resourceSpans",
            Self::Metrics => "resourceMetrics",
            Self::Logs => "resourceLogs",
        }
    }
}

/// A report was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncollected {
    /// The collector is away; it may take the report later.
    Away(String),
    /// It does not take this report, now or later.
    Refused,
}

impl std::fmt::Display for Uncollected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(why) => f.write_str(why),
            Self::Refused => f.write_str("the collector refused it"),
        }
    }
}

/// Takes what clients report, as OTLP in JSON.
pub trait Collector: Send + Sync {
    /// Passes it on.
    ///
    /// # Errors
    /// [`Uncollected`].
    fn collect(&self, signal: Signal, body: String) -> BoxFuture<'_, Result<(), Uncollected>>;
}

/// A store whose every call is a span.
pub struct TracedStore {
    inner: Arc<dyn Store>,
    system: &'static str,
}

impl std::fmt::Debug for TracedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedStore").field("system", &self.system).finish_non_exhaustive()
    }
}

impl TracedStore {
    /// Puts spans around a store on `system`, as in `db.system.name`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, system: &'static str) -> Self {
        Self { inner, system }
    }

    async fn call<T>(
        &self,
        name: &'static str,
        cx: &Context,
        table: Option<&'static str>,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut span = start(name, SpanKind::Client, cx.trace);
        span.set("db.system.name", self.system);
        if let Some(table) = table {
            span.set("db.collection.name", table);
        }
        let outcome = work.await;
        if let Err(error) = &outcome {
            span.fail(error.code());
        }
        outcome
    }
}

impl Store for TracedStore {
    fn commit<'a>(&'a self, cx: &'a Context, commit: Commit) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.call("store.commit", cx, None, self.inner.commit(cx, commit)))
    }

    fn rows<'a>(
        &'a self,
        cx: &'a Context,
        select: Select,
        consistency: Consistency,
    ) -> BoxFuture<'a, Result<Vec<Vec<Value>>, StoreError>> {
        let table = select.meta.table;
        Box::pin(self.call("store.select", cx, Some(table), self.inner.rows(cx, select, consistency)))
    }

    fn count_rows<'a>(&'a self, cx: &'a Context, select: Select) -> BoxFuture<'a, Result<i64, StoreError>> {
        let table = select.meta.table;
        Box::pin(self.call("store.count", cx, Some(table), self.inner.count_rows(cx, select)))
    }

    fn replayed<'a>(
        &'a self,
        cx: &'a Context,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Replayed>, StoreError>> {
        Box::pin(self.call("store.replayed", cx, None, self.inner.replayed(cx, key)))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.ping()
    }
}

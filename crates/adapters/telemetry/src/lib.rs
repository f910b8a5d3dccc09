//! The way to a collector of traces: OTLP over HTTP, as JSON (OpenTelemetry protocol 1.x).
//!
//! What it may not know: a store, a web framework.
#![deny(missing_docs)]

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use stoa_kernel::store::BoxFuture;
use stoa_runtime::trace::{Collector, Signal, Uncollected};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the collector is.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http://host:4318`, without a path.
    pub endpoint: String,
    /// Headers for it, such as a key.
    pub headers: Vec<(String, String)>,
    /// The version of the program.
    pub version: &'static str,
    /// The process among others.
    pub instance: String,
}

/// The collector cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryError(String);

impl std::fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TelemetryError {}

fn fail(error: impl std::fmt::Display) -> TelemetryError {
    TelemetryError(error.to_string())
}

/// Sends spans in batches from a thread of its own; what a full queue cannot take is dropped, never waited for.
/// `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*` and `OTEL_RESOURCE_ATTRIBUTES` are heeded.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send spans.
    ///
    /// # Errors
    /// [`TelemetryError`] when the address cannot be used. A collector that is away is no error.
    pub fn start(options: &Options) -> Result<Self, TelemetryError> {
        // A blocking client cannot be made on a thread that runs futures.
        let client =
            std::thread::spawn(|| reqwest::blocking::Client::builder().timeout(TIMEOUT).no_proxy().build())
                .join()
                .map_err(|_| fail("no thread to send spans with"))?
                .map_err(fail)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{}/v1/traces", options.endpoint.trim_end_matches('/')))
            .with_headers(options.headers.iter().cloned().collect::<HashMap<_, _>>())
            .with_timeout(TIMEOUT)
            .build()
            .map_err(fail)?;
        let resource = Resource::builder()
            .with_service_name("stoa")
            .with_attributes([
                KeyValue::new("service.version", options.version),
                KeyValue::new("service.instance.id", options.instance.clone()),
            ])
            .build();
        let provider =
            SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        opentelemetry::global::set_tracer_provider(provider.clone());
        stoa_runtime::trace::enable();
        Ok(Self(provider))
    }

    /// Sends what is left, and ends. Blocks for a few seconds at most.
    pub fn stop(self) {
        let _ = self.0.shutdown_with_timeout(TIMEOUT);
    }
}

/// Passes on what clients have seen.
#[derive(Debug)]
pub struct OtlpCollector {
    client: reqwest::Client,
    options: Options,
}

impl OtlpCollector {
    /// A way to the collector.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn new(options: Options) -> Result<Self, TelemetryError> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(fail)?;
        Ok(Self { client, options })
    }

    async fn post(&self, signal: Signal, body: String) -> Result<(), Uncollected> {
        let url = format!("{}/v1/{}", self.options.endpoint.trim_end_matches('/'), signal.name());
        let mut request = self.client.post(url).header("content-type", "application/json").body(body);
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        let away = |error: reqwest::Error| Uncollected::Away(error.without_url().to_string());
        let status = request.send().await.map_err(away)?.status();
        match status.as_u16() {
            200..300 => Ok(()),
            // A wrong key and too many requests are no fault of the report.
            401 | 403 | 408 | 429 | 500.. => {
                Err(Uncollected::Away(format!("the collector answered {status}")))
            }
            _ => Err(Uncollected::Refused),
        }
    }
}

impl Collector for OtlpCollector {
    fn collect(&self, signal: Signal, body: String) -> BoxFuture<'_, Result<(), Uncollected>> {
        Box::pin(self.post(signal, body))
    }
}

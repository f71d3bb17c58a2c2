//! Sends spans to an OpenTelemetry collector by OTLP over HTTP, from a thread of its own and within a bound: what
//! does not fit into its queue is dropped, so that a slow receiver never slows a request.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::Url;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::span_queue::SpanQueue;
use crate::metrics::SpanMetrics;

/// The path that OTLP gives to traces.
const TRACES_PATH: &str = "v1/traces";
const SERVICE_NAME: &str = "dossier-collector";
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Only spans of the collector itself are sent, and of events the store's errors, whose texts hold no values: what
/// other crates record may hold some.
const CRATE: &str = env!("CARGO_CRATE_NAME");
const STORE: &str = concat!(env!("CARGO_CRATE_NAME"), "::store");

/// Sends spans until it is shut down.
#[derive(Debug)]
pub struct TraceExporter {
    provider: SdkTracerProvider,
}

impl TraceExporter {
    /// An exporter to this endpoint: the base URL of an OTLP receiver, to which `/v1/traces` is added.
    ///
    /// # Errors
    /// [`ExporterBuildError`] if the HTTP client cannot be made.
    pub fn new(endpoint: &Url) -> Result<Self, ExporterBuildError> {
        let base = endpoint.as_str().trim_end_matches('/');
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/{TRACES_PATH}"))
            .with_timeout(SEND_TIMEOUT)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(SERVICE_NAME)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(SpanQueue::new(exporter, SpanMetrics::of_process()))
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// The layer that gives this exporter its spans.
    ///
    /// Its filter counts as one that may change its mind, so that it is asked about each span and event. With two
    /// filters that are asked once for each place in the code, tracing-subscriber 0.3 takes what the filters said of
    /// the event before for what they say of the next span, and spans are lost.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE_NAME))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(dynamic_filter_fn(|metadata, _| is_exported(metadata)))
    }

    /// Sends what waits, within the time of one attempt.
    pub fn shut_down(self) {
        // Spans that cannot be sent are lost. A trace is no record, and the end of the program waits for none.
        let _ = self.provider.shutdown_with_timeout(SEND_TIMEOUT);
    }
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    if metadata.is_span() {
        return target.starts_with(CRATE) && *metadata.level() <= Level::INFO;
    }
    target.starts_with(STORE) && metadata.fields().field("error").is_some()
}

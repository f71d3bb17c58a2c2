//! The bound of spans that wait to be sent, and the count of what became of each.
//!
//! The SDK's own queue drops what does not fit without telling anybody. This one stands before it, is never larger,
//! and so is the only one that drops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::metrics::{SpanMetrics, SpanOutcome};

/// Spans that wait to be sent, or are being sent.
pub(super) const MAX_WAITING_SPANS: usize = 2048;
const SEND_INTERVAL: Duration = Duration::from_secs(1);

/// Hands spans to an exporter, in the background.
#[derive(Debug)]
pub(super) struct SpanQueue {
    sender: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    metrics: SpanMetrics,
}

/// An exporter that counts.
#[derive(Debug)]
struct CountingExporter<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    metrics: SpanMetrics,
}

impl SpanQueue {
    pub(super) fn new<E: SpanExporter + 'static>(exporter: E, metrics: SpanMetrics) -> Self {
        let waiting = Arc::new(AtomicUsize::new(0));
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_WAITING_SPANS)
            .with_scheduled_delay(SEND_INTERVAL)
            .build();
        let exporter = CountingExporter {
            exporter,
            waiting: Arc::clone(&waiting),
            metrics: metrics.clone(),
        };
        let sender = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        Self {
            sender,
            waiting,
            metrics,
        }
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.sender.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let take = |waiting| (waiting < MAX_WAITING_SPANS).then_some(waiting + 1);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        match self.waiting.fetch_update(set, fetch, take) {
            Ok(_) => self.sender.on_end(span),
            Err(_) => self.metrics.count(SpanOutcome::dropped, 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.sender.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.sender.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.sender.set_resource(resource);
    }
}

impl<E: SpanExporter> SpanExporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        let outcome = if result.is_ok() {
            SpanOutcome::sent
        } else {
            SpanOutcome::failed
        };
        self.metrics.count(outcome, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::error::OTelSdkError;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Answers no call before it is told what to answer.
    #[derive(Debug)]
    struct HeldExporter(Mutex<Receiver<OTelSdkResult>>);

    impl SpanExporter for HeldExporter {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let answers = self.0.lock().unwrap();
            answers.recv().unwrap_or(Ok(()))
        }
    }

    fn start() -> (SdkTracerProvider, Sender<OTelSdkResult>, SpanMetrics) {
        let (answer, answers) = channel();
        let metrics = SpanMetrics::default();
        let queue = SpanQueue::new(HeldExporter(Mutex::new(answers)), metrics.clone());
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .build();
        (provider, answer, metrics)
    }

    fn counts(metrics: &SpanMetrics) -> [u64; 3] {
        [SpanOutcome::sent, SpanOutcome::failed, SpanOutcome::dropped].map(|it| metrics.get(it))
    }

    #[test]
    fn spans_beyond_bound_are_dropped_and_counted() {
        let (provider, answer, metrics) = start();
        let tracer = provider.tracer("test");
        let end_spans = |count: usize| (0..count).for_each(|_| drop(tracer.start("span")));

        end_spans(MAX_WAITING_SPANS + 100);
        assert_eq!(counts(&metrics), [0, 0, 100]);

        drop(answer);
        provider.force_flush().unwrap();
        let bound = u64::try_from(MAX_WAITING_SPANS).unwrap();
        assert_eq!(counts(&metrics), [bound, 0, 100]);

        end_spans(1);
        provider.force_flush().unwrap();
        assert_eq!(counts(&metrics), [bound + 1, 0, 100]);
    }

    #[test]
    fn refused_spans_are_counted() {
        let (provider, answer, metrics) = start();
        let refusal = OTelSdkError::InternalFailure("refused".to_owned());
        answer.send(Err(refusal)).unwrap();
        drop(provider.tracer("test").start("span"));
        provider.force_flush().unwrap_err();
        assert_eq!(counts(&metrics), [0, 1, 0]);
    }
}

//! Traces: how the span of a request joins the trace that its caller began, and where spans are sent.

pub mod export;
mod span_queue;
pub mod traceparent;

use axum::http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing::field::display;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use self::traceparent::TraceParent;

/// Makes `span` part of the trace that the request's `traceparent` names, if there is a valid one. The
/// span has a field `trace_id`.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if let Some(parent) = TraceParent::read(headers) {
        span.record(
            "trace_id",
            display(format_args!("{:032x}", parent.trace_id)),
        );
        let flags = if parent.is_sampled {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::NOT_SAMPLED
        };
        let remote = SpanContext::new(
            TraceId::from(parent.trace_id),
            SpanId::from(parent.parent_id),
            flags,
            true,
            TraceState::NONE,
        );
        let context = opentelemetry::Context::new().with_remote_span_context(remote);
        // Without an exporter there is no trace to join.
        let _ = span.set_parent(context);
    }
}

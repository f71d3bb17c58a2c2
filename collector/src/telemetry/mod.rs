//! Traces: how the span of a request joins the trace that its caller began.

pub mod traceparent;

use axum::http::HeaderMap;
use tracing::Span;
use tracing::field::display;

use self::traceparent::TraceParent;

/// Makes `span` part of the trace that the request's `traceparent` names, if there is a valid one. The
/// span has a field `trace_id`.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if let Some(parent) = TraceParent::read(headers) {
        span.record(
            "trace_id",
            display(format_args!("{:032x}", parent.trace_id)),
        );
    }
}

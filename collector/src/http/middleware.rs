//! What every request passes through: a request id, a span, a time limit, a log line, metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info, info_span};
use uuid::Uuid;

use super::deadline::with_deadline;
use super::envelope::{self, milliseconds};
use super::error::ApiError;
use crate::metrics::Metrics;
use crate::model::key::{Caller, Credential};
use crate::settings::clients::ClientSettings;
use crate::telemetry;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 128;
/// Longest URL, from its path on. All parameters of the list of sessions fit at their longest, with each
/// byte escaped. hyper refuses what is twice as long by itself, outside of the envelope.
pub(crate) const MAX_URL_BYTES: usize = 32 * 1024;
/// The route of a request that no route matches.
const NO_ROUTE: &str = "none";

/// The parts of the application that the middleware needs.
#[derive(Debug, Clone)]
pub struct RequestLayer {
    /// Counts requests.
    pub metrics: Arc<Metrics>,
    /// How long bodies and responses may take.
    pub clients: ClientSettings,
}

/// What identifies a request in its span, in the log and in metrics.
struct RequestInfo {
    id: String,
    method: Method,
    /// The route's pattern, never the path as sent.
    route: String,
}

/// The outermost layer of every request.
pub async fn handle_request(
    State(layer): State<RequestLayer>,
    request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    let info = RequestInfo::new(&request);
    let span = info.span();
    telemetry::continue_trace(&span, request.headers());

    let answering = async {
        let response = if is_too_long(request.uri()) {
            ApiError::UrlTooLong(MAX_URL_BYTES).into_response()
        } else {
            run_with_time_limits(&layer.clients, request, next).await
        };
        let response = with_id(envelope::finish(response, &info.id, begin), &info.id);
        let (status, took) = (response.status().as_u16(), begin.elapsed());
        Span::current().record("status", status);
        if response.status().is_server_error() {
            Span::current().record("otel.status_code", "ERROR");
        }
        layer
            .metrics
            .observe_request(&info.route, status, took.as_secs_f64());
        info.log(status, took);
        response
    };
    answering.instrument(span).await
}

impl RequestInfo {
    fn new(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Self {
            id: request_id(request.headers()),
            method: request.method().clone(),
            route: route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned(),
        }
    }

    /// `key_id`, `status` and `trace_id` are recorded once they are known.
    fn span(&self) -> Span {
        info_span!(
            "request",
            otel.kind = "server",
            otel.status_code = Empty,
            request_id = self.id,
            method = %self.method,
            route = self.route,
            key_id = Empty,
            status = Empty,
            trace_id = Empty,
        )
    }

    fn log(&self, status: u16, took: Duration) {
        let Self { id, method, route } = self;
        let (request_id, took_ms) = (id, milliseconds(took));
        if route.contains("/storage/") {
            info!(request_id, %method, route, status, took_ms, "answered");
        } else {
            debug!(request_id, %method, route, status, took_ms, "answered");
        }
    }
}

/// Records who sends the current request: the public id of their key, never the key.
pub(super) fn record_caller(caller: &Caller) {
    if let Credential::Key(id) = &caller.credential {
        Span::current().record("key_id", tracing::field::display(id.0));
    }
}

async fn run_with_time_limits(clients: &ClientSettings, request: Request, next: Next) -> Response {
    // In a task of its own, so that a caller who disconnects does not stop it between two statements: the
    // connection would return to the pool out of step, and give one caller's rows to the next.
    let request = request.map(|body| with_deadline(body, clients.client_timeout));
    let answering = tokio::spawn(next.run(request).in_current_span());
    match tokio::time::timeout(clients.request_timeout, answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => ApiError::internal("handle a request", error).into_response(),
        Err(_) => ApiError::TimedOut.into_response(),
    }
}

fn is_too_long(uri: &Uri) -> bool {
    let bytes = uri.path_and_query().map_or(0, |it| it.as_str().len());
    bytes > MAX_URL_BYTES
}

fn with_id(mut response: Response, request_id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The caller's own id if it is well-formed, so that logs on both sides can be matched; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        })
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;

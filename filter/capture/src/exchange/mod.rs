//! Records one request and its response: the proxy's callbacks come in, records go to the outbox.
//!
//! Any callback may be missing: with trailers there is no end of stream, a client may disconnect at any
//! time, an earlier filter may respond itself, and a malformed request gets the last callback alone. So
//! every callback may be the first one, and only the last one creates records.

mod body_recorder;
mod completion;
mod extract;
mod half_recorder;
mod lazy_headers;
mod metadata;
mod records;
mod redactor;
mod request_head;
mod session_group;
mod user;

use std::rc::Rc;
use std::time::Duration;

use dossier_wire::Half;
use dossier_wire::limits::STATUSES;
use dossier_wire::limits::filter::MAX_ROUTE_BYTES;

use crate::config::{CapturePlan, InvalidUser, RequestView, StorageType};
use crate::headers::{HeaderLookup, Headers};
use crate::host::{Host, Stream};
use crate::memory_budget::MemoryReservation;
use crate::metrics::Counter;
use crate::now::Now;
use crate::text;
use crate::vm::Plugin;
use crate::warnings::WarningKind;
use half_recorder::{FinishedHalf, HalfRecorder};
use lazy_headers::LazyHeaders;
use records::{ExchangeContext, ProxyInfo, SWITCHING_PROTOCOLS};
use redactor::Redactor;
use request_head::{HeadContext, RequestHead};

/// The recorder of one stream of the proxy.
pub struct Exchange {
    plugin: Rc<Plugin>,
    state: State,
    request: HalfRecorder,
    response: HalfRecorder,
    status: Option<u16>,
}

#[derive(Debug)]
enum State {
    /// No callback yet.
    New,
    /// The exchange is not recorded.
    Ignored,
    Recording(Box<Recording>),
}

#[derive(Debug)]
struct Recording {
    plan: Rc<CapturePlan>,
    started_at: u64,
    /// On the steady clock; only if the duration decides about recording.
    started_steady: Option<u64>,
    /// None if the buffer was full: then only the loss is reported.
    head: Option<RequestHead>,
}

impl Exchange {
    /// Before the first callback.
    #[must_use]
    pub fn new(plugin: Rc<Plugin>) -> Self {
        Self {
            plugin,
            state: State::New,
            request: HalfRecorder::new(),
            response: HalfRecorder::new(),
            status: None,
        }
    }

    /// When the request's headers arrive.
    pub fn on_request_headers(&mut self, host: &impl Host, stream: &impl Stream, ended: bool) {
        self.begin(host, stream);
        if let State::Recording(recording) = &self.state {
            self.request.mark_seen(recording.started_at, ended);
        }
    }

    /// When a chunk of the request's body arrives.
    pub fn on_request_body(
        &mut self,
        host: &impl Host,
        stream: &impl Stream,
        size: usize,
        ended: bool,
    ) {
        if !self.is_ignored() {
            self.request.add_chunk(stream, Half::Request, size);
            self.request.mark_chunk_seen(host, size, ended);
        }
    }

    /// When the response's headers are sent.
    pub fn on_response_headers(&mut self, host: &impl Host, stream: &impl Stream, ended: bool) {
        // If an earlier filter responded, this is the first callback.
        self.begin(host, stream);
        if self.is_ignored() {
            return;
        }
        let headers = stream.headers(Half::Response).unwrap_or_default();
        self.status = headers.get(":status").and_then(parse_status);
        self.response.mark_seen(host.wall_clock(), ended);
        self.response.read_headers(&headers);
        self.capture_response_headers(&headers, ended);
        if self.status == Some(SWITCHING_PROTOCOLS) {
            // The following bytes belong to another protocol.
            self.request.body.stop_capture();
            self.response.body.stop_capture();
        }
    }

    /// When a chunk of the response's body is sent.
    pub fn on_response_body(
        &mut self,
        host: &impl Host,
        stream: &impl Stream,
        size: usize,
        ended: bool,
    ) {
        if !self.is_ignored() {
            self.response.add_chunk(stream, Half::Response, size);
            self.response.mark_chunk_seen(host, size, ended);
        }
    }

    /// When trailers arrive, which end a half without an end of stream.
    pub fn on_trailers(&mut self, host: &impl Host, stream: &impl Stream, half: Half) {
        if self.is_ignored() {
            return;
        }
        let recorder = match half {
            Half::Request => &mut self.request,
            Half::Response => &mut self.response,
        };
        recorder.mark_seen(host.wall_clock(), true);
        if let State::Recording(recording) = &self.state
            && recording.plan.storage.includes(half)
            && let Some(trailers) = stream.trailers(half)
        {
            let redactor = redactor(&self.plugin, &recording.plan);
            recorder.capture_trailers(&trailers, recording.plan.headers.get(half), redactor);
        }
    }

    /// When the stream is over: adds the records to the outbox.
    pub fn finish(mut self, host: &impl Host, stream: &impl Stream) {
        self.begin(host, stream);
        let State::Recording(recording) = self.state else {
            return;
        };
        let now = Now::new(host);
        let status = self.status.or_else(|| records::read_status(stream));
        let when = &recording.plan.when;
        if !when.matches(status, || recording.duration(&now)) {
            return;
        }
        let proxy_info = recording
            .head
            .is_some()
            .then(|| ProxyInfo::read(stream, &self.response, status));
        if self.response.began_at.is_none() {
            self.response
                .body
                .set_size(records::read_response_size(stream));
        }
        let halves = [
            self.request.finish(Half::Request, &now),
            self.response.finish(Half::Response, &now),
        ];
        match proxy_info {
            Some(proxy_info) => {
                record_exchange(&self.plugin, *recording, host, &now, halves, &proxy_info);
            }
            None => record_loss(&self.plugin, &recording.plan, &now, &halves),
        }
    }

    fn is_ignored(&self) -> bool {
        matches!(self.state, State::Ignored)
    }

    /// Decides on the first callback, by the request's headers, whether and how to record the exchange.
    fn begin(&mut self, host: &impl Host, stream: &impl Stream) {
        if !matches!(self.state, State::New) {
            return;
        }
        self.state = State::Ignored;
        let request = LazyHeaders::new(stream);
        let rules = &self.plugin.rules;
        let shared = &self.plugin.shared;
        // Most requests are like the previous one.
        let likely = shared.recorded_last.replace(false);
        if likely || rules.records_everything() {
            // Fetching all headers at once costs less than some of them one by one and then all.
            request.load();
        }
        let asked = rules.needs_route_name();
        let route = asked.then(|| read_route_name(stream)).flatten();
        let plan = self.choose_plan(host, stream, &RequestView::new(&request, route.as_deref()));
        if plan.storage == StorageType::None || !is_sampled(&plan, host, &request) {
            return;
        }
        let Some(headers) = request.load() else {
            return;
        };
        let identity = user::identify(&self.plugin.user, headers, stream);
        if identity.invalid {
            shared.metrics.increment(Counter::UsersInvalid, 1);
            if self.plugin.invalid_user == InvalidUser::Drop {
                return;
            }
        }
        let route = if asked {
            route
        } else {
            read_route_name(stream)
        };
        shared.recorded_last.set(true);
        let started_at = host.wall_clock();
        let redactor = redactor(&self.plugin, &plan);
        let context = HeadContext {
            plan: &plan,
            user_id: identity.user_id,
            headers,
            route: route.as_deref(),
            redactor,
        };
        let reservation = MemoryReservation::new(Rc::clone(&shared.budget));
        let counts = &mut self.request.redactions;
        let mut head = RequestHead::read(context, counts, reservation);
        self.request.read_headers(headers);
        if let Some(head) = &mut head {
            self.request
                .capture_headers(Half::Request, &plan, headers, redactor, head);
            self.request
                .start_body(Half::Request, &plan, &shared.budget);
        }
        let started_steady = plan.when.needs_duration().then(|| host.steady_clock());
        self.state = State::Recording(Box::new(Recording {
            plan,
            started_at,
            started_steady,
            head,
        }));
    }

    fn choose_plan(
        &self,
        host: &impl Host,
        stream: &impl Stream,
        request: &RequestView<'_>,
    ) -> Rc<CapturePlan> {
        let metadata = stream.attribute(&["xds", "route_metadata"]);
        let Plugin { rules, shared, .. } = &*self.plugin;
        rules.choose_plan(request, metadata.as_deref(), |problems| {
            let now = host.steady_clock();
            shared.warnings.warn(WarningKind::RouteMetadata, now, || {
                let route = read_route_name(stream).unwrap_or_default();
                let route = text::truncate(&route, MAX_ROUTE_BYTES).text;
                let problems: Vec<_> = problems.lines().collect();
                format!(
                    "invalid metadata of route \"{route}\", its exchanges are recorded without query, \
                     headers and bodies: {}",
                    problems.join("; ")
                )
            });
        })
    }

    fn capture_response_headers(&mut self, headers: &Headers, ended: bool) {
        let State::Recording(recording) = &mut self.state else {
            return;
        };
        let Recording { plan, head, .. } = &mut **recording;
        if let Some(head) = head {
            let redactor = redactor(&self.plugin, plan);
            self.response
                .capture_headers(Half::Response, plan, headers, redactor, head);
            if ended {
                // A gRPC response without messages carries its trailers as headers.
                self.response.capture_trailers(headers, &[], redactor);
            }
            let budget = &self.plugin.shared.budget;
            self.response.start_body(Half::Response, plan, budget);
        }
    }
}

impl Recording {
    fn duration(&self, now: &Now<'_>) -> Duration {
        let started = self.started_steady;
        let took = started.map(|started| now.steady().saturating_sub(started));
        Duration::from_micros(took.unwrap_or(0))
    }
}

/// The name of Envoy's route; empty if it has none.
fn read_route_name(stream: &impl Stream) -> Option<Vec<u8>> {
    stream.attribute(&["xds", "route_name"])
}

/// By the request id; without one, at random.
fn is_sampled(plan: &CapturePlan, host: &impl Host, request: &impl HeaderLookup) -> bool {
    if plan.sample.is_all() {
        return true;
    }
    match request.first("x-request-id") {
        Some(id) if !id.is_empty() => plan.sample.includes(&id),
        _ => {
            let mut id = [0; 16];
            host.random(&mut id) && plan.sample.includes(&id)
        }
    }
}

fn redactor<'a>(plugin: &'a Plugin, plan: &'a CapturePlan) -> Redactor<'a> {
    Redactor {
        redaction: plan.redaction.as_ref(),
        key: plugin.hash_key.as_ref(),
    }
}

/// Redacts both halves, extracts metadata from the bodies, and adds the records to the outbox.
fn record_exchange(
    plugin: &Plugin,
    recording: Recording,
    host: &impl Host,
    now: &Now<'_>,
    mut halves: [FinishedHalf; 2],
    proxy_info: &ProxyInfo,
) {
    let Recording {
        plan,
        started_at,
        head: Some(mut head),
        ..
    } = recording
    else {
        return;
    };
    let redactor = redactor(plugin, &plan);
    for half in &mut halves {
        half.redact(redactor, &plan);
        let session = half.extract(&plan, &mut head.metadata);
        head.session = session.or(head.session);
    }
    head.metadata.limit();
    let mut halves = records::select_recorded(halves, &plan);
    let redacted = halves.iter().map(|half| half.redactions.total()).sum();
    plugin
        .shared
        .metrics
        .increment(Counter::ValuesRedacted, redacted);
    let context = ExchangeContext {
        exchange_id: plugin.shared.uuid(host, started_at),
        plan: &plan,
        head: &head,
        proxy_info,
        workload: plugin.workload.as_ref(),
        started_at,
    };
    let mut records: Vec<_> = halves
        .iter_mut()
        .map(|half| context.pending_record(half))
        .collect();
    plugin.outbox.borrow_mut().add(host, now, &mut records);
}

/// Reports an exchange for which the buffer was full when it began.
fn record_loss(plugin: &Plugin, plan: &CapturePlan, now: &Now<'_>, halves: &[FinishedHalf]) {
    let captured_bytes = |half: &FinishedHalf| half.size.min(plan.max_body_bytes as u64);
    let recorded = halves
        .iter()
        .filter(|half| plan.storage.includes(half.half));
    let bytes = recorded.map(captured_bytes).sum();
    let records = plan.storage.record_count();
    plugin
        .outbox
        .borrow_mut()
        .drop_exchange(now, records, bytes);
}

fn parse_status(digits: &[u8]) -> Option<u16> {
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    STATUSES.contains(&status).then_some(status)
}

#[cfg(test)]
mod tests;

//! One request and its response, fed by the proxy's callbacks and finished in the last of them.
//!
//! Callbacks may be missing: with trailers there is no end of stream, a client may leave at any time,
//! a filter before ours may answer by itself, and a malformed request gets the last callback alone.
//! So every callback may be the first, and only the last one makes records.

mod body;
mod completion;
mod group;
mod head;
mod records;
mod redactor;
mod request;
mod side;
mod user;
mod values;

use std::rc::Rc;
use std::time::Duration;

use dossier_wire::Half;

use crate::budget::Lease;
use crate::config::{Plan, Storage, Subject};
use crate::headers::{Headers, Lookup};
use crate::host::{Counter, Host, Stream};
use crate::notices::Kind;
use crate::outbox::Now;
use crate::text;
use crate::vm::Plugin;
use head::{Head, Reading};
use records::{Account, Facts};
use redactor::Redactor;
use request::Asked;
use side::{FinishedSide, Side};

/// One stream of the proxy.
pub struct Exchange {
    plugin: Rc<Plugin>,
    state: State,
    request: Side,
    response: Side,
    status: Option<u16>,
}

#[derive(Debug)]
enum State {
    /// The request's head has not been seen.
    New,
    /// The configuration does not want this exchange: nothing more is done for it.
    Ignored,
    Recording(Box<Recording>),
}

#[derive(Debug)]
struct Recording {
    plan: Rc<Plan>,
    started_at: u64,
    /// On the steady clock; only where a duration decides.
    started_steady: Option<u64>,
    /// None: there was no room for it, so the exchange is only accounted for.
    head: Option<Head>,
}

const SWITCHING_PROTOCOLS: u16 = 101;

impl Exchange {
    /// A stream that nothing is known of.
    #[must_use]
    pub fn new(plugin: Rc<Plugin>) -> Self {
        Self {
            plugin,
            state: State::New,
            request: Side::new(),
            response: Side::new(),
            status: None,
        }
    }

    /// The request's headers have arrived.
    pub fn request_head(&mut self, host: &impl Host, stream: &impl Stream, ended: bool) {
        self.begin(host, stream);
        if let State::Recording(recording) = &self.state {
            self.request.saw(recording.started_at, ended);
        }
    }

    /// A chunk of the request's body has arrived.
    pub fn request_chunk(
        &mut self,
        host: &impl Host,
        stream: &impl Stream,
        size: usize,
        ended: bool,
    ) {
        if !self.is_ignored() {
            self.request.chunk(stream, Half::Request, size);
            self.request.passed(host, size, ended);
        }
    }

    /// The response's headers are leaving.
    pub fn response_head(&mut self, host: &impl Host, stream: &impl Stream, ended: bool) {
        // A filter before ours may have answered, so that this is the first that we see.
        self.begin(host, stream);
        if self.is_ignored() {
            return;
        }
        let headers = stream.headers(Half::Response).unwrap_or_default();
        self.status = headers.get(":status").and_then(parse);
        self.response.saw(host.wall_clock(), ended);
        self.response.head(&headers);
        self.take_response_head(&headers, ended);
        if self.status == Some(SWITCHING_PROTOCOLS) {
            // What follows is another protocol's traffic, not a body.
            self.request.body.stop_reading();
            self.response.body.stop_reading();
        }
    }

    /// A chunk of the response's body is leaving.
    pub fn response_chunk(
        &mut self,
        host: &impl Host,
        stream: &impl Stream,
        size: usize,
        ended: bool,
    ) {
        if !self.is_ignored() {
            self.response.chunk(stream, Half::Response, size);
            self.response.passed(host, size, ended);
        }
    }

    /// Trailers end a half for which no end of stream was told.
    pub fn trailers(&mut self, host: &impl Host, stream: &impl Stream, half: Half) {
        if self.is_ignored() {
            return;
        }
        let side = match half {
            Half::Request => &mut self.request,
            Half::Response => &mut self.response,
        };
        side.saw(host.wall_clock(), true);
        if let State::Recording(recording) = &self.state
            && recording.plan.storage.has(half)
            && let Some(trailers) = stream.trailers(half)
        {
            let redactor = redactor(&self.plugin, &recording.plan);
            side.keep_trailers(&trailers, recording.plan.headers.of(half), redactor);
        }
    }

    /// The stream is over: its records go to the outbox.
    pub fn finish(mut self, host: &impl Host, stream: &impl Stream) {
        self.begin(host, stream);
        let State::Recording(recording) = self.state else {
            return;
        };
        let now = Now::of(host);
        let status = self.status.or_else(|| records::status(stream));
        let when = &recording.plan.when;
        if !when.keeps(status, || recording.took(&now)) {
            return;
        }
        let account = recording
            .head
            .is_some()
            .then(|| Account::read(stream, &self.response, status));
        if self.response.began_at.is_none() {
            self.response.body.passed(records::response_size(stream));
        }
        let sides = [
            self.request.finish(Half::Request, &now),
            self.response.finish(Half::Response, &now),
        ];
        match account {
            Some(account) => record(&self.plugin, *recording, host, &now, sides, &account),
            None => account_for_loss(&self.plugin, &recording.plan, &now, &sides),
        }
    }

    fn is_ignored(&self) -> bool {
        matches!(self.state, State::Ignored)
    }

    /// Decides once, from the request's head, whether and how the exchange is recorded.
    fn begin(&mut self, host: &impl Host, stream: &impl Stream) {
        if !matches!(self.state, State::New) {
            return;
        }
        self.state = State::Ignored;
        let request = Asked::of(stream);
        let rules = &self.plugin.rules;
        let shared = &self.plugin.shared;
        // Most traffic is much like what came before it.
        let likely = shared.recorded_last.replace(false);
        if likely || rules.record_all() {
            // One call for all of them is less than one for each and then this one.
            request.get();
        }
        let asked = rules.ask_for_route();
        let route = asked.then(|| route_name(stream)).flatten();
        let plan = self.plan(host, stream, &Subject::new(&request, route.as_deref()));
        if plan.storage == Storage::None || !is_sampled(&plan, host, &request) {
            return;
        }
        let Some(headers) = request.get() else {
            return;
        };
        let route = if asked { route } else { route_name(stream) };
        shared.recorded_last.set(true);
        let started_at = host.wall_clock();
        let redactor = redactor(&self.plugin, &plan);
        let reading = Reading {
            plan: &plan,
            user: &self.plugin.user,
            headers,
            route: route.as_deref(),
            redactor,
        };
        let lease = Lease::new(Rc::clone(&shared.budget));
        let counts = &mut self.request.redactions;
        let mut head = Head::read(&reading, stream, counts, lease);
        self.request.head(headers);
        if let Some(head) = &mut head {
            self.request
                .take_head(Half::Request, &plan, headers, redactor, head);
            self.request.read_body(Half::Request, &plan, &shared.budget);
        }
        let started_steady = plan.when.is_timed().then(|| host.steady_clock());
        self.state = State::Recording(Box::new(Recording {
            plan,
            started_at,
            started_steady,
            head,
        }));
    }

    fn plan(&self, host: &impl Host, stream: &impl Stream, subject: &Subject<'_>) -> Rc<Plan> {
        let metadata = stream.attribute(&["xds", "route_metadata"]);
        let Plugin { rules, shared, .. } = &*self.plugin;
        rules.plan(subject, metadata.as_deref(), |problems| {
            let now = host.steady_clock();
            shared.notices.warn(Kind::RouteMetadata, now, || {
                let route = text::bounded(&route_name(stream).unwrap_or_default(), 256);
                let faults: Vec<_> = problems.lines().collect();
                format!(
                    "metadata of route \"{route}\" is faulty, so that only the bare facts of its \
                     exchanges are recorded: {}",
                    faults.join("; ")
                )
            });
        })
    }

    fn take_response_head(&mut self, headers: &Headers, ended: bool) {
        let State::Recording(recording) = &mut self.state else {
            return;
        };
        let Recording { plan, head, .. } = &mut **recording;
        if let Some(head) = head {
            let redactor = redactor(&self.plugin, plan);
            self.response
                .take_head(Half::Response, plan, headers, redactor, head);
            if ended {
                // A gRPC answer without messages has its trailers for headers.
                self.response.keep_trailers(headers, &[], redactor);
            }
            let budget = &self.plugin.shared.budget;
            self.response.read_body(Half::Response, plan, budget);
        }
    }
}

impl Recording {
    fn took(&self, now: &Now<'_>) -> Duration {
        let started = self.started_steady;
        let took = started.map(|started| now.steady().saturating_sub(started));
        Duration::from_micros(took.unwrap_or(0))
    }
}

/// The name of Envoy's route; empty if it has none.
fn route_name(stream: &impl Stream) -> Option<Vec<u8>> {
    stream.attribute(&["xds", "route_name"])
}

/// Decides by the request's id; without one, by chance.
fn is_sampled(plan: &Plan, host: &impl Host, request: &impl Lookup) -> bool {
    if plan.sample.is_all() {
        return true;
    }
    match request.first("x-request-id") {
        Some(id) if !id.is_empty() => plan.sample.takes(&id),
        _ => {
            let mut id = [0; 16];
            host.random(&mut id) && plan.sample.takes(&id)
        }
    }
}

fn redactor<'a>(plugin: &'a Plugin, plan: &'a Plan) -> Redactor<'a> {
    Redactor {
        redaction: plan.redaction.as_ref(),
        key: plugin.hash_key.as_ref(),
    }
}

/// Redacts, takes out of the bodies what the plan wants, and hands the records to the outbox.
fn record(
    plugin: &Plugin,
    recording: Recording,
    host: &impl Host,
    now: &Now<'_>,
    mut sides: [FinishedSide; 2],
    account: &Account,
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
    for side in &mut sides {
        side.redact(redactor, &plan);
        let session = side.extract(&plan, &mut head.metadata);
        head.session = session.or(head.session);
    }
    let mut sides = records::recorded(sides, &plan);
    let redacted = sides.iter().map(|side| side.redactions.total()).sum();
    plugin.shared.stats.count(Counter::ValuesRedacted, redacted);
    let facts = Facts {
        exchange_id: plugin.shared.uuid(host, started_at),
        plan: &plan,
        head: &head,
        account,
        workload: plugin.workload.as_ref(),
        started_at,
    };
    let mut entries: Vec<_> = sides.iter_mut().map(|side| facts.entry(side)).collect();
    plugin.outbox.borrow_mut().add(host, now, &mut entries);
}

/// There was no room for the exchange when it began.
fn account_for_loss(plugin: &Plugin, plan: &Plan, now: &Now<'_>, sides: &[FinishedSide]) {
    let kept = |side: &FinishedSide| side.size.min(plan.max_body_bytes as u64);
    let recorded = sides.iter().filter(|side| plan.storage.has(side.half));
    let bytes = recorded.map(kept).sum();
    let records = plan.storage.records();
    plugin.outbox.borrow_mut().lost(now, records, bytes);
}

fn parse(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;

//! One request and its response, fed by the proxy's callbacks and finished in the last of them.
//!
//! Callbacks may be missing: with trailers there is no end of stream, a client may leave at any time,
//! a filter before ours may answer by itself, and a malformed request gets the last callback alone.
//! So every callback may be the first, and only the last one makes records.

mod body;
mod completion;
mod head;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use dossier_wire::{BodyMissing, Half, Record, SessionRule};

use crate::budget::Lease;
use crate::config::{Plan, Storage, Subject};
use crate::headers::Headers;
use crate::host::{Host, Stream};
use crate::notices::Kind;
use crate::outbox::{Entry, Now};
use crate::text;
use crate::vm::Plugin;
use body::{Body, Finished};
use completion::{Ending, completion};
use head::Head;

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
    /// None: there was no room for it, so the exchange is only accounted for.
    head: Option<Head>,
}

/// What was seen of one half.
struct Side {
    began_at: Option<u64>,
    latest_at: Option<u64>,
    ended: bool,
    body: Body,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

const MAX_CONTENT_TYPE_BYTES: usize = 256;
const SWITCHING_PROTOCOLS: u16 = 101;

impl Side {
    const fn new() -> Self {
        Self {
            began_at: None,
            latest_at: None,
            ended: false,
            body: Body::counted(),
            content_type: None,
            content_encoding: None,
        }
    }

    fn head(&mut self, now: u64, headers: &Headers, ended: bool) {
        let header = |name: &str| {
            headers
                .get(name)
                .map(|value| text::bounded(value, MAX_CONTENT_TYPE_BYTES))
        };
        self.began_at.get_or_insert(now);
        self.latest_at = Some(now);
        self.ended |= ended;
        self.content_type = header("content-type");
        self.content_encoding = header("content-encoding");
    }
}

impl Exchange {
    /// A stream that nothing is known of.
    #[must_use]
    pub const fn new(plugin: Rc<Plugin>) -> Self {
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
        if let (State::Recording(recording), Some(headers)) =
            (&self.state, stream.headers(Half::Request))
        {
            self.request.head(recording.started_at, &headers, ended);
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
        self.chunk(host, stream, Half::Request, size, ended);
    }

    /// The response's headers are leaving.
    pub fn response_head(&mut self, host: &impl Host, stream: &impl Stream, ended: bool) {
        if self.is_ignored() {
            return;
        }
        let headers = stream.headers(Half::Response).unwrap_or_default();
        self.status = headers.get(":status").and_then(parse);
        self.response.head(host.wall_clock(), &headers, ended);
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
        self.chunk(host, stream, Half::Response, size, ended);
    }

    /// Trailers end a half for which no end of stream was told.
    pub fn trailers(&mut self, host: &impl Host, half: Half) {
        if !self.is_ignored() {
            let side = self.side(half);
            side.ended = true;
            side.latest_at = Some(host.wall_clock());
        }
    }

    /// The stream is over: its records go to the outbox.
    pub fn finish(mut self, host: &impl Host, stream: &impl Stream) {
        self.begin(host, stream);
        let Self {
            plugin,
            state: State::Recording(recording),
            request,
            response,
            status,
        } = self
        else {
            return;
        };
        let now = Now::of(host);
        let details = stream
            .attribute(&["response", "code_details"])
            .unwrap_or_default();
        let completion = completion(Ending {
            flags: number(stream, &["response", "flags"]).unwrap_or(0),
            details: &details,
            response_began: response.began_at.is_some(),
            response_ended: response.ended,
        });
        let status = status.or_else(|| {
            number(stream, &["response", "code"]).and_then(|code| u16::try_from(code).ok())
        });
        let Recording {
            plan,
            started_at,
            head,
        } = *recording;
        let mut halves = Vec::with_capacity(2);
        if plan.storage.request() {
            halves.push((Half::Request, request.finish(started_at, now.wall)));
        }
        if plan.storage.response() {
            halves.push((Half::Response, response.finish(now.wall, now.wall)));
        }
        let Some(head) = head else {
            let bytes = halves
                .iter()
                .map(|(_, side)| side.body.size.min(plan.max_body_bytes as u64))
                .sum();
            plugin
                .outbox
                .borrow_mut()
                .lost(now, plan.storage.records(), bytes);
            return;
        };
        let exchange_id = plugin.shared.uuid(host, started_at);
        let endpoint = plan
            .endpoint
            .as_deref()
            .or(head.endpoint.as_deref())
            .unwrap_or("/");
        let mut entries: Vec<_> = halves
            .iter_mut()
            .map(|(half, side)| Entry {
                body: std::mem::take(&mut side.body.kept),
                lost: side.body.lost,
                record: Record {
                    exchange_id,
                    half: *half,
                    user_id: Cow::Borrowed(&head.user_id),
                    endpoint: Cow::Borrowed(endpoint),
                    method: Cow::Borrowed(&head.method),
                    path: Cow::Borrowed(&head.path),
                    query: borrowed(head.query.as_ref()),
                    host: borrowed(head.host.as_ref()),
                    route: borrowed(head.route.as_ref()),
                    status,
                    metadata: plan.metadata.clone(),
                    session: plan
                        .session_timeout_minutes
                        .map(SessionRule::TimeoutMinutes),
                    ttl_days: plan.ttl_days,
                    compress: plan.compress,
                    started_at,
                    first_byte_at: side.first_byte_at,
                    ended_at: side.ended_at,
                    body_size: side.body.size,
                    body_xxh3: borrowed(side.body.hash.as_ref()),
                    content_type: borrowed(side.content_type.as_ref()),
                    content_encoding: borrowed(side.content_encoding.as_ref()),
                    truncated: side.body.truncated,
                    body_ttl_days: None,
                    body_decoded: false,
                    body_missing: side.body.dropped.then_some(BodyMissing::Dropped),
                    redactions: BTreeMap::new(),
                    headers: Vec::new(),
                    trailers: Vec::new(),
                    response_flags: 0,
                    response_details: None,
                    upstream_host: None,
                    workload: None,
                    completion,
                    request_id: borrowed(head.request_id.as_ref()),
                    traceparent: borrowed(head.traceparent.as_ref()),
                },
            })
            .collect();
        plugin.outbox.borrow_mut().add(host, now, &mut entries);
    }

    fn is_ignored(&self) -> bool {
        matches!(self.state, State::Ignored)
    }

    const fn side(&mut self, half: Half) -> &mut Side {
        match half {
            Half::Request => &mut self.request,
            Half::Response => &mut self.response,
        }
    }

    fn chunk(
        &mut self,
        host: &impl Host,
        stream: &impl Stream,
        half: Half,
        size: usize,
        ended: bool,
    ) {
        if self.is_ignored() {
            return;
        }
        let seen = self.side(half);
        seen.body.chunk(stream, half, size);
        seen.ended |= ended;
        seen.latest_at = Some(host.wall_clock());
    }

    /// Decides once, from the request's head, whether and how the exchange is recorded.
    fn begin(&mut self, host: &impl Host, stream: &impl Stream) {
        if !matches!(self.state, State::New) {
            return;
        }
        self.state = State::Ignored;
        let Some(headers) = stream.headers(Half::Request) else {
            return;
        };
        let target = headers.get(":path").unwrap_or_default();
        let subject = Subject {
            path: text::split_query(target).0,
        };
        let metadata = stream.attribute(&["xds", "route_metadata"]);
        let route = stream.attribute(&["xds", "route_name"]);
        let Plugin {
            rules,
            user_headers,
            shared,
            ..
        } = &*self.plugin;
        let plan = rules.plan(&subject, metadata.as_deref(), |problems| {
            let route = text::bounded(route.as_deref().unwrap_or_default(), 256);
            shared
                .notices
                .warn(Kind::RouteMetadata, host.steady_clock(), || {
                    let faults: Vec<_> = problems.lines().collect();
                    format!(
                        "metadata of route \"{route}\" is not used: {}",
                        faults.join("; ")
                    )
                });
        });
        if plan.storage == Storage::None {
            return;
        }
        let lease = Lease::new(Rc::clone(&shared.budget));
        let has_endpoint = plan.endpoint.is_some();
        let head = Head::read(
            &headers,
            route.as_deref(),
            user_headers,
            has_endpoint,
            lease,
        );
        if head.is_some() {
            if plan.storage.request() {
                self.request.body.read(plan.max_body_bytes, &shared.budget);
            }
            if plan.storage.response() {
                self.response.body.read(plan.max_body_bytes, &shared.budget);
            }
        }
        let started_at = host.wall_clock();
        self.state = State::Recording(Box::new(Recording {
            plan,
            started_at,
            head,
        }));
    }
}

/// One half at its end.
#[derive(Debug)]
struct FinishedSide {
    first_byte_at: u64,
    ended_at: u64,
    body: Finished,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

impl Side {
    fn finish(self, began: u64, ended: u64) -> FinishedSide {
        FinishedSide {
            first_byte_at: self.began_at.unwrap_or(began),
            ended_at: self.latest_at.unwrap_or(ended),
            body: self.body.finish(),
            content_type: self.content_type,
            content_encoding: self.content_encoding,
        }
    }
}

fn parse(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn borrowed(text: Option<&String>) -> Option<Cow<'_, str>> {
    text.map(|text| Cow::Borrowed(text.as_str()))
}

/// A number attribute: the host writes eight bytes, the lowest first.
fn number(stream: &impl Stream, path: &[&str]) -> Option<u64> {
    stream
        .attribute(path)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;

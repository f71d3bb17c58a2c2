//! What was seen of one half of an exchange.

use std::borrow::Cow;
use std::rc::Rc;

use dossier_wire::{BodyMissing, Half};

use serde_json::{Map, Value};

use super::body::Body;
use super::head::Head;
use super::redactor::Redactor;
use super::values;
use crate::budget::Budget;
use crate::config::Plan;
use crate::headers::Headers;
use crate::host::{Host, Stream};
use crate::outbox::Now;
use crate::redact::{self, Counts};
use crate::text;

/// One half as far as it has come.
pub(super) struct Side {
    pub(super) began_at: Option<u64>,
    pub(super) latest_at: Option<u64>,
    pub(super) ended: bool,
    /// By `content-length`.
    length: Option<u64>,
    pub(super) body: Body,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) redactions: Counts,
}

/// One half at its end.
#[derive(Debug)]
pub(super) struct FinishedSide {
    pub(super) half: Half,
    pub(super) first_byte_at: u64,
    pub(super) ended_at: u64,
    pub(super) kept: Vec<u8>,
    pub(super) size: u64,
    pub(super) hash: Option<String>,
    pub(super) truncated: bool,
    pub(super) missing: Option<BodyMissing>,
    /// Bytes that would have been kept but for the budget.
    pub(super) lost: u64,
    pub(super) decoded: bool,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) redactions: Counts,
}

const MAX_CONTENT_TYPE_BYTES: usize = 256;
/// Longest value of a recorded header.
const MAX_VALUE_BYTES: usize = 4 << 10;
/// Most bytes of the recorded headers of one half, and of its trailers.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// How a gRPC call ended stands here and nowhere else.
const GRPC_STATUS: &str = "grpc-status";

impl Side {
    pub(super) fn new() -> Self {
        Self {
            began_at: None,
            latest_at: None,
            ended: false,
            length: None,
            body: Body::counted(),
            content_type: None,
            content_encoding: None,
            headers: Vec::new(),
            trailers: Vec::new(),
            redactions: Counts::default(),
        }
    }

    /// Something of this half was seen.
    pub(super) fn saw(&mut self, now: u64, ended: bool) {
        self.began_at.get_or_insert(now);
        self.latest_at = Some(now);
        self.ended |= ended;
    }

    /// The headers have arrived.
    pub(super) fn head(&mut self, headers: &Headers) {
        // Whoever reads the body may go by any of several values.
        let header = |name: &str| {
            let mut values = headers.all(name);
            let first = values.next()?;
            let rest: Vec<_> = values.collect();
            let joined = match rest.as_slice() {
                [] => Cow::Borrowed(first),
                rest => Cow::Owned([&[first], rest].concat().join(&b", "[..])),
            };
            Some(text::bounded(&joined, MAX_CONTENT_TYPE_BYTES))
        };
        let length = headers.get("content-length").map(std::str::from_utf8);
        self.length = length.and_then(|digits| digits.ok()?.parse().ok());
        self.content_type = header("content-type");
        self.content_encoding = header("content-encoding");
    }

    /// Keeps the headers that the plan names, and takes metadata from them.
    pub(super) fn take_head(
        &mut self,
        half: Half,
        plan: &Plan,
        headers: &Headers,
        redactor: Redactor<'_>,
        head: &mut Head,
    ) {
        let counts = &mut self.redactions;
        if plan.storage.has(half) {
            self.headers = pick(headers, plan.headers.of(half), counts, redactor);
        }
        values::from_headers(
            plan.extracted.of(half),
            headers,
            (redactor, counts),
            &mut head.metadata,
        );
    }

    /// Keeps the trailers that the plan names, and how a gRPC call ended.
    pub(super) fn keep_trailers(
        &mut self,
        trailers: &Headers,
        names: &[String],
        redactor: Redactor<'_>,
    ) {
        self.trailers = pick(trailers, names, &mut self.redactions, redactor);
        let is_named = names.iter().any(|name| name == GRPC_STATUS);
        if let Some(status) = trailers.get(GRPC_STATUS).filter(|_| !is_named) {
            let status = text::bounded(status, MAX_CONTENT_TYPE_BYTES);
            self.trailers.push((GRPC_STATUS.to_owned(), status));
        }
    }

    /// Keeps the body from now on, if it is of a type that the plan wants.
    pub(super) fn read_body(&mut self, half: Half, plan: &Plan, budget: &Rc<Budget>) {
        if plan.reads_body(half, self.content_type.as_deref()) {
            self.body.read(plan.max_body_bytes, budget);
        }
    }

    /// A chunk of the body has arrived.
    pub(super) fn chunk(&mut self, stream: &impl Stream, half: Half, size: usize) {
        self.body.chunk(stream, half, size);
    }

    /// Notes when a chunk was seen. That of an empty one that ends a body which was whole before is
    /// known: it comes at once behind the last byte.
    pub(super) fn passed(&mut self, host: &impl Host, size: usize, ended: bool) {
        let was_whole = size == 0 && self.length == Some(self.body.size());
        match self.latest_at.filter(|_| was_whole) {
            Some(_) => self.ended |= ended,
            None => self.saw(host.wall_clock(), ended),
        }
    }

    /// The half is over. Now stands in for moments that were not seen.
    pub(super) fn finish(self, half: Half, now: &Now<'_>) -> FinishedSide {
        let body = self.body.finish();
        FinishedSide {
            half,
            first_byte_at: self.began_at.unwrap_or_else(|| now.wall()),
            ended_at: self.latest_at.unwrap_or_else(|| now.wall()),
            kept: body.kept,
            size: body.size,
            hash: body.hash,
            truncated: body.truncated,
            missing: body.missing,
            lost: body.lost,
            decoded: false,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            headers: self.headers,
            trailers: self.trailers,
            redactions: self.redactions,
        }
    }
}

impl FinishedSide {
    /// Takes out of the body what must not be kept. It counts only if the half is recorded: else the
    /// body is only looked at for metadata.
    pub(super) fn redact(&mut self, redactor: Redactor<'_>, plan: &Plan) {
        if self.kept.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.kept);
        let (content_type, content_encoding) = (
            self.content_type.as_deref(),
            self.content_encoding.as_deref(),
        );
        let body = redact::Body {
            bytes,
            content_type,
            content_encoding,
            truncated: self.truncated,
            most: plan.max_body_bytes,
        };
        let mut counts = Counts::default();
        let searched = redactor.body(body, &mut counts);
        self.kept = searched.bytes;
        self.decoded = searched.decoded;
        self.truncated = searched.truncated;
        self.missing = self.missing.or(searched.missing);
        // The hash of a body that holds a short secret would tell the secret to who tries them all.
        if !counts.is_empty() || self.missing.is_some() || searched.partly {
            self.hash = None;
        }
        if plan.storage.has(self.half) {
            self.redactions.absorb(&counts);
        }
    }
}

impl FinishedSide {
    /// Takes metadata out of the body, and returns the session that it names.
    pub(super) fn extract(&self, plan: &Plan, metadata: &mut Map<String, Value>) -> Option<String> {
        let extraction = plan.extracted.of(self.half);
        if !extraction.needs_body() || self.kept.is_empty() {
            return None;
        }
        let encoding = self.content_encoding.as_deref().filter(|_| !self.decoded);
        let body = redact::plain(&self.kept, encoding, plan.max_body_bytes)?;
        values::from_body(extraction, &body, metadata)
    }

    /// Counts as its own what was redacted in the other half, which is not recorded.
    pub(super) fn head_redactions_of(&mut self, other: &Self) {
        self.redactions.absorb(&other.redactions);
    }
}

fn pick(
    headers: &Headers,
    names: &[String],
    counts: &mut Counts,
    redactor: Redactor<'_>,
) -> Vec<(String, String)> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut room = MAX_HEADER_BYTES;
    headers
        .iter()
        .filter_map(|(name, value)| Some((names.iter().find(|it| it.as_bytes() == name)?, value)))
        .map(|(name, value)| {
            let value = redactor.header(name, (value, MAX_VALUE_BYTES), counts);
            (name.clone(), value)
        })
        .take_while(|(name, value)| {
            let bytes = name.len() + value.len();
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        })
        .collect()
}

//! Records one half of an exchange.

use std::borrow::Cow;
use std::rc::Rc;

use dossier_content::content_coding::ContentCoding;
use dossier_wire::limits::MAX_HEADERS;
use dossier_wire::limits::filter::{
    MAX_CONTENT_TYPE_BYTES, MAX_HEADER_VALUE_BYTES, MAX_HEADERS_BYTES,
};
use dossier_wire::{BodyMissing, Half, TruncatedField, TruncatedFields};

use super::body_recorder::BodyRecorder;
use super::extract;
use super::metadata::Metadata;
use super::redactor::Redactor;
use super::request_head::RequestHead;
use crate::config::CapturePlan;
use crate::headers::Headers;
use crate::host::{Host, Stream};
use crate::memory_budget::MemoryBudget;
use crate::now::Now;
use crate::redact::{self, RedactionCounts};
use crate::text::{self, Truncated};

/// The state of a half during the exchange.
pub(super) struct HalfRecorder {
    pub(super) began_at: Option<u64>,
    pub(super) latest_at: Option<u64>,
    pub(super) ended: bool,
    /// According to `content-length`.
    length: Option<u64>,
    pub(super) body: BodyRecorder,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) redactions: RedactionCounts,
    /// Of the fields above.
    pub(super) truncated_fields: TruncatedFields,
}

/// The result of a [`HalfRecorder`].
#[derive(Debug)]
pub(super) struct FinishedHalf {
    pub(super) half: Half,
    pub(super) first_byte_at: u64,
    pub(super) ended_at: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) size: u64,
    pub(super) hash: Option<String>,
    pub(super) truncated: bool,
    pub(super) missing: Option<BodyMissing>,
    /// Bytes that were dropped because the budget was exhausted.
    pub(super) lost_bytes: u64,
    pub(super) decoded: bool,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) redactions: RedactionCounts,
    /// Of metadata that the collector is to take from the body.
    pub(super) metadata_paths: Vec<(String, String)>,
    /// Of the fields above.
    pub(super) truncated_fields: TruncatedFields,
}

/// The only place where the status of a gRPC call is found.
const GRPC_STATUS: &str = "grpc-status";

impl HalfRecorder {
    pub(super) fn new() -> Self {
        Self {
            began_at: None,
            latest_at: None,
            ended: false,
            length: None,
            body: BodyRecorder::new(),
            content_type: None,
            content_encoding: None,
            headers: Vec::new(),
            trailers: Vec::new(),
            redactions: RedactionCounts::default(),
            truncated_fields: TruncatedFields::default(),
        }
    }

    /// Records that a part of this half was seen.
    pub(super) fn mark_seen(&mut self, now: u64, ended: bool) {
        self.began_at.get_or_insert(now);
        self.latest_at = Some(now);
        self.ended |= ended;
    }

    pub(super) fn read_headers(&mut self, headers: &Headers) {
        // The reader of the body may use any of several values, so all are recorded.
        let mut header = |name: &str, field| {
            let mut values = headers.all(name);
            let first = values.next()?;
            let rest: Vec<_> = values.collect();
            let joined = match rest.as_slice() {
                [] => Cow::Borrowed(first),
                rest => Cow::Owned([&[first], rest].concat().join(&b", "[..])),
            };
            let text = text::truncate(&joined, MAX_CONTENT_TYPE_BYTES);
            Some(text.mark(field, &mut self.truncated_fields))
        };
        self.content_type = header("content-type", TruncatedField::ContentType);
        self.content_encoding = header("content-encoding", TruncatedField::ContentEncoding);
        let length = headers.get("content-length").map(std::str::from_utf8);
        self.length = length.and_then(|digits| digits.ok()?.parse().ok());
    }

    /// Records the headers that the plan lists, and extracts metadata from them.
    pub(super) fn capture_headers(
        &mut self,
        half: Half,
        plan: &CapturePlan,
        headers: &Headers,
        redactor: Redactor<'_>,
        head: &mut RequestHead,
    ) {
        let counts = &mut self.redactions;
        if plan.storage.includes(half) {
            let selected = select_headers(headers, plan.headers.get(half), counts, redactor);
            let fields = &mut self.truncated_fields;
            self.headers = selected.mark(TruncatedField::Headers, fields);
        }
        extract::add_header_values(
            plan.extracted.get(half),
            headers,
            (redactor, counts),
            &mut head.metadata,
        );
    }

    /// Records the trailers that the plan lists, and the status of a gRPC call.
    pub(super) fn capture_trailers(
        &mut self,
        trailers: &Headers,
        names: &[String],
        redactor: Redactor<'_>,
    ) {
        let mut selected = select_headers(trailers, names, &mut self.redactions, redactor);
        let is_named = names.iter().any(|name| name == GRPC_STATUS);
        if let Some(status) = trailers.get(GRPC_STATUS).filter(|_| !is_named) {
            selected.push_last(GRPC_STATUS, text::truncate(status, MAX_CONTENT_TYPE_BYTES));
        }
        self.trailers = selected.mark(TruncatedField::Trailers, &mut self.truncated_fields);
    }

    /// Starts capturing the body if the plan includes its type.
    pub(super) fn start_body(&mut self, half: Half, plan: &CapturePlan, budget: &Rc<MemoryBudget>) {
        if plan.reads_body(half, self.content_type.as_deref()) {
            self.body.start_capture(plan.max_body_bytes, budget);
        }
    }

    pub(super) fn add_chunk(&mut self, stream: &impl Stream, half: Half, size: usize) {
        self.body.add_chunk(stream, half, size);
    }

    /// Records when a chunk was seen. An empty chunk that ends a complete body needs no clock: it comes
    /// immediately after the last byte.
    pub(super) fn mark_chunk_seen(&mut self, host: &impl Host, size: usize, ended: bool) {
        let was_whole = size == 0 && self.length == Some(self.body.size());
        match self.latest_at.filter(|_| was_whole) {
            Some(_) => self.ended |= ended,
            None => self.mark_seen(host.wall_clock(), ended),
        }
    }

    /// The proxy answered, or the exchange broke off, before anything of the body was seen.
    fn announces_unseen_body(&self) -> bool {
        let has_body = self
            .length
            .map_or(self.began_at.is_some(), |bytes| bytes > 0);
        !self.ended && self.body.size() == 0 && has_body
    }

    /// Uses the current time where no moment was recorded.
    pub(super) fn finish(self, half: Half, now: &Now<'_>) -> FinishedHalf {
        let unseen = half == Half::Request && self.announces_unseen_body();
        let body = self.body.finish();
        FinishedHalf {
            half,
            first_byte_at: self.began_at.unwrap_or_else(|| now.wall()),
            ended_at: self.latest_at.unwrap_or_else(|| now.wall()),
            bytes: body.bytes,
            size: body.size,
            hash: body.hash,
            truncated: body.truncated,
            missing: body.missing.or(unseen.then_some(BodyMissing::NotCaptured)),
            lost_bytes: body.lost_bytes,
            decoded: false,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            headers: self.headers,
            trailers: self.trailers,
            redactions: self.redactions,
            metadata_paths: Vec::new(),
            truncated_fields: self.truncated_fields,
        }
    }
}

impl FinishedHalf {
    /// Redacts the body. Redactions count only if the half is recorded: otherwise the body only serves
    /// metadata.
    pub(super) fn redact(&mut self, redactor: Redactor<'_>, plan: &CapturePlan) {
        if self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let (content_type, content_encoding) = (
            self.content_type.as_deref(),
            self.content_encoding.as_deref(),
        );
        let body = redact::RawBody {
            bytes,
            content_type,
            content_encoding,
            truncated: self.truncated,
            max_bytes: plan.max_body_bytes,
        };
        let mut counts = RedactionCounts::default();
        let redacted = redactor.redact_body(body, &mut counts);
        self.bytes = redacted.bytes;
        self.decoded = redacted.decoded;
        self.truncated = redacted.truncated;
        self.missing = self.missing.or(redacted.missing);
        // The hash of a body with a short secret would let the secret be guessed.
        if !counts.is_empty() || self.missing.is_some() || redacted.partial {
            self.hash = None;
        }
        if plan.storage.includes(self.half) {
            self.redactions.merge(&counts);
        }
    }

    /// Extracts metadata from the body and returns the session id in it. What the filter cannot decode is left to the
    /// collector, unless something was to be redacted: then nothing has been searched.
    pub(super) fn extract(
        &mut self,
        plan: &CapturePlan,
        metadata: &mut Metadata,
    ) -> Option<String> {
        let extraction = plan.extracted.get(self.half);
        if !extraction.needs_body() || self.bytes.is_empty() {
            return None;
        }
        let encoding = self.content_encoding.as_deref().filter(|_| !self.decoded);
        if encoding.is_some_and(is_for_collector) && plan.redaction.is_none() {
            self.metadata_paths = extract::metadata_paths(extraction);
            return None;
        }
        let body = redact::decode_body(&self.bytes, encoding, plan.max_body_bytes)?;
        let body = (&*body, self.content_type.as_deref());
        extract::add_body_values(extraction, body, metadata)
    }

    /// Adds the redactions of the other half, which is not recorded.
    pub(super) fn add_redactions_of(&mut self, other: &Self) {
        self.redactions.merge(&other.redactions);
    }
}

/// Whether the collector can undo the encoding, and the filter cannot.
fn is_for_collector(encoding: &str) -> bool {
    let coding = ContentCoding::from_name(encoding);
    matches!(coding, Some(ContentCoding::Brotli | ContentCoding::Zstd))
}

/// Headers within the bounds of a record.
struct SelectedHeaders {
    pairs: Vec<(String, String)>,
    /// A value is cut, or headers are left out.
    truncated: bool,
}

impl SelectedHeaders {
    fn mark(self, field: TruncatedField, fields: &mut TruncatedFields) -> Vec<(String, String)> {
        fields.insert_if(self.truncated, field);
        self.pairs
    }

    /// Adds a header instead of the last one if there is no room for both.
    fn push_last(&mut self, name: &str, value: Truncated) {
        self.truncated |= value.was_longer || self.pairs.len() >= MAX_HEADERS;
        self.pairs.truncate(MAX_HEADERS - 1);
        self.pairs.push((name.to_owned(), value.text));
    }
}

fn select_headers(
    headers: &Headers,
    names: &[String],
    counts: &mut RedactionCounts,
    redactor: Redactor<'_>,
) -> SelectedHeaders {
    let mut selected = SelectedHeaders {
        pairs: Vec::new(),
        truncated: false,
    };
    if names.is_empty() {
        return selected;
    }
    let mut room = MAX_HEADERS_BYTES;
    let chosen = headers
        .iter()
        .filter_map(|(name, value)| Some((names.iter().find(|it| it.as_bytes() == name)?, value)));
    for (name, value) in chosen {
        if selected.pairs.len() == MAX_HEADERS {
            selected.truncated = true;
            break;
        }
        let value = redactor.redact_header(name, (value, MAX_HEADER_VALUE_BYTES), counts);
        selected.truncated |= value.was_longer;
        let Some(rest) = room.checked_sub(name.len() + value.text.len()) else {
            selected.truncated = true;
            break;
        };
        room = rest;
        selected.pairs.push((name.clone(), value.text));
    }
    selected
}

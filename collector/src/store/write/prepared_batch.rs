//! A batch, encoded for `COPY` before its transaction begins. Ids and sessions are known only in the transaction:
//! until then, placeholders stand in the rows. It borrows nothing, so that it can wait in a queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use dossier_wire::HeaderField;
use serde::Serialize;
use time::{Date, OffsetDateTime};

use super::copy_format::{CopyRows, Slot};
use super::rejected::RejectedRows;
use crate::model::entry::{Expiry, NewBatch, NewEntry, NewGap, PackedBody};
use crate::model::ids::{BatchId, SessionId};
use crate::model::trace_id::TraceId;
use crate::store::sessions::SessionLookup;
use crate::store::{StoreError, dictionaries, partitions};
use dossier_body::dictionary::DictionaryId;

pub(super) const COPY_ENTRIES: &str = "copy entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, \
     completion, body_state, status, truncated, exchange_id, session_id, user_id, endpoint, method, path, query, host, \
     route, content_type, content_encoding, request_id, traceparent, body_xxh3, metadata, body_expires_at, body_sha256, \
     body_decoded, redactions, headers, trailers, response_flags, response_details, upstream_host, workload, \
     body, body_codec, dictionary_id, truncated_fields, trace_id) \
     from stdin (format binary)";
const ENTRY_COLUMNS: i16 = 42;
pub(super) const COPY_BODIES: &str = "copy bodies (entry_id, expires_at, codec, user_id, data, dictionary_id) from stdin (format binary)";
const BODY_COLUMNS: i16 = 6;

/// Where an id is patched in.
type IdSlot = Slot<8>;

#[derive(Debug)]
pub(super) struct PreparedBatch {
    pub(super) id: BatchId,
    pub(super) received_at: OffsetDateTime,
    /// All valid records, whether or not they are written.
    pub(super) records: usize,
    /// Days whose partitions the rows need.
    pub(super) days: BTreeSet<Date>,
    /// The dictionaries that the bodies need, and for how long.
    pub(super) dictionaries: BTreeMap<DictionaryId, Expiry>,
    /// One for each exchange that asks for a session.
    pub(super) lookups: Vec<SessionLookup>,
    pub(super) gaps: Vec<NewGap>,
    pub(super) rejected: RejectedRows,
    pub(super) entries: CopyRows,
    pub(super) bodies: CopyRows,
    written: Vec<WrittenEntry>,
}

/// An entry in the rows, and what is patched in there.
#[derive(Debug)]
struct WrittenEntry {
    /// Of its record in the batch.
    position: usize,
    /// Where its rows end.
    ends: RowEnds,
    placeholders: Placeholders,
}

#[derive(Debug, Clone, Copy, Default)]
struct RowEnds {
    entries: usize,
    bodies: usize,
}

#[derive(Debug)]
struct Placeholders {
    id: IdSlot,
    /// In the row of its body, if that is a row of its own.
    body_entry_id: Option<IdSlot>,
    session: Option<SessionSlot>,
}

#[derive(Debug)]
struct SessionSlot {
    slot: Slot<16>,
    /// Index of the lookup.
    lookup: usize,
}

impl PreparedBatch {
    /// Encodes the rows, except those of what has expired.
    pub(super) fn new(batch: &NewBatch<'_>, now: OffsetDateTime) -> Self {
        let expiries = batch.entries.iter().flat_map(expiries);
        let expiries = expiries.filter(|expiry| !expiry.has_passed(now));
        let mut prepared = Self {
            id: batch.id,
            received_at: now,
            records: batch.entries.len(),
            days: expiries.filter_map(partitions::expiry_day).collect(),
            dictionaries: dictionaries::needed(&batch.entries),
            lookups: Vec::new(),
            gaps: batch.gaps.clone(),
            rejected: RejectedRows::new(&batch.rejected),
            entries: CopyRows::default(),
            bodies: CopyRows::default(),
            written: Vec::new(),
        };
        let mut lookup_of_exchange = HashMap::new();
        let retained = batch.entries.iter();
        for entry in retained.filter(|entry| !entry.expires.has_passed(now)) {
            let key = (&entry.user, entry.exchange);
            let lookup = lookup_of_exchange.get(&key).copied().or_else(|| {
                let index = prepared.lookups.len();
                prepared.lookups.push(SessionLookup::of(entry)?);
                lookup_of_exchange.insert(key, index);
                Some(index)
            });
            let lookup = lookup.filter(|_| entry.session.is_some());
            let placeholders = prepared.write_rows(entry, lookup);
            prepared.written.push(WrittenEntry {
                position: entry.position,
                ends: RowEnds {
                    entries: prepared.entries.as_bytes().len(),
                    bodies: prepared.bodies.as_bytes().len(),
                },
                placeholders,
            });
        }
        prepared
    }

    pub(super) const fn entry_count(&self) -> usize {
        self.written.len()
    }

    /// Bytes of its rows.
    pub(super) fn bytes(&self) -> usize {
        self.entries.as_bytes().len() + self.bodies.as_bytes().len()
    }

    /// The position of an entry's record in the batch.
    pub(super) fn position(&self, entry: usize) -> Option<usize> {
        self.written.get(entry).map(|entry| entry.position)
    }

    /// The rows of a range of entries, and of their bodies.
    pub(super) fn rows(&self, range: &Range<usize>) -> (&[u8], &[u8]) {
        let (from, to) = (self.ends_before(range.start), self.ends_before(range.end));
        let entries = self.entries.as_bytes().get(from.entries..to.entries);
        let bodies = self.bodies.as_bytes().get(from.bodies..to.bodies);
        (entries.unwrap_or_default(), bodies.unwrap_or_default())
    }

    fn ends_before(&self, entry: usize) -> RowEnds {
        let last = entry.checked_sub(1).and_then(|last| self.written.get(last));
        last.map_or_else(RowEnds::default, |entry| entry.ends)
    }

    /// The lookups that a range of entries needs, by index.
    pub(super) fn lookups_of(&self, range: &Range<usize>) -> BTreeMap<usize, &SessionLookup> {
        let entries = self.written.get(range.clone()).unwrap_or_default();
        let sessions = entries
            .iter()
            .filter_map(|it| it.placeholders.session.as_ref());
        sessions
            .filter_map(|it| Some((it.lookup, self.lookups.get(it.lookup)?)))
            .collect()
    }

    /// Patches the ids, in order, and the sessions of the lookups into the rows of a range of entries. May be
    /// repeated.
    ///
    /// # Errors
    /// [`StoreError::UnknownValue`] if a lookup has no session.
    pub(super) fn patch(
        &mut self,
        range: Range<usize>,
        ids: &[i64],
        session_of: impl Fn(usize) -> Option<SessionId>,
    ) -> Result<(), StoreError> {
        let entries = self.written.get(range).unwrap_or_default();
        let placeholders = entries.iter().map(|entry| &entry.placeholders);
        for (placeholders, id) in placeholders.zip(ids) {
            self.entries.patch(placeholders.id, id.to_be_bytes());
            if let Some(slot) = placeholders.body_entry_id {
                self.bodies.patch(slot, id.to_be_bytes());
            }
            if let Some(SessionSlot { slot, lookup }) = &placeholders.session {
                let session = session_of(*lookup).ok_or(StoreError::UnknownValue {
                    column: "sessions.session_id",
                })?;
                self.entries.patch(*slot, session.0.into_bytes());
            }
        }
        Ok(())
    }

    fn write_rows(&mut self, entry: &NewEntry<'_>, lookup: Option<usize>) -> Placeholders {
        let mut placeholders = write_entry(&mut self.entries, entry, lookup);
        // A body that expires with its entry is in the entry's row.
        let body = entry.body.stored();
        let body = body.filter(|body| body.expires_early.is_some());
        let is_written =
            |body: &&PackedBody<'_>| !body.expires(entry.expires).has_passed(self.received_at);
        if let Some(body) = body.filter(is_written) {
            placeholders.body_entry_id = Some(write_body(&mut self.bodies, entry, body));
        }
        placeholders
    }
}

/// Of an entry, and of its body.
fn expiries(entry: &NewEntry<'_>) -> impl Iterator<Item = Expiry> {
    let of_body = entry.body.stored().map(|body| body.expires(entry.expires));
    [entry.expires].into_iter().chain(of_body)
}

fn write_body(rows: &mut CopyRows, entry: &NewEntry<'_>, body: &PackedBody<'_>) -> IdSlot {
    let id = rows.row(BODY_COLUMNS).slot();
    rows.expiry(body.expires(entry.expires))
        .text((&body.codec).into())
        .text(entry.user.as_str())
        .bytes(&body.data)
        .maybe_int4(dictionary(body));
    id
}

fn write_entry(rows: &mut CopyRows, entry: &NewEntry<'_>, lookup: Option<usize>) -> Placeholders {
    let body = entry.body.stored();
    let stored_size = body.map_or(0, |body| body.data.len());
    let inline = body.filter(|body| body.expires_early.is_none());
    let trace = entry.traceparent.as_deref();
    let trace = trace.and_then(TraceId::of_traceparent);
    let redactions = (!entry.redactions.is_empty()).then(|| json(&entry.redactions));
    let truncated = (!entry.truncated_fields.is_empty()).then(|| json(&entry.truncated_fields));
    let id = rows.row(ENTRY_COLUMNS).slot();
    rows.expiry(entry.expires)
        .timestamp(entry.created_at)
        .timestamp(entry.started_at)
        .timestamp(entry.ended_at)
        .int8(entry.body_size)
        .int4(i32::try_from(stored_size).unwrap_or(i32::MAX))
        .text(entry.half.into())
        .text(entry.completion.into())
        .text(entry.body.state().as_str())
        .int2(entry.status)
        .bool(entry.truncated)
        .uuid(entry.exchange.0);
    let session = lookup.map(|lookup| {
        let slot = rows.slot();
        SessionSlot { slot, lookup }
    });
    if session.is_none() {
        rows.null();
    }
    rows.text(entry.user.as_str())
        .text(&entry.endpoint)
        .text(&entry.method)
        .text(&entry.path)
        .maybe_text(entry.query.as_deref())
        .maybe_text(entry.host.as_deref())
        .maybe_text(entry.route.as_deref())
        .maybe_text(entry.content_type.as_deref())
        .maybe_text(entry.content_encoding.as_deref())
        .maybe_text(entry.request_id.as_deref())
        .maybe_text(entry.traceparent.as_deref())
        .maybe_bytes(entry.body_xxh3.as_ref().map(<[u8; 16]>::as_slice))
        .jsonb(&json(&entry.metadata))
        .maybe_timestamp(body.and_then(|body| body.expires_early))
        .maybe_bytes(body.map(|body| body.sha256.as_slice()))
        .bool(entry.decoded)
        .maybe_jsonb(redactions.as_deref())
        .maybe_jsonb(pairs(&entry.headers.leading).as_deref())
        .maybe_jsonb(pairs(&entry.headers.trailing).as_deref())
        .int8(entry.proxy.flags)
        .maybe_text(entry.proxy.details.as_deref())
        .maybe_text(entry.proxy.upstream_host.as_deref())
        .maybe_text(entry.proxy.workload.as_deref())
        .maybe_bytes(inline.map(|body| body.data.as_ref()))
        .maybe_text(inline.map(|body| (&body.codec).into()))
        .maybe_int4(inline.and_then(dictionary))
        .maybe_jsonb(truncated.as_deref())
        .maybe_uuid(trace.map(TraceId::as_uuid));
    Placeholders {
        id,
        body_entry_id: None,
        session,
    }
}

fn dictionary(body: &PackedBody<'_>) -> Option<i32> {
    body.codec.dictionary().map(|dictionary| dictionary.id().0)
}

fn pairs(pairs: &[HeaderField<'_>]) -> Option<String> {
    (!pairs.is_empty()).then(|| json(pairs))
}

/// Strings, and maps with string keys, can always be serialized.
fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

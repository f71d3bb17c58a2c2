//! A batch made ready for its transaction before that begins: its rows are written, but for the numbers of
//! its entries and their sessions. It borrows nothing, so that it can wait for others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dossier_wire::{Gap as Loss, HeaderField};
use serde::Serialize;
use time::{Date, OffsetDateTime};

use super::copy::{Gap, Rows};
use super::rejected::Aside;
use super::sessions::Seeker;
use super::{StoreError, dictionaries, partitions};
use crate::model::entry::{Expiry, NewBatch, NewEntry, PackedBody};
use crate::model::ids::{BatchId, SessionId};
use crate::model::retention::is_past_grace_period;
use dossier_body::dictionary::DictionaryId;

pub(super) const COPY_ENTRIES: &str = "copy entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, \
     completion, body_state, status, truncated, exchange_id, session_id, user_id, endpoint, method, path, query, host, \
     route, content_type, content_encoding, request_id, traceparent, body_xxh3, metadata, body_expires_at, body_sha256, \
     body_decoded, redactions, headers, trailers, response_flags, response_details, upstream_host, workload, \
     body, body_codec, dictionary_id) \
     from stdin (format binary)";
const ENTRY_FIELDS: i16 = 40;
pub(super) const COPY_BODIES: &str = "copy bodies (entry_id, expires_at, codec, user_id, data, dictionary_id) from stdin (format binary)";
const BODY_FIELDS: i16 = 6;

/// A number of the store.
type Number = Gap<8>;

/// The batch.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) id: BatchId,
    /// When it came.
    pub(super) now: OffsetDateTime,
    /// All that were good, whether or not they are written.
    pub(super) records: usize,
    /// Whose partitions its rows need.
    pub(super) days: BTreeSet<Date>,
    /// The dictionaries that its bodies need, and how long.
    pub(super) dictionaries: BTreeMap<DictionaryId, Expiry>,
    /// Its exchanges that look for their session, each once.
    pub(super) seekers: Vec<Seeker>,
    pub(super) losses: Vec<Loss>,
    pub(super) aside: Aside,
    pub(super) entries: Rows,
    pub(super) bodies: Rows,
    blanks: Vec<Blanks>,
}

/// What is to be filled in for an entry.
#[derive(Debug)]
struct Blanks {
    id: Number,
    /// The same in the row of its body, if it has one of its own.
    id_of_body: Option<Number>,
    session: Option<Session>,
}

/// The session of an entry, and the place of its seeker.
#[derive(Debug)]
struct Session {
    gap: Gap<16>,
    seeker: usize,
}

impl Prepared {
    /// Writes its rows, but not of what has expired so long ago that its partition may be gone.
    pub(super) fn of(batch: &NewBatch<'_>, now: OffsetDateTime) -> Self {
        let expiries = batch.entries.iter().flat_map(expiries);
        let expiries = expiries.filter(|expiry| !is_past_grace_period(*expiry, now));
        let mut prepared = Self {
            id: batch.id,
            now,
            records: batch.entries.len(),
            days: expiries.filter_map(partitions::day_of).collect(),
            dictionaries: dictionaries::needed(&batch.entries),
            seekers: Vec::new(),
            losses: batch.gaps.clone(),
            aside: Aside::of(&batch.rejected),
            entries: Rows::default(),
            bodies: Rows::default(),
            blanks: Vec::new(),
        };
        let mut known = HashMap::new();
        for entry in &batch.entries {
            let key = (&entry.user, entry.exchange);
            let seeker = known.get(&key).copied().or_else(|| {
                let place = prepared.seekers.len();
                prepared.seekers.push(Seeker::of(entry)?);
                known.insert(key, place);
                Some(place)
            });
            if !is_past_grace_period(entry.expires, now) {
                let seeker = seeker.filter(|_| entry.session.is_some());
                let blanks = prepared.write(entry, seeker);
                prepared.blanks.push(blanks);
            }
        }
        prepared
    }

    /// How many entries are written.
    pub(super) const fn written(&self) -> usize {
        self.blanks.len()
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.entries.as_bytes().len() + self.bodies.as_bytes().len()
    }

    /// Fills in the numbers of the entries and their sessions, which may be done again. Of both there are as
    /// many as needed, in order.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] if an exchange has no session although it looked for one.
    pub(super) fn fill(
        &mut self,
        ids: &[i64],
        sessions: &[Option<SessionId>],
    ) -> Result<(), StoreError> {
        for (blanks, id) in self.blanks.iter().zip(ids) {
            self.entries.fill(blanks.id, id.to_be_bytes());
            if let Some(gap) = blanks.id_of_body {
                self.bodies.fill(gap, id.to_be_bytes());
            }
            if let Some(session) = &blanks.session {
                let found = sessions.get(session.seeker).copied().flatten();
                let found = found.ok_or(StoreError::Unknown {
                    column: "sessions.session_id",
                })?;
                self.entries.fill(session.gap, found.0.into_bytes());
            }
        }
        Ok(())
    }

    fn write(&mut self, entry: &NewEntry<'_>, seeker: Option<usize>) -> Blanks {
        let mut blanks = write_entry(&mut self.entries, entry, seeker);
        let body = entry.body.stored();
        // Others lie in the entry's row.
        let body = body.filter(|body| body.expires_early.is_some());
        if let Some(body) =
            body.filter(|body| !is_past_grace_period(body.expires(entry.expires), self.now))
        {
            blanks.id_of_body = Some(write_body(&mut self.bodies, entry, body));
        }
        blanks
    }
}

/// When an entry goes, and when its body does.
fn expiries(entry: &NewEntry<'_>) -> impl Iterator<Item = Expiry> {
    let of_body = entry.body.stored().map(|body| body.expires(entry.expires));
    [entry.expires].into_iter().chain(of_body)
}

fn write_body(rows: &mut Rows, entry: &NewEntry<'_>, body: &PackedBody<'_>) -> Number {
    let id = rows.row(BODY_FIELDS).gap();
    rows.expiry(body.expires(entry.expires))
        .text(body.codec.as_str())
        .text(entry.user.as_str())
        .bytes(&body.data)
        .maybe_int4(dictionary(body));
    id
}

fn write_entry(rows: &mut Rows, entry: &NewEntry<'_>, seeker: Option<usize>) -> Blanks {
    let body = entry.body.stored();
    let stored_size = body.map_or(0, |body| body.data.len());
    let within = body.filter(|body| body.expires_early.is_none());
    let redactions = (!entry.redactions.is_empty()).then(|| json(&entry.redactions));
    let id = rows.row(ENTRY_FIELDS).gap();
    rows.expiry(entry.expires)
        .timestamp(entry.created_at)
        .timestamp(entry.started_at)
        .timestamp(entry.ended_at)
        .int8(entry.body_size)
        .int4(i32::try_from(stored_size).unwrap_or(i32::MAX))
        .text(entry.half.as_str())
        .text(entry.completion.as_str())
        .text(entry.body.state().as_str())
        .int2(entry.status)
        .bool(entry.truncated)
        .uuid(entry.exchange.0);
    let session = seeker.map(|seeker| {
        let gap = rows.gap();
        Session { gap, seeker }
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
        .maybe_bytes(within.map(|body| body.data.as_ref()))
        .maybe_text(within.map(|body| body.codec.as_str()))
        .maybe_int4(within.and_then(dictionary));
    Blanks {
        id,
        id_of_body: None,
        session,
    }
}

fn dictionary(body: &PackedBody<'_>) -> Option<i32> {
    body.codec.dictionary().map(|dictionary| dictionary.id().0)
}

fn pairs(pairs: &[HeaderField<'_>]) -> Option<String> {
    (!pairs.is_empty()).then(|| json(pairs))
}

/// Texts, and maps with text keys, always have a JSON form.
fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

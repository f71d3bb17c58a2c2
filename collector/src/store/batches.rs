//! The write path: a batch is stored whole, once, in one transaction.

use std::time::Duration;

use dossier_wire::Pair;
use serde::Serialize;
use sqlx::{Connection, PgConnection, Row};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use super::copy::Rows;
use super::rejected;
use super::sessions::{self, Placed};
use super::{Store, StoreError, give_up};
use crate::model::clock::from_micros;
use crate::model::entry::{Expiry, NewBatch, NewEntry, PackedBody};
use crate::model::ids::BatchId;
use crate::model::retention::is_gone;

const COPY_ENTRIES: &str = "copy entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, \
     completion, body_state, status, truncated, exchange_id, session_id, user_id, endpoint, method, path, query, host, \
     route, content_type, content_encoding, request_id, traceparent, body_xxh3, metadata, body_expires_at, body_sha256, \
     body_decoded, redactions, headers, trailers, response_flags, response_details, upstream_host, workload, \
     body, body_codec, dictionary_id) \
     from stdin (format binary)";
const ENTRY_FIELDS: i16 = 40;
const COPY_BODIES: &str = "copy bodies (entry_id, expires_at, codec, user_id, data, dictionary_id) from stdin (format binary)";
const BODY_FIELDS: i16 = 6;
/// Rows are handed to Postgres when there are so many bytes of them.
const PIECE_BYTES: usize = 256 * 1024;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is committed.
    Now,
    /// It was committed before: nothing was stored again.
    Before,
}

impl Store {
    /// Stores a batch, unless it is stored already. When this returns, it is committed. Of what has
    /// expired so long ago that its partition may be gone, nothing is written. `patience` is how long
    /// Postgres may take, the wait for a connection included.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch is stored then, except, with [`StoreError::Unavailable`] and
    /// [`StoreError::NoAnswer`], that the answer to a commit may have been lost: ask again.
    pub async fn store_batch(
        &self,
        batch: &NewBatch<'_>,
        now: OffsetDateTime,
        patience: Duration,
    ) -> Result<Stored, StoreError> {
        let deadline = Instant::now() + patience;
        let mut connection = self.connection(patience).await?;
        let storing = self.store_by(&mut connection, batch, now);
        let Ok(stored) = timeout_at(deadline, storing).await else {
            return Err(give_up(connection, patience));
        };
        if let Err(StoreError::Database(_)) = &stored {
            // A partition may have been dropped by another collector since it was known here.
            self.partitions.forget();
        }
        stored
    }

    async fn store_by(
        &self,
        connection: &mut PgConnection,
        batch: &NewBatch<'_>,
        now: OffsetDateTime,
    ) -> Result<Stored, StoreError> {
        let expiries = batch.entries.iter().flat_map(expiries);
        let expiries = expiries.filter(|expiry| !is_gone(*expiry, now));
        self.partitions.ensure(connection, expiries).await?;
        self.dictionaries.ensure(connection, &batch.entries).await?;
        let mut transaction = connection.begin().await?;
        if !enter_in_ledger(&mut transaction, batch, now).await? {
            transaction.rollback().await?;
            return Ok(Stored::Before);
        }
        let placed = sessions::place(&mut transaction, &batch.entries).await?;
        copy_entries(&mut transaction, &batch.entries, &placed, now).await?;
        store_gaps(&mut transaction, batch, now).await?;
        rejected::store(&mut transaction, batch, now).await?;
        transaction.commit().await?;
        Ok(Stored::Now)
    }
}

/// When an entry goes, and when its body does.
fn expiries(entry: &NewEntry<'_>) -> impl Iterator<Item = Expiry> {
    let of_body = entry.body.stored().map(|body| body.expires(entry.expires));
    [entry.expires].into_iter().chain(of_body)
}

/// Returns false if the batch is in the ledger already. Waits for another transaction that is just
/// storing the same batch.
async fn enter_in_ledger(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let BatchId(id) = batch.id;
    let records = i32::try_from(batch.entries.len()).unwrap_or(i32::MAX);
    let entered = sqlx::query(
        "insert into ingest_ledger (batch_id, received_at, records) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(id)
    .bind(now)
    .bind(records)
    .execute(connection)
    .await?;
    Ok(entered.rows_affected() == 1)
}

async fn copy_entries(
    connection: &mut PgConnection,
    entries: &[NewEntry<'_>],
    placed: &Placed,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let kept = entries.iter().filter(|entry| !is_gone(entry.expires, now));
    let entries: Vec<&NewEntry<'_>> = kept.collect();
    if entries.is_empty() {
        return Ok(());
    }
    let ids = take_ids(connection, entries.len()).await?;
    let rows = || entries.iter().copied().zip(ids.iter().copied());
    copy(connection, COPY_ENTRIES, rows(), |piece, (entry, id)| {
        write_entry(piece, entry, id, placed);
    })
    .await?;
    let bodies: Vec<_> = rows()
        .filter_map(|(entry, id)| Some((entry, id, body_apart(entry, now)?)))
        .collect();
    if bodies.is_empty() {
        return Ok(());
    }
    copy(
        connection,
        COPY_BODIES,
        bodies.iter(),
        |piece, (entry, id, body)| {
            piece
                .row(BODY_FIELDS)
                .int8(*id)
                .expiry(body.expires(entry.expires))
                .text(body.codec.as_str())
                .text(entry.user.as_str())
                .bytes(&body.data)
                .maybe_int4(dictionary(body));
        },
    )
    .await
}

/// The body that goes before its entry and has not gone yet. Others lie in the entry's row.
fn body_apart<'e>(entry: &'e NewEntry<'_>, now: OffsetDateTime) -> Option<&'e PackedBody<'e>> {
    let body = entry.body.stored()?;
    let is_apart = body.expires_early.is_some() && !is_gone(body.expires(entry.expires), now);
    is_apart.then_some(body)
}

async fn take_ids(connection: &mut PgConnection, count: usize) -> Result<Vec<i64>, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = sqlx::query("select nextval('entry_ids') from generate_series(1, $1)")
        .bind(count)
        .fetch_all(connection)
        .await?;
    let mut ids = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<Vec<i64>, _>>()?;
    // Later records of a batch get higher ids, so that ids can break ties of time.
    ids.sort_unstable();
    Ok(ids)
}

fn write_entry(rows: &mut Rows, entry: &NewEntry<'_>, id: i64, placed: &Placed) {
    let session = placed
        .get(&(entry.user.clone(), entry.exchange))
        .filter(|_| entry.session.is_some());
    let body = entry.body.stored();
    let stored_size = body.map_or(0, |body| body.data.len());
    let within = body.filter(|body| body.expires_early.is_none());
    let redactions = (!entry.redactions.is_empty()).then(|| json(&entry.redactions));
    rows.row(ENTRY_FIELDS)
        .int8(id)
        .expiry(entry.expires)
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
        .uuid(entry.exchange.0)
        .maybe_uuid(session.map(|session| session.0))
        .text(entry.user.as_str())
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
        .int8(entry.account.flags)
        .maybe_text(entry.account.details.as_deref())
        .maybe_text(entry.account.upstream_host.as_deref())
        .maybe_text(entry.account.workload.as_deref())
        .maybe_bytes(within.map(|body| body.data.as_ref()))
        .maybe_text(within.map(|body| body.codec.as_str()))
        .maybe_int4(within.and_then(dictionary));
}

fn dictionary(body: &PackedBody<'_>) -> Option<i32> {
    body.codec.dictionary().map(|dictionary| dictionary.id().0)
}

fn pairs(pairs: &[Pair<'_>]) -> Option<String> {
    (!pairs.is_empty()).then(|| json(pairs))
}

/// Texts, and maps with text keys, always have a JSON form.
fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Copies rows piece by piece: all of them at once would be in memory several times, here and in the
/// connection.
async fn copy<T>(
    connection: &mut PgConnection,
    statement: &'static str,
    rows: impl Iterator<Item = T>,
    write: impl Fn(&mut Rows, T),
) -> Result<(), StoreError> {
    let mut copy = connection.copy_in_raw(statement).await?;
    let mut piece = Rows::new();
    for row in rows {
        write(&mut piece, row);
        if piece.written().len() >= PIECE_BYTES {
            copy.send(piece.written()).await?;
            piece.clear();
        }
    }
    copy.send(piece.finish()).await?;
    copy.finish().await?;
    Ok(())
}

async fn store_gaps(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    for gap in &batch.gaps {
        sqlx::query(
            "insert into gaps (batch_id, received_at, reason, records, bytes, first_at, last_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(batch.id.0)
        .bind(now)
        .bind(gap.reason.as_str())
        .bind(i64::try_from(gap.records).unwrap_or(i64::MAX))
        .bind(i64::try_from(gap.bytes).unwrap_or(i64::MAX))
        .bind(from_micros(gap.from).unwrap_or(now))
        .bind(from_micros(gap.to).unwrap_or(now))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

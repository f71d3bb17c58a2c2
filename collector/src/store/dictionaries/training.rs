//! Training of dictionaries: for which endpoints, with which recent bodies, and the result.

use std::collections::HashMap;
use std::sync::Arc;

use dossier_wire::Half;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};
use time::{Duration, OffsetDateTime};
use tracing::instrument;

use super::MAX_IN_USE;
use crate::model::entry::StoredBody;
use crate::store::columns::{half, stored_body};
use crate::store::{Store, StoreError};
use dossier_body::dictionary::{Dictionary, DictionaryId};
use dossier_body::packing::{Codec, MAX_BYTES_WITH_DICTIONARY, MIN_BYTES_TO_COMPRESS, unpack};
use dossier_body::training::{CurrentDictionary, MIN_USERS, TrainedDictionary, TrainingSet};

/// Shared by all collectors of a database, and different from the other advisory locks.
const ADVISORY_LOCK: i64 = 0x646f_7373_0003;
/// Older bodies say little about those to come.
const MAX_BODY_AGE: Duration = Duration::days(7);
/// Entries that are examined to find endpoints with enough bodies.
const MAX_EXAMINED: i64 = 50_000;
/// An endpoint with fewer bodies is not worth a dictionary.
const MIN_BODIES: i64 = 200;
/// Dictionaries trained in one run.
const MAX_TARGETS: i64 = 4;
/// A dictionary is not evaluated again sooner.
const CHECK_INTERVAL: Duration = Duration::hours(1);
/// Bodies in a training set, in total and of one user.
const MAX_SAMPLES: i64 = 5000;
const MAX_SAMPLES_PER_USER: i64 = 32;
/// Longer bodies are truncated.
const MAX_SAMPLE_BYTES: usize = 16 * 1024;
/// Bodies that are larger after compression have enough repetition of their own, and are left out.
const MAX_COMPRESSED_BYTES: i32 = 8 * 1024;

/// The bodies that a dictionary is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingTarget {
    /// Normalized.
    pub endpoint: String,
    /// The half.
    pub half: Half,
    in_use: Option<DictionaryId>,
}

/// While it is held, no other collector trains dictionaries.
#[derive(Debug)]
pub struct TrainingLock {
    lock: Transaction<'static, Postgres>,
}

impl TrainingLock {
    /// # Errors
    /// [`StoreError`]; the lock is then released with its connection.
    #[instrument(name = "store.release", skip_all, err(level = "debug"))]
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.lock.rollback().await?)
    }
}

impl Store {
    /// None: another collector holds the lock.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.lock_training", skip_all, err(level = "debug"))]
    pub async fn lock_training(&self) -> Result<Option<TrainingLock>, StoreError> {
        let mut lock = self.pool.begin().await?;
        let taken: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
            .bind(ADVISORY_LOCK)
            .fetch_one(&mut *lock)
            .await?;
        Ok(taken.then_some(TrainingLock { lock }))
    }

    /// A few targets whose dictionary is missing, as long as fewer than the maximum are in use, or has not been evaluated
    /// recently. They are drawn at random, weighted by bodies, so that an endpoint for which training keeps
    /// failing cannot starve the others.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.training_targets", skip_all, err(level = "debug"))]
    pub async fn training_targets(
        &self,
        now: OffsetDateTime,
    ) -> Result<Vec<TrainingTarget>, StoreError> {
        let rows = sqlx::query(
            "select endpoint, half, id
             from (select r.endpoint, r.half::text as half, d.id,
                          row_number() over (partition by d.id is null order by -ln(1 - random()) / r.bodies) as turn
                   from (select endpoint, half, count(*) as bodies, count(distinct user_id) as users
                         from (select endpoint, half, user_id, stored_size, body_size from entries
                               where created_at > $1 and expires_at > $2 and body_state = 'stored'
                               order by created_at desc limit $3) recent
                         where stored_size <= $8 and body_size <= $9
                         group by endpoint, half) r
                   left join dictionaries d on d.endpoint = r.endpoint and d.half = r.half and d.retired_at is null
                   where r.bodies >= $4 and r.users >= $5 and coalesce(d.checked_at < $6, true)) due
             where id is not null
                   or turn <= $10 - (select count(*) from dictionaries where retired_at is null)
             order by turn limit $7",
        )
        .bind(now - MAX_BODY_AGE)
        .bind(now)
        .bind(MAX_EXAMINED)
        .bind(MIN_BODIES)
        .bind(i64::try_from(MIN_USERS).unwrap_or(i64::MAX))
        .bind(now - CHECK_INTERVAL)
        .bind(MAX_TARGETS)
        .bind(MAX_COMPRESSED_BYTES)
        .bind(i64::try_from(MAX_BYTES_WITH_DICTIONARY).unwrap_or(i64::MAX))
        .bind(MAX_IN_USE)
        .fetch_all(&self.pool)
        .await?;
        let target = |row: &PgRow| {
            let id: Option<i32> = row.try_get("id")?;
            Ok(TrainingTarget {
                endpoint: row.try_get("endpoint")?,
                half: half(row.try_get("half")?)?,
                in_use: id.map(DictionaryId),
            })
        };
        rows.iter().map(target).collect()
    }

    /// Recent bodies, and the dictionary in use. Bodies with a content coding, and incompressible ones, are
    /// left out.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.training_set", skip_all, err(level = "debug"))]
    pub async fn training_set(
        &self,
        target: &TrainingTarget,
        now: OffsetDateTime,
    ) -> Result<TrainingSet, StoreError> {
        let rows = self.recent_bodies(target, now).await?;
        let dictionaries = self.dictionaries_of(&rows).await?;
        let mut users = HashMap::new();
        let mut training_set = TrainingSet::new(self.in_use(target, now).await?);
        for (number, row) in rows.iter().enumerate() {
            if number.is_multiple_of(64) {
                // Other tasks wait for this thread.
                tokio::task::yield_now().await;
            }
            if training_set.is_full() {
                break;
            }
            let Some(sample) = sample(row, &dictionaries)? else {
                continue;
            };
            let user: String = row.try_get("user_id")?;
            let next = users.len();
            training_set.add(*users.entry(user).or_insert(next), sample);
        }
        Ok(training_set)
    }

    /// The latest bodies that may be samples, a few of each user.
    async fn recent_bodies(
        &self,
        target: &TrainingTarget,
        now: OffsetDateTime,
    ) -> Result<Vec<PgRow>, StoreError> {
        Ok(sqlx::query(
            "select p.user_id, coalesce(p.body_codec, b.codec)::text as codec, coalesce(p.body, b.data) as data,
                    coalesce(p.dictionary_id, b.dictionary_id) as dictionary_id
             from (select q.*, sum(stored_size) over (order by created_at desc, id desc) as bytes
                   from (select r.*, row_number() over (partition by user_id order by created_at desc) as turn
                         from (select id, user_id, created_at, coalesce(body_expires_at, expires_at) as body_expires_at,
                                      body, body_codec, dictionary_id, stored_size
                               from entries
                               where endpoint = $1 and half = $2::half and created_at > $3 and expires_at > $4
                                 and body_state = 'stored' and stored_size <= $5 and body_size <= $9
                                 and (content_encoding is null or body_decoded)
                               order by created_at desc limit $6) r) q
                   where q.turn <= $7) p
             left join bodies b on b.user_id = p.user_id and b.entry_id = p.id and b.expires_at = p.body_expires_at
                               and b.expires_at > $4
             where p.bytes <= $10
             order by p.created_at desc, p.id desc limit $8",
        )
        .bind(&target.endpoint)
        .bind(<&str>::from(target.half))
        .bind(now - MAX_BODY_AGE)
        .bind(now)
        .bind(MAX_COMPRESSED_BYTES)
        .bind(MAX_EXAMINED)
        .bind(MAX_SAMPLES_PER_USER)
        .bind(MAX_SAMPLES)
        .bind(i64::try_from(MAX_BYTES_WITH_DICTIONARY).unwrap_or(i64::MAX))
        .bind(i64::try_from(TrainingSet::MAX_BYTES).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?)
    }

    async fn in_use(
        &self,
        target: &TrainingTarget,
        now: OffsetDateTime,
    ) -> Result<Option<CurrentDictionary>, StoreError> {
        let Some(id) = target.in_use else {
            return Ok(None);
        };
        let row = sqlx::query("select ratio, created_at from dictionaries where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        let dictionary = self.load(&[id].into()).await?.remove(&id);
        let (Some(row), Some(dictionary)) = (row, dictionary) else {
            return Ok(None);
        };
        let created_at: OffsetDateTime = row.try_get("created_at")?;
        Ok(Some(CurrentDictionary {
            dictionary,
            ratio: row.try_get("ratio")?,
            age: now - created_at,
        }))
    }

    /// Replaces the dictionary in use by the trained one, if there is one.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.record_result", skip_all, err(level = "debug"))]
    pub async fn record_result(
        &self,
        target: &TrainingTarget,
        trained: Option<&TrainedDictionary>,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "update dictionaries set checked_at = $3, retired_at = case when $4 then $3 end
             where endpoint = $1 and half = $2::half and retired_at is null",
        )
        .bind(&target.endpoint)
        .bind(<&str>::from(target.half))
        .bind(now)
        .bind(trained.is_some())
        .execute(&mut *transaction)
        .await?;
        if let Some(trained) = trained {
            sqlx::query(
                "insert into dictionaries (endpoint, half, created_at, needed_until, ratio, checked_at, data)
                 values ($1, $2::half, $3, $3, $4, $3, $5)",
            )
            .bind(&target.endpoint)
            .bind(<&str>::from(target.half))
            .bind(now)
            .bind(trained.ratio)
            .bind(&trained.bytes)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// The beginning of a body, decompressed. None: the body is missing, or incompressible.
fn sample(
    row: &PgRow,
    dictionaries: &HashMap<DictionaryId, Arc<Dictionary>>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(StoredBody { codec, data }) = stored_body(row, dictionaries)? else {
        return Ok(None);
    };
    if codec == Codec::Identity && data.len() >= MIN_BYTES_TO_COMPRESS {
        return Ok(None);
    }
    let Ok(mut body) = unpack(codec, data) else {
        return Ok(None);
    };
    body.truncate(MAX_SAMPLE_BYTES);
    body.shrink_to_fit();
    Ok(Some(body))
}

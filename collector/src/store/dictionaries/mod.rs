//! Compression dictionaries: which are in use, which a body needs to be read, and when they are deleted.
//!
//! A dictionary is in use until it is retired: from then on no body is compressed with it. It is deleted when no
//! body needs it any more.
//!
//! - [`training`]: which dictionaries are due, their training sets, and the result of training.

mod training;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use dossier_wire::Half;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use tracing::instrument;

use super::columns::half;
use super::{Store, StoreError};
use crate::model::entry::{Expiry, NewEntry};
use dossier_body::dictionary::{Dictionaries, Dictionary, DictionaryId};

pub use training::{TrainingLock, TrainingTarget};

/// Dictionaries in use. Prepared for thorough compression, each takes some 1.7 MiB.
const MAX_IN_USE: i64 = 24;
/// Dictionaries in the cache. Prepared for decompression, each takes some 100 KiB.
const MAX_CACHED: usize = 64;
/// After that it is retired, and trained again with newer bodies if the endpoint has enough.
const MAX_AGE: time::Duration = time::Duration::days(30);
/// Far longer than any collector takes to notice the retirement.
const RETIREMENT_GRACE: time::Duration = time::Duration::days(1);
/// The lifetime of a dictionary is extended by more than a batch needs, so that the next batch need not do it again.
const EXTENSION_MARGIN: time::Duration = time::Duration::days(2);

const MAX_LISTED: i64 = 1000;

/// A dictionary, without its content.
#[derive(Debug, Clone, PartialEq)]
pub struct DictionaryRecord {
    /// Normalized.
    pub endpoint: String,
    /// The half whose bodies it is for.
    pub half: Half,
    /// When it was trained.
    pub created_at: OffsetDateTime,
    /// It is no longer used for new bodies.
    pub retired: bool,
    /// Compressed size by original size, of bodies it was not trained with.
    pub ratio: f32,
}

/// Dictionaries in memory, shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct DictionaryCache(Arc<Mutex<CacheState>>);

#[derive(Debug, Default)]
struct CacheState {
    /// To compress with.
    in_use: Arc<Dictionaries>,
    loaded: HashMap<DictionaryId, Arc<Dictionary>>,
    /// Of loading, the latest last.
    order: Vec<DictionaryId>,
    /// Until when each is certainly stored.
    until: HashMap<DictionaryId, Expiry>,
}

impl CacheState {
    fn insert(&mut self, dictionary: &Arc<Dictionary>) {
        let id = dictionary.id();
        if self.loaded.insert(id, Arc::clone(dictionary)).is_none() {
            self.order.push(id);
        }
        if self.order.len() > MAX_CACHED {
            let oldest = self.order.remove(0);
            self.loaded.remove(&oldest);
        }
    }

    fn replace_in_use(&mut self, in_use: Dictionaries, ids: &HashSet<DictionaryId>) {
        self.in_use = Arc::new(in_use);
        self.until.retain(|id, _| ids.contains(id));
        // When it is needed for decompression, it is loaded again, without the memory that compression takes.
        self.loaded
            .retain(|id, dictionary| ids.contains(id) || !dictionary.has_packed());
        let Self { order, loaded, .. } = self;
        order.retain(|id| loaded.contains_key(id));
    }
}

impl DictionaryCache {
    fn with<T>(&self, use_state: impl FnOnce(&mut CacheState) -> T) -> T {
        use_state(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Extends the lifetime of dictionaries to at least what is needed.
    ///
    /// # Errors
    /// [`StoreError::DictionaryDeleted`] if one was deleted meanwhile. The cache is then cleared.
    pub(super) async fn ensure(
        &self,
        connection: &mut PgConnection,
        needed: &BTreeMap<DictionaryId, Expiry>,
    ) -> Result<(), StoreError> {
        for (id, needed) in self.needing_extension(needed) {
            let until = match needed {
                Expiry::At(at) => Expiry::At(at.saturating_add(EXTENSION_MARGIN)),
                Expiry::Never => Expiry::Never,
            };
            let extended = sqlx::query(
                "update dictionaries set needed_until = greatest(needed_until, coalesce($2, 'infinity')) where id = $1",
            )
            .bind(id.0)
            .bind(match until {
                Expiry::At(at) => Some(at),
                Expiry::Never => None,
            })
            .execute(&mut *connection)
            .await?;
            if extended.rows_affected() == 0 {
                self.with(|state| *state = CacheState::default());
                return Err(StoreError::DictionaryDeleted);
            }
            self.with(|state| state.until.insert(id, until));
        }
        Ok(())
    }

    fn needing_extension(
        &self,
        needed: &BTreeMap<DictionaryId, Expiry>,
    ) -> Vec<(DictionaryId, Expiry)> {
        let needed = needed.iter().map(|(id, until)| (*id, *until));
        self.with(|state| {
            needed
                .filter(|(id, until)| state.until.get(id).is_none_or(|it| it < until))
                .collect()
        })
    }
}

/// The dictionaries that the bodies of these entries need, and until when.
pub(super) fn needed(entries: &[NewEntry<'_>]) -> BTreeMap<DictionaryId, Expiry> {
    let mut needed = BTreeMap::new();
    for entry in entries {
        let Some(body) = entry.body.stored() else {
            continue;
        };
        let Some(dictionary) = body.codec.dictionary() else {
            continue;
        };
        let expires = body.expires(entry.expires);
        let until = needed.entry(dictionary.id()).or_insert(expires);
        *until = expires.max(*until);
    }
    needed
}

impl Store {
    /// The dictionaries to pack new bodies with, as far as they are known here.
    #[must_use]
    pub fn dictionaries(&self) -> Arc<Dictionaries> {
        self.dictionaries.with(|state| Arc::clone(&state.in_use))
    }

    /// The first 1,000 dictionaries, by endpoint, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.list_dictionaries", skip_all, err(level = "debug"))]
    pub async fn list_dictionaries(&self) -> Result<Vec<DictionaryRecord>, StoreError> {
        let rows = sqlx::query(
            "select endpoint, half::text as half, created_at, retired_at is not null as retired, ratio
             from dictionaries order by endpoint, half, id desc limit $1",
        )
        .bind(MAX_LISTED)
        .fetch_all(&self.pool)
        .await?;
        let record = |row: &PgRow| {
            Ok(DictionaryRecord {
                endpoint: row.try_get("endpoint")?,
                half: half(row.try_get("half")?)?,
                created_at: row.try_get("created_at")?,
                retired: row.try_get("retired")?,
                ratio: row.try_get("ratio")?,
            })
        };
        rows.iter().map(record).collect()
    }

    /// Retires old dictionaries, deletes those that no body needs, and loads those in use.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.refresh_dictionaries", skip_all, err(level = "debug"))]
    pub async fn refresh_dictionaries(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        self.retire_dictionaries(now).await?;
        self.delete_unneeded_dictionaries(now).await?;
        let rows = sqlx::query(
            "select id, endpoint, half::text as half from dictionaries where retired_at is null order by id limit $1",
        )
        .bind(MAX_IN_USE)
        .fetch_all(&self.pool)
        .await?;
        let mut ids = HashSet::new();
        for row in &rows {
            ids.insert(DictionaryId(row.try_get("id")?));
        }
        let loaded = self.load(&ids).await?;
        let mut in_use = Dictionaries::default();
        for row in &rows {
            if let Some(dictionary) = loaded.get(&DictionaryId(row.try_get("id")?)) {
                let (endpoint, half) = (row.try_get("endpoint")?, half(row.try_get("half")?)?);
                in_use.insert(endpoint, half, Arc::clone(dictionary));
            }
        }
        self.dictionaries
            .with(|state| state.replace_in_use(in_use, &ids));
        Ok(())
    }

    async fn retire_dictionaries(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query(
            "update dictionaries set retired_at = $1 where retired_at is null and created_at < $2",
        )
        .bind(now)
        .bind(now - MAX_AGE)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn delete_unneeded_dictionaries(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        // Other collectors may use it until they notice the retirement.
        sqlx::query("delete from dictionaries where retired_at < $1 and needed_until < $2")
            .bind(now - RETIREMENT_GRACE)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The dictionaries that the bodies of these rows need.
    pub(super) async fn dictionaries_of(
        &self,
        rows: &[PgRow],
    ) -> Result<HashMap<DictionaryId, Arc<Dictionary>>, StoreError> {
        let mut needed = HashSet::new();
        for row in rows {
            let id: Option<i32> = row.try_get("dictionary_id")?;
            needed.extend(id.map(DictionaryId));
        }
        self.load(&needed).await
    }

    /// Loads those that are not cached. They belong to no user, so no scope applies.
    async fn load(
        &self,
        ids: &HashSet<DictionaryId>,
    ) -> Result<HashMap<DictionaryId, Arc<Dictionary>>, StoreError> {
        let mut found: HashMap<_, _> = self.dictionaries.with(|state| {
            let cached = ids.iter().filter_map(|id| state.loaded.get_key_value(id));
            cached.map(|(id, it)| (*id, Arc::clone(it))).collect()
        });
        let missing: Vec<_> = ids
            .iter()
            .filter(|id| !found.contains_key(id))
            .map(|id| id.0)
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let rows = sqlx::query("select id, data from dictionaries where id = any($1)")
            .bind(missing)
            .fetch_all(&self.pool)
            .await?;
        for row in rows {
            let id = DictionaryId(row.try_get("id")?);
            let dictionary = Dictionary::new(id, row.try_get("data")?);
            let dictionary = Arc::new(dictionary.map_err(|_| StoreError::UnknownValue {
                column: "dictionaries.data",
            })?);
            self.dictionaries.with(|state| state.insert(&dictionary));
            found.insert(id, dictionary);
        }
        Ok(found)
    }
}

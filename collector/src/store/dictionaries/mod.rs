//! Dictionaries: kept while a body needs them, loaded when one is read, and what they are made of.
//!
//! - [`training`]: samples, and what becomes of a new dictionary.

mod training;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use dossier_wire::Half;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

use super::entries::row::half;
use super::{Store, StoreError};
use crate::model::entry::{Expiry, NewEntry};
use dossier_body::dictionary::{Dictionaries, Dictionary, DictionaryId};

pub use training::{TrainingLock, TrainingTarget};

/// Most dictionaries that bodies are packed with at a time; no more are made. Prepared for packing thoroughly,
/// each takes some 1.7 MiB.
const MAX_IN_USE: i64 = 24;
/// Most that are kept in memory. To read with, each takes some 100 KiB.
const MAX_LOADED: usize = 64;
/// Then it is made anew, of newer bodies, or the endpoint has too few for one.
const LONGEST_IN_USE: time::Duration = time::Duration::days(30);
/// Far longer than any collector takes to learn of it.
const STAYS_AFTER_RETIREMENT: time::Duration = time::Duration::days(1);
/// A dictionary's stay is prolonged by more than is needed, so that it need not be for each batch.
const AHEAD: time::Duration = time::Duration::days(2);

/// Most that are listed.
const MAX_LISTED: i64 = 1000;

/// What is told of a dictionary: nothing of its content.
#[derive(Debug, Clone, PartialEq)]
pub struct DictionaryRecord {
    /// In normal form.
    pub endpoint: String,
    /// Of which half's bodies.
    pub half: Half,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// New bodies are not packed with it any more.
    pub retired: bool,
    /// Bytes packed per byte of other bodies, when it was made.
    pub ratio: f32,
}

/// What is known of dictionaries, shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct DictionaryCache(Arc<Mutex<CacheState>>);

#[derive(Debug, Default)]
struct CacheState {
    /// To pack with.
    in_use: Arc<Dictionaries>,
    loaded: HashMap<DictionaryId, Arc<Dictionary>>,
    /// Those that were loaded last, at the end.
    order: Vec<DictionaryId>,
    /// How long each stays, as far as is known here.
    until: HashMap<DictionaryId, Expiry>,
}

impl CacheState {
    fn keep(&mut self, dictionary: &Arc<Dictionary>) {
        let id = dictionary.id();
        if self.loaded.insert(id, Arc::clone(dictionary)).is_none() {
            self.order.push(id);
        }
        if self.order.len() > MAX_LOADED {
            let oldest = self.order.remove(0);
            self.loaded.remove(&oldest);
        }
    }
}

impl DictionaryCache {
    fn with<T>(&self, look: impl FnOnce(&mut CacheState) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes sure that these dictionaries stay as long as they are needed.
    ///
    /// # Errors
    /// [`StoreError::DictionaryDeleted`] if one was deleted meanwhile; then it is not used again.
    pub(super) async fn ensure(
        &self,
        connection: &mut PgConnection,
        needed: &BTreeMap<DictionaryId, Expiry>,
    ) -> Result<(), StoreError> {
        for (id, needed) in self.too_short(needed) {
            let until = match needed {
                Expiry::At(at) => Expiry::At(at.saturating_add(AHEAD)),
                Expiry::Never => Expiry::Never,
            };
            let prolonged = sqlx::query(
                "update dictionaries set needed_until = greatest(needed_until, coalesce($2, 'infinity')) where id = $1",
            )
            .bind(id.0)
            .bind(match until {
                Expiry::At(at) => Some(at),
                Expiry::Never => None,
            })
            .execute(&mut *connection)
            .await?;
            if prolonged.rows_affected() == 0 {
                self.with(|state| *state = CacheState::default());
                return Err(StoreError::DictionaryDeleted);
            }
            self.with(|state| state.until.insert(id, until));
        }
        Ok(())
    }

    fn too_short(&self, needed: &BTreeMap<DictionaryId, Expiry>) -> Vec<(DictionaryId, Expiry)> {
        let needed = needed.iter().map(|(id, until)| (*id, *until));
        self.with(|state| {
            needed
                .filter(|(id, until)| state.until.get(id).is_none_or(|it| it < until))
                .collect()
        })
    }
}

/// The dictionaries of these entries, and how long their bodies need them.
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

    /// All dictionaries that there are, by endpoint, the latest first: the first 1,000.
    ///
    /// # Errors
    /// [`StoreError`]
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

    /// Learns which dictionaries are in use now, and lets those go that no body needs.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn refresh_dictionaries(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query(
            "update dictionaries set retired_at = $1 where retired_at is null and created_at < $2",
        )
        .bind(now)
        .bind(now - LONGEST_IN_USE)
        .execute(&self.pool)
        .await?;
        // Others may pack with it until they learn that it is retired.
        sqlx::query("delete from dictionaries where retired_at < $1 and needed_until < $2")
            .bind(now - STAYS_AFTER_RETIREMENT)
            .bind(now)
            .execute(&self.pool)
            .await?;
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
                let endpoint = row.try_get("endpoint")?;
                in_use.insert(
                    endpoint,
                    half(row.try_get("half")?)?,
                    Arc::clone(dictionary),
                );
            }
        }
        self.dictionaries.with(|state| {
            state.in_use = Arc::new(in_use);
            state.until.retain(|id, _| ids.contains(id));
            // To read with, it is loaded again, without what packing takes.
            state
                .loaded
                .retain(|id, dictionary| ids.contains(id) || !dictionary.has_packed());
            let CacheState { order, loaded, .. } = state;
            order.retain(|id| loaded.contains_key(id));
        });
        Ok(())
    }

    /// The dictionaries that the bodies in these rows need.
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

    /// Loads those that are not in memory yet. They are no user's, so no scope applies.
    async fn load(
        &self,
        ids: &HashSet<DictionaryId>,
    ) -> Result<HashMap<DictionaryId, Arc<Dictionary>>, StoreError> {
        let mut found: HashMap<_, _> = self.dictionaries.with(|state| {
            let known = ids.iter().filter_map(|id| state.loaded.get_key_value(id));
            known.map(|(id, it)| (*id, Arc::clone(it))).collect()
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
            self.dictionaries.with(|state| state.keep(&dictionary));
            found.insert(id, dictionary);
        }
        Ok(found)
    }
}

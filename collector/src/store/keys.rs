//! API keys in the database: their hashes, never the keys.

use sqlx::Row;
use sqlx::postgres::PgRow;
use time::{Duration, OffsetDateTime};
use tokio::time::timeout;
use tracing::instrument;
use uuid::Uuid;

use super::columns::user_id;
use super::pool::discard;
use super::{Store, StoreError};
use crate::model::ids::{KeyId, UserId};
use crate::model::key::{ApiKeyHash, Caller, Credential, KeyRecord, Role};

/// Of looking a key up, and of the wait for a connection.
const KEY_LOOKUP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
const MAX_LISTED_KEYS: i64 = 10_000;
/// Recording every use would write a row for every request.
const USE_RECORD_INTERVAL: Duration = Duration::MINUTE;

/// A key to be stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For its owner to recognize it.
    pub name: String,
    /// Its holder.
    pub user: UserId,
    /// What it permits.
    pub role: Role,
    /// None: it does not expire.
    pub expires_at: Option<OffsetDateTime>,
}

/// A key that may be used, and who holds it.
#[derive(Debug, Clone)]
pub struct ValidKey {
    /// Its holder.
    pub caller: Caller,
    /// None: the key does not expire.
    pub expires_at: Option<OffsetDateTime>,
    /// To be recorded with [`Store::record_key_use`], off the request's path. None: that is not due yet.
    pub unrecorded_use: Option<KeyUse>,
}

/// One use of a key.
#[derive(Debug, Clone, Copy)]
pub struct KeyUse {
    key: KeyId,
    at: OffsetDateTime,
}

/// A list of keys, without their secrets.
#[derive(Debug, Clone)]
pub struct KeyList {
    /// Ordered by user and age.
    pub keys: Vec<KeyRecord>,
    /// The list is truncated.
    pub has_more: bool,
}

/// Keys to be revoked.
#[derive(Debug, Clone)]
pub enum KeySelection {
    /// By id.
    Ids(Vec<KeyId>),
    /// All of a user.
    User(UserId),
}

impl Store {
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.create_key", skip_all, err(level = "debug"))]
    pub async fn create_key(
        &self,
        key: &NewKey,
        hash: &ApiKeyHash,
        now: OffsetDateTime,
    ) -> Result<KeyId, StoreError> {
        let id = Uuid::new_v4();
        sqlx::query(
            "insert into api_keys (key_id, key_sha256, name, user_id, role, created_at, expires_at)
             values ($1, $2, $3, $4, $5::key_role, $6, $7)",
        )
        .bind(id)
        .bind(hash.as_bytes().as_slice())
        .bind(&key.name)
        .bind(key.user.as_str())
        .bind(<&str>::from(key.role))
        .bind(now)
        .bind(key.expires_at)
        .execute(&self.pool)
        .await?;
        Ok(KeyId(id))
    }

    /// The key with this hash, if it is valid now. Not cached, so that a key fails from the moment it is
    /// revoked.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.find_valid_key", skip_all, err(level = "debug"))]
    pub async fn find_valid_key(
        &self,
        hash: &ApiKeyHash,
        now: OffsetDateTime,
    ) -> Result<Option<ValidKey>, StoreError> {
        let mut connection = self.acquire(KEY_LOOKUP_TIMEOUT).await?;
        let lookup = sqlx::query(
            "select key_id, user_id, role::text as role, last_used_at, expires_at
             from api_keys
             where key_sha256 = $1 and revoked_at is null and coalesce(expires_at > $2, true)",
        )
        .bind(hash.as_bytes().as_slice())
        .bind(now)
        .fetch_optional(&mut *connection);
        let Ok(row) = timeout(KEY_LOOKUP_TIMEOUT, lookup).await else {
            return Err(discard(connection, KEY_LOOKUP_TIMEOUT));
        };
        let Some(row) = row? else { return Ok(None) };
        let key = KeyId(row.try_get("key_id")?);
        let caller = Caller {
            credential: Credential::Key(key),
            user: user_id(row.try_get("user_id")?)?,
            role: role(&row)?,
        };
        let last_used: Option<OffsetDateTime> = row.try_get("last_used_at")?;
        let is_due = last_used.is_none_or(|at| now - at >= USE_RECORD_INTERVAL);
        Ok(Some(ValidKey {
            caller,
            expires_at: row.try_get("expires_at")?,
            unrecorded_use: is_due.then_some(KeyUse { key, at: now }),
        }))
    }

    /// Records when a key was used, unless that was done within the last minute.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.record_key_use", skip_all, err(level = "debug"))]
    pub async fn record_key_use(&self, used: KeyUse) -> Result<(), StoreError> {
        sqlx::query(
            "update api_keys set last_used_at = $2
             where key_id = $1 and coalesce(last_used_at <= $2 - $3::interval, true)",
        )
        .bind(used.key.0)
        .bind(used.at)
        .bind(USE_RECORD_INTERVAL)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All keys, or those of one user: the first 10,000.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.list_keys", skip_all, err(level = "debug"))]
    pub async fn list_keys(&self, user: Option<&UserId>) -> Result<KeyList, StoreError> {
        let mut rows = sqlx::query(
            "select key_id, name, user_id, role::text as role, created_at, expires_at, last_used_at, revoked_at
             from api_keys where $1::text is null or user_id = $1
             order by user_id, created_at, key_id limit $2",
        )
        .bind(user.map(UserId::as_str))
        .bind(MAX_LISTED_KEYS + 1)
        .fetch_all(&self.pool)
        .await?;
        let max = usize::try_from(MAX_LISTED_KEYS).unwrap_or(usize::MAX);
        let has_more = rows.len() > max;
        rows.truncate(max);
        Ok(KeyList {
            keys: rows.iter().map(record).collect::<Result<_, _>>()?,
            has_more,
        })
    }

    /// Revokes keys; one that is already revoked is left alone. Returns those that exist.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.revoke_keys", skip_all, err(level = "debug"))]
    pub async fn revoke_keys(
        &self,
        which: &KeySelection,
        now: OffsetDateTime,
    ) -> Result<Vec<KeyId>, StoreError> {
        let (ids, user) = match which {
            KeySelection::Ids(ids) => (ids.iter().map(|id| id.0).collect(), None),
            KeySelection::User(user) => (Vec::new(), Some(user.as_str())),
        };
        let revoked: Vec<Uuid> = sqlx::query_scalar(
            "update api_keys set revoked_at = coalesce(revoked_at, $3)
             where key_id = any($1) or user_id = $2 returning key_id",
        )
        .bind(ids)
        .bind(user)
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        Ok(revoked.into_iter().map(KeyId).collect())
    }
}

fn record(row: &PgRow) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        id: KeyId(row.try_get("key_id")?),
        name: row.try_get("name")?,
        user: user_id(row.try_get("user_id")?)?,
        role: role(row)?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

fn role(row: &PgRow) -> Result<Role, StoreError> {
    let name: String = row.try_get("role")?;
    name.parse().map_err(|_| StoreError::UnknownValue {
        column: "api_keys.role",
    })
}

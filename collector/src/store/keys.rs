//! API keys in the database: their hashes, never the keys.

use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::sessions::user_id;
use super::{Store, StoreError};
use crate::model::ids::{KeyId, UserId};
use crate::model::key::{Caller, Role, SecretHash};

/// A key to be stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    /// What it may do.
    pub role: Role,
    /// When it stops working; never, if absent.
    pub expires_at: Option<OffsetDateTime>,
}

impl Store {
    /// Stores a key.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn create_key(
        &self,
        key: &NewKey,
        hash: &SecretHash,
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
        .bind(key.role.as_str())
        .bind(now)
        .bind(key.expires_at)
        .execute(&self.pool)
        .await?;
        Ok(KeyId(id))
    }

    /// Who holds the key with this hash, if it is valid now. Notes the use, at most once a minute.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn caller(
        &self,
        hash: &SecretHash,
        now: OffsetDateTime,
    ) -> Result<Option<Caller>, StoreError> {
        let row = sqlx::query(
            "select key_id, user_id, role::text as role,
                    coalesce(last_used_at < $2 - interval '1 minute', true) as note_use
             from api_keys
             where key_sha256 = $1 and revoked_at is null and coalesce(expires_at > $2, true)",
        )
        .bind(hash.as_bytes().as_slice())
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let key = KeyId(row.try_get("key_id")?);
        if row.try_get("note_use")? {
            sqlx::query("update api_keys set last_used_at = $2 where key_id = $1")
                .bind(key.0)
                .bind(now)
                .execute(&self.pool)
                .await?;
        }
        let role: String = row.try_get("role")?;
        Ok(Some(Caller {
            key,
            user: user_id(row.try_get("user_id")?)?,
            role: Role::from_name(&role).ok_or(StoreError::Unknown {
                column: "api_keys.role",
            })?,
        }))
    }
}

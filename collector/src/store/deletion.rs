//! Deletes entries by id. The same transaction writes a row of `deletion_audit` for each.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use tracing::instrument;

use super::{Store, StoreError};
use crate::model::ids::EntryId;
use crate::model::key::{Caller, Credential};

/// The reason is what allowed it: an expired entry can be deleted without force.
const DELETE: &str = "
    with deleted as (
        delete from entries where id = any($1) and ($2 or expires_at <= $3)
        returning id, user_id, exchange_id, half, endpoint, created_at, expires_at,
                  coalesce(body_expires_at, expires_at) as body_expires_at
    ), without_bodies as (
        delete from bodies b using deleted
        where b.user_id = deleted.user_id and b.entry_id = deleted.id and b.expires_at = deleted.body_expires_at
    )
    insert into deletion_audit (deleted_at, deleted_by, key_id, reason, entry_id, user_id, exchange_id, half, endpoint,
                                created_at, expires_at)
    select $3, $4, $5, case when expires_at <= $3 then 'expired' else 'forced' end::deletion_reason, id, user_id,
           exchange_id, half, endpoint, created_at, expires_at
    from deleted
    returning entry_id";

/// A request to delete entries.
#[derive(Debug)]
pub struct Deletion<'a> {
    /// Of whichever users.
    pub ids: &'a [EntryId],
    /// Also delete entries that have not expired.
    pub force: bool,
    /// Who sent it.
    pub by: &'a Caller,
}

/// The result for one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionOutcome {
    /// Permanently deleted.
    Deleted,
    /// Not deleted.
    Skipped(SkipReason),
}

/// Why an entry was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// It has not expired.
    TtlNotExpired,
    /// It never expires.
    NoTtl,
    /// It does not exist.
    NotFound,
}

impl Store {
    /// Deletes entries with their bodies, all in one transaction. Returns a result for each id, without
    /// duplicates, in the order given.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is deleted.
    #[instrument(name = "store.delete_entries", skip_all, err(level = "debug"))]
    pub async fn delete_entries(
        &self,
        deletion: &Deletion<'_>,
        now: OffsetDateTime,
    ) -> Result<Vec<(EntryId, DeletionOutcome)>, StoreError> {
        let ids: Vec<_> = deletion.ids.iter().map(|id| id.0).collect();
        self.readiness.check()?;
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query(DELETE)
            .bind(&ids)
            .bind(deletion.force)
            .bind(now)
            .bind(deletion.by.user.as_str())
            .bind(match &deletion.by.credential {
                Credential::Key(id) => Some(id.0),
                Credential::Token(_) => None,
            })
            .fetch_all(&mut *transaction)
            .await?;
        let deleted = rows.iter().map(|row| row.try_get(0));
        let deleted = deleted.collect::<Result<HashSet<i64>, _>>()?;
        let skip_reasons = skip_reasons(&mut transaction, &ids).await?;
        transaction.commit().await?;

        let mut reported = HashSet::new();
        let unique = deletion.ids.iter().filter(|id| reported.insert(**id));
        let outcome = |id: &EntryId| {
            if deleted.contains(&id.0) {
                return DeletionOutcome::Deleted;
            }
            DeletionOutcome::Skipped(
                skip_reasons
                    .get(&id.0)
                    .copied()
                    .unwrap_or(SkipReason::NotFound),
            )
        };
        Ok(unique.map(|id| (*id, outcome(id))).collect())
    }
}

async fn skip_reasons(
    connection: &mut PgConnection,
    ids: &[i64],
) -> Result<HashMap<i64, SkipReason>, StoreError> {
    let rows = sqlx::query(
        "select id, expires_at = 'infinity' as forever from entries where id = any($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let skip_reasons = rows.iter().map(|row| {
        let forever: bool = row.try_get("forever")?;
        let reason = if forever {
            SkipReason::NoTtl
        } else {
            SkipReason::TtlNotExpired
        };
        Ok((row.try_get("id")?, reason))
    });
    skip_reasons.collect()
}

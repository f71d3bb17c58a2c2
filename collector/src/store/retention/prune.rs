//! Deletes old rows of tables without partitions, in small transactions.

use sqlx::{AssertSqlSafe, Row};
use strum::{IntoStaticStr, VariantArray};
use time::{Duration, OffsetDateTime};
use tracing::instrument;
use uuid::Uuid;

use super::RetentionLock;
use crate::model::retention::RetentionPeriods;
use crate::store::{Store, StoreError};

/// Of one transaction.
const ROWS_PER_STEP: i64 = 5000;
/// Examined in one transaction.
const SESSIONS_PER_STEP: i64 = 500;
/// Examined in one run.
const MAX_SESSIONS_PER_RUN: i64 = 20_000;
/// Of a session without entries, for entries that arrive late.
const SESSION_GRACE_PERIOD: Duration = Duration::days(7);

/// A table whose rows are deleted by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AgedTable {
    /// Ids of stored batches.
    #[strum(serialize = "ingest_ledger")]
    Ledger,
    /// Deletions by admins.
    DeletionAudit,
    /// Losses that producers reported.
    Gaps,
}

/// Where the next search for sessions without entries continues. By default, at the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionPruneCursor {
    user: String,
    session: Uuid,
}

impl AgedTable {
    /// None: its rows are kept forever.
    #[must_use]
    pub const fn retention(self, periods: RetentionPeriods) -> Option<Duration> {
        match self {
            Self::Ledger => Some(periods.ledger),
            Self::DeletionAudit | Self::Gaps => periods.audit,
        }
    }

    /// For rows from before `$1`. The time of a gap is by its producer's clock, which may be wrong; the record of a loss
    /// must not be deleted early because of that.
    const fn condition(self) -> &'static str {
        match self {
            Self::Ledger => "received_at < $1",
            Self::DeletionAudit => "deleted_at < $1",
            Self::Gaps => "last_at < $1 and received_at < $1",
        }
    }

    /// Rows from before are deleted. None: the rows are kept forever, or none can be that old.
    fn cutoff(self, periods: RetentionPeriods, now: OffsetDateTime) -> Option<OffsetDateTime> {
        now.checked_sub(self.retention(periods)?)
    }
}

impl Store {
    /// How many rows of a table are old enough to be deleted.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.aged_rows", skip_all, err(level = "debug"))]
    pub async fn aged_rows(
        &self,
        table: AgedTable,
        periods: RetentionPeriods,
        now: OffsetDateTime,
    ) -> Result<i64, StoreError> {
        let Some(cutoff) = table.cutoff(periods, now) else {
            return Ok(0);
        };
        let (name, condition) = (<&str>::from(table), table.condition());
        let count = format!("select count(*) from {name} where {condition}");
        let count = sqlx::query_scalar(AssertSqlSafe(count)).bind(cutoff);
        Ok(count.fetch_one(&self.pool).await?)
    }
}

impl RetentionLock {
    /// Deletes the old rows of a table. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]; some may have been deleted.
    #[instrument(name = "store.prune", skip_all, err(level = "debug"))]
    pub async fn prune(
        &mut self,
        table: AgedTable,
        periods: RetentionPeriods,
    ) -> Result<u64, StoreError> {
        let Some(cutoff) = table.cutoff(periods, self.now) else {
            return Ok(0);
        };
        let (name, condition) = (<&str>::from(table), table.condition());
        let delete = format!(
            "delete from {name} where ctid = any(array(select ctid from {name} where {condition} limit $2))"
        );
        let mut rows = 0;
        loop {
            let delete = sqlx::query(AssertSqlSafe(delete.clone()));
            let deleted = delete
                .bind(cutoff)
                .bind(ROWS_PER_STEP)
                .execute(&mut self.connection);
            let deleted = deleted.await?.rows_affected();
            rows += deleted;
            if deleted == 0 {
                return Ok(rows);
            }
        }
    }

    /// Deletes sessions without entries. Examines some of them, and moves `cursor` to where the next call continues;
    /// after the last session, to the beginning. Returns how many were deleted.
    ///
    /// # Errors
    /// [`StoreError`]; some may have been deleted.
    #[instrument(name = "store.prune_sessions", skip_all, err(level = "debug"))]
    pub async fn prune_sessions(
        &mut self,
        cursor: &mut SessionPruneCursor,
    ) -> Result<u64, StoreError> {
        let mut deleted = 0;
        let mut examined = 0;
        while examined < MAX_SESSIONS_PER_RUN {
            let step = self.prune_sessions_step(cursor).await?;
            deleted += step.deleted;
            examined += step.examined;
            let is_end = step.last.is_none();
            *cursor = step.last.unwrap_or_default();
            if is_end {
                break;
            }
        }
        Ok(deleted)
    }

    /// A session that is being updated is locked, and skipped. Entries are looked up session by session: a join might read
    /// all entries.
    async fn prune_sessions_step(
        &mut self,
        after: &SessionPruneCursor,
    ) -> Result<Step, StoreError> {
        let row = sqlx::query(
            "with examined as materialized (
                 select user_id, session_id, last_activity from sessions
                 where (user_id, session_id) > ($1, $2) order by user_id, session_id limit $3
             ), idle as materialized (
                 select s.ctid from sessions s join examined using (user_id, session_id)
                 where s.last_activity < $4
                   and (select 1 from entries e
                        where e.user_id = s.user_id and e.session_id = s.session_id limit 1) is null
                 for update of s skip locked
             ), deleted as (
                 delete from sessions where ctid = any(array(select ctid from idle)) returning 1
             ), last as (
                 select user_id, session_id from examined order by user_id desc, session_id desc limit 1
             )
             select (select count(*) from deleted) as deleted, (select count(*) from examined) as examined,
                    (select user_id from last) as user_id, (select session_id from last) as session_id",
        )
        .bind(&after.user)
        .bind(after.session)
        .bind(SESSIONS_PER_STEP)
        .bind(self.now - SESSION_GRACE_PERIOD)
        .fetch_one(&mut self.connection)
        .await?;
        let (deleted, user): (i64, Option<String>) =
            (row.try_get("deleted")?, row.try_get("user_id")?);
        let last = match user {
            Some(user) => Some(SessionPruneCursor {
                user,
                session: row.try_get("session_id")?,
            }),
            None => None,
        };
        Ok(Step {
            deleted: u64::try_from(deleted).unwrap_or_default(),
            examined: row.try_get("examined")?,
            last,
        })
    }
}

struct Step {
    deleted: u64,
    examined: i64,
    last: Option<SessionPruneCursor>,
}

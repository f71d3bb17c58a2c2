//! Old rows of tables without partitions go, a few at a time, so that no transaction is long.

use sqlx::{AssertSqlSafe, Row};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::RetentionLock;
use crate::model::retention::RetentionPeriods;
use crate::store::{Store, StoreError};

/// Rows of one transaction.
const STEP: i64 = 5000;
/// Sessions that are looked at in one transaction.
const SESSIONS_STEP: i64 = 500;
/// Sessions that are looked at in one run.
const SESSIONS_OF_A_RUN: i64 = 20_000;
/// A session without entries stays so long: entries that come late may join it.
const SESSION_REST: Duration = Duration::days(7);

/// A table whose rows go by their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgedTable {
    /// Ids of batches.
    Ledger,
    /// Who deleted what.
    DeletionAudit,
    /// What producers lost.
    Gaps,
}

/// How far looking for sessions without entries has got. By default, at the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionPruneCursor {
    user: String,
    session: Uuid,
}

impl AgedTable {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ledger, Self::DeletionAudit, Self::Gaps];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "ingest_ledger",
            Self::DeletionAudit => "deletion_audit",
            Self::Gaps => "gaps",
        }
    }

    /// How long its rows are kept; none: for ever.
    #[must_use]
    pub const fn kept(self, keep: RetentionPeriods) -> Option<Duration> {
        match self {
            Self::Ledger => Some(keep.ledger),
            Self::DeletionAudit | Self::Gaps => keep.audit,
        }
    }

    /// Of the rows from before `$1`. A gap's own times are its producer's, who may be wrong: the account
    /// of a loss must not go early for that.
    const fn condition(self) -> &'static str {
        match self {
            Self::Ledger => "received_at < $1",
            Self::DeletionAudit => "deleted_at < $1",
            Self::Gaps => "last_at < $1 and received_at < $1",
        }
    }

    /// From before which its rows go; none: none go, or none is that old as far as calendars go.
    fn cutoff(self, keep: RetentionPeriods, now: OffsetDateTime) -> Option<OffsetDateTime> {
        now.checked_sub(self.kept(keep)?)
    }
}

impl Store {
    /// How many rows of a table are old enough to go.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn aged_rows(
        &self,
        table: AgedTable,
        keep: RetentionPeriods,
        now: OffsetDateTime,
    ) -> Result<i64, StoreError> {
        let Some(cutoff) = table.cutoff(keep, now) else {
            return Ok(0);
        };
        let (name, condition) = (table.as_str(), table.condition());
        let count = format!("select count(*) from {name} where {condition}");
        let count = sqlx::query_scalar(AssertSqlSafe(count)).bind(cutoff);
        Ok(count.fetch_one(&self.pool).await?)
    }
}

impl RetentionLock {
    /// Lets the old rows of a table go. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]; some of them may have gone.
    pub async fn prune(
        &mut self,
        table: AgedTable,
        keep: RetentionPeriods,
    ) -> Result<u64, StoreError> {
        let Some(cutoff) = table.cutoff(keep, self.now) else {
            return Ok(0);
        };
        let (name, condition) = (table.as_str(), table.condition());
        let delete = format!(
            "delete from {name} where ctid = any(array(select ctid from {name} where {condition} limit $2))"
        );
        let mut rows = 0;
        loop {
            let delete = sqlx::query(AssertSqlSafe(delete.clone()));
            let deleted = delete.bind(cutoff).bind(STEP).execute(&mut self.connection);
            let deleted = deleted.await?.rows_affected();
            rows += deleted;
            if deleted == 0 {
                return Ok(rows);
            }
        }
    }

    /// Lets sessions go that have no entries left. Looks at some of them and notes in `place` where the
    /// next call goes on; after the last one that is the beginning. Returns how many went.
    ///
    /// # Errors
    /// [`StoreError`]; some of them may have gone.
    pub async fn prune_sessions(
        &mut self,
        place: &mut SessionPruneCursor,
    ) -> Result<u64, StoreError> {
        let mut gone = 0;
        let mut looked_at = 0;
        while looked_at < SESSIONS_OF_A_RUN {
            let step = self.prune_some_sessions(place).await?;
            gone += step.gone;
            looked_at += step.looked_at;
            let is_end = step.last.is_none();
            *place = step.last.unwrap_or_default();
            if is_end {
                break;
            }
        }
        Ok(gone)
    }

    /// A session that is just being made active is locked and passed over. Entries are asked for session
    /// by session: a join could be done by reading all entries.
    async fn prune_some_sessions(
        &mut self,
        after: &SessionPruneCursor,
    ) -> Result<Step, StoreError> {
        let row = sqlx::query(
            "with seen as materialized (
                 select user_id, session_id, last_activity from sessions
                 where (user_id, session_id) > ($1, $2) order by user_id, session_id limit $3
             ), idle as materialized (
                 select s.ctid from sessions s join seen using (user_id, session_id)
                 where s.last_activity < $4
                   and (select 1 from entries e
                        where e.user_id = s.user_id and e.session_id = s.session_id limit 1) is null
                 for update of s skip locked
             ), gone as (
                 delete from sessions where ctid = any(array(select ctid from idle)) returning 1
             ), last as (
                 select user_id, session_id from seen order by user_id desc, session_id desc limit 1
             )
             select (select count(*) from gone) as gone, (select count(*) from seen) as looked_at,
                    (select user_id from last) as user_id, (select session_id from last) as session_id",
        )
        .bind(&after.user)
        .bind(after.session)
        .bind(SESSIONS_STEP)
        .bind(self.now - SESSION_REST)
        .fetch_one(&mut self.connection)
        .await?;
        let (gone, user): (i64, Option<String>) = (row.try_get("gone")?, row.try_get("user_id")?);
        let last = match user {
            Some(user) => Some(SessionPruneCursor {
                user,
                session: row.try_get("session_id")?,
            }),
            None => None,
        };
        Ok(Step {
            gone: u64::try_from(gone).unwrap_or_default(),
            looked_at: row.try_get("looked_at")?,
            last,
        })
    }
}

struct Step {
    gone: u64,
    looked_at: i64,
    last: Option<SessionPruneCursor>,
}

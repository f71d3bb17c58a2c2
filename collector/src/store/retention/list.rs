//! The partitions: their size, and when they are due to be dropped.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use time::{Date, OffsetDateTime};
use tracing::instrument;

use crate::model::retention::drop_due_at;
use crate::store::partitions::{self, TABLES};
use crate::store::{Store, StoreError};

/// The comment on a partition that is to be dropped. One that an operator detached does not have it, and is left
/// alone.
pub(super) const DROP_COMMENT: &str = "dossier: expired, about to be dropped";
/// The rows of a larger partition are estimated.
const MAX_COUNTED_BYTES: i64 = 16 << 20;

/// A partition of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub(super) table: &'static str,
    /// Of the table that it is.
    pub name: String,
    /// The rows that it is for.
    pub kind: PartitionKind,
    /// Including indexes.
    pub bytes: i64,
    /// By Postgres; none if it was never analyzed.
    estimated_rows: Option<i64>,
    pub(super) stage: DropStage,
}

/// The rows that a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionKind {
    /// Those that expire on this day.
    Day(Date),
    /// Those that never expire.
    Forever,
}

/// How far dropping a partition has progressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropStage {
    /// It has not begun.
    Attached,
    /// No new statement sees it.
    HalfDetached,
    /// It is a table of its own.
    Detached,
}

/// The number of rows of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowCount {
    /// Counted.
    Exact(i64),
    /// By Postgres.
    Estimated(i64),
    /// It is large, and Postgres has not analyzed it yet.
    Unknown,
}

impl Partition {
    /// None: it is for rows that never expire.
    #[must_use]
    pub const fn day(&self) -> Option<Date> {
        match self.kind {
            PartitionKind::Day(day) => Some(day),
            PartitionKind::Forever => None,
        }
    }

    /// When it goes; none: never.
    #[must_use]
    pub fn drop_due_at(&self) -> Option<OffsetDateTime> {
        self.day().and_then(drop_due_at)
    }

    /// Whether its time has come.
    #[must_use]
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.drop_due_at().is_some_and(|due| due <= now)
    }
}

impl Store {
    /// All partitions, the next due first.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.partitions", skip_all, err(level = "debug"))]
    pub async fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        list(&mut connection).await
    }

    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.rows_of", skip_all, err(level = "debug"))]
    pub async fn rows_of(&self, partition: &Partition) -> Result<RowCount, StoreError> {
        if partition.bytes > MAX_COUNTED_BYTES {
            return Ok(partition
                .estimated_rows
                .map_or(RowCount::Unknown, RowCount::Estimated));
        }
        // The name consists of a fixed word and digits.
        let count = format!("select count(*) from {}", partition.name);
        let count = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&self.pool);
        Ok(RowCount::Exact(count.await?))
    }
}

pub(super) async fn list(connection: &mut PgConnection) -> Result<Vec<Partition>, StoreError> {
    let rows = sqlx::query(
        "select parent.name as parent, c.relname::text as name, pg_total_relation_size(c.oid) as bytes,
                nullif(c.reltuples, -1)::bigint as estimated_rows, i.inhrelid is not null as attached,
                coalesce(i.inhdetachpending, false) as half_detached
         from unnest($1::text[]) as parent(name)
         join pg_class p on p.oid = to_regclass(parent.name)
         join pg_class c on c.relnamespace = p.relnamespace and c.relkind = 'r'
              and left(c.relname, length(parent.name) + 1) = parent.name || '_'
         left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = p.oid
         where i.inhrelid is not null or obj_description(c.oid, 'pg_class') = $2",
    )
    .bind(TABLES.as_slice())
    .bind(DROP_COMMENT)
    .fetch_all(connection)
    .await?;
    let partitions = rows.iter().filter_map(|row| decode(row).transpose());
    let mut partitions = partitions.collect::<Result<Vec<_>, _>>()?;
    partitions.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(partitions)
}

/// None: it is no partition of the collector, or it has just been dropped.
fn decode(row: &PgRow) -> Result<Option<Partition>, StoreError> {
    let parent: &str = row.try_get("parent")?;
    let name: String = row.try_get("name")?;
    let Some(table) = TABLES.into_iter().find(|table| *table == parent) else {
        return Ok(None);
    };
    let Some(bytes) = row.try_get("bytes")? else {
        return Ok(None);
    };
    let kind = match partitions::parse_day(table, &name) {
        Some(day) => PartitionKind::Day(day),
        None if name == partitions::forever_name(table) => PartitionKind::Forever,
        None => return Ok(None),
    };
    let stage = match (row.try_get("attached")?, row.try_get("half_detached")?) {
        (false, _) => DropStage::Detached,
        (true, true) => DropStage::HalfDetached,
        (true, false) => DropStage::Attached,
    };
    Ok(Some(Partition {
        table,
        name,
        kind,
        bytes,
        estimated_rows: row.try_get("estimated_rows")?,
        stage,
    }))
}

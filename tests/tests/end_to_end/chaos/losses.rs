//! What Postgres itself says of losses and of what is there twice.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgConnection;

/// What producers say they have lost, by the reason.
#[derive(Debug, Default)]
pub struct Losses(BTreeMap<String, (u64, u64)>);

impl Losses {
    /// Reads all gap records.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "select reason, sum(records)::bigint as records, sum(bytes)::bigint as bytes
             from gaps group by reason",
        )
        .fetch_all(connection)
        .await?;
        let mut losses = BTreeMap::new();
        for row in rows {
            let (records, bytes): (i64, i64) = (row.try_get("records")?, row.try_get("bytes")?);
            let numbers = (records.unsigned_abs(), bytes.unsigned_abs());
            losses.insert(row.try_get("reason")?, numbers);
        }
        Ok(Self(losses))
    }

    /// Records in all.
    pub fn records(&self) -> u64 {
        self.0.values().map(|(records, _)| records).sum()
    }

    /// Bytes that were lost for a reason.
    pub fn bytes(&self, reason: &str) -> u64 {
        self.0.get(reason).map_or(0, |(_, bytes)| *bytes)
    }

    /// Reasons with their records and bytes.
    pub fn by_reason(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let reasons = self.0.iter();
        reasons.map(|(reason, (records, bytes))| (reason.as_str(), *records, *bytes))
    }
}

/// How many entries are stored.
pub async fn count_entries(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar("select count(*) from entries")
        .fetch_one(connection)
        .await?;
    Ok(count.unsigned_abs())
}

/// How many halves of exchanges are stored more than once.
pub async fn count_duplicates(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from (select from entries group by exchange_id, half having count(*) > 1) twice",
    )
    .fetch_one(connection)
    .await?;
    Ok(count.unsigned_abs())
}

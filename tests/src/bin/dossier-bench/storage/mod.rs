//! Measures the disk space of bodies, and what reading compressed bodies costs.

pub(crate) mod bodies;

use std::fmt::Write as _;

use dossier_tests::HarnessError;
use dossier_tests::clock::format_rfc3339;
use dossier_wire::StorageCompression;
use serde_json::{Value, json};
use sqlx::Row;

use crate::query::dataset::failed;
use crate::recorder::{Recorder, USERS};
use crate::statistics::{median, quantile};
use bodies::Kind;

/// Exchanges that are measured, each of two entries with a body each.
const MEASURED: u64 = 10_000;
/// Exchanges of each kind of keeping among which a page is read.
const READ: u64 = 200;
const CASES: [(Kind, usize); 4] = [
    (Kind::Orders, 1024),
    (Kind::Orders, 4096),
    (Kind::Chat, 1024),
    (Kind::Chat, 4096),
];

/// Bytes on disk, of everything.
#[derive(Debug, Clone, Copy, Default)]
struct Disk {
    rows: i64,
    indexes: i64,
    whole: i64,
}

struct Bench {
    recorder: Recorder,
}

/// Measures, and returns a table.
pub(crate) async fn run(rounds: usize) -> Result<String, HarnessError> {
    let folder = tempfile::tempdir().map_err(HarnessError::io("make a folder".to_owned()))?;
    let recorder = Recorder::start(folder.path()).await?;
    let mut bench = Bench { recorder };
    let mut table = format!(
        "{MEASURED} exchanges of {USERS} users for each row, both bodies of that size. Bytes on disk per byte of body, \
         and what reading 100 entries with their bodies takes over reading 100 that were stored with `compress: false`: \
         median of {rounds} rounds, with the middle half.\n\n\
         | bodies | packed bodies | whole disk | of that: rows | indexes | disk per entry without its body | reading |\n\
         |---|---:|---:|---:|---:|---:|---:|\n"
    );
    for (kind, bytes) in CASES {
        table.push_str(&bench.case(kind, bytes, rounds).await?);
    }
    Ok(table)
}

impl Bench {
    async fn case(
        &mut self,
        kind: Kind,
        bytes: usize,
        rounds: usize,
    ) -> Result<String, HarnessError> {
        let endpoint = format!("/api/v1/{}-{bytes}", format!("{kind:?}").to_lowercase());
        let auto = StorageCompression::Auto;
        self.recorder
            .train_dictionaries(kind, bytes, &endpoint)
            .await?;
        let before = self.disk().await?;
        let first: i64 = self
            .recorder
            .fetch_count("select last_value from entry_ids")
            .await?;
        self.recorder
            .send(kind, bytes, &endpoint, MEASURED, auto)
            .await?;
        let after = self.disk().await?;
        let row = sqlx::query(
            "select sum(body_size)::bigint as captured, sum(stored_size)::bigint as stored, count(*) as entries
             from entries where id > $1",
        )
        .bind(first)
        .fetch_one(&mut self.recorder.database)
        .await
        .map_err(failed("add up"))?;
        let sum = |column| row.try_get::<i64, _>(column).map_err(failed("add up"));
        let (captured, stored, entries) = (sum("captured")?, sum("stored")?, sum("entries")?);
        let plain = format!("{endpoint}/plain");
        let since = self.recorder.next_time();
        for (endpoint, compress) in [(&endpoint, auto), (&plain, StorageCompression::Never)] {
            self.recorder
                .send(kind, bytes, endpoint, READ, compress)
                .await?;
        }
        let since = format_rfc3339(since);
        let reading = self.reading([&endpoint, &plain], &since, rounds).await?;
        let per_byte = |part: i64| ratio(part, captured);
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            line,
            "| {kind:?}, {bytes} B | **{:.3}** | **{:.3}** | {:.3} | {:.3} | {:.0} B | **{:.2}** ({:.2} to {:.2}) |",
            per_byte(stored),
            per_byte(after.whole - before.whole),
            per_byte(after.rows - before.rows),
            per_byte(after.indexes - before.indexes),
            ratio(after.whole - before.whole - stored, entries),
            median(&reading),
            quantile(&reading, 0.25),
            quantile(&reading, 0.75),
        );
        Ok(line)
    }

    /// All tables, with indexes, long values and free space.
    async fn disk(&mut self) -> Result<Disk, HarnessError> {
        let row = sqlx::query(
            "select sum(pg_table_size(oid))::bigint as rows, sum(pg_indexes_size(oid))::bigint as indexes,
                    sum(pg_total_relation_size(oid))::bigint as whole
             from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
        )
        .fetch_one(&mut self.recorder.database)
        .await
        .map_err(failed("measure the disk"))?;
        let sum = |column| {
            row.try_get::<i64, _>(column)
                .map_err(failed("measure the disk"))
        };
        Ok(Disk {
            rows: sum("rows")?,
            indexes: sum("indexes")?,
            whole: sum("whole")?,
        })
    }

    /// Of each round, how much longer it takes to read packed bodies than others.
    async fn reading(
        &mut self,
        [packed, plain]: [&str; 2],
        since: &str,
        rounds: usize,
    ) -> Result<Vec<f64>, HarnessError> {
        let key = self
            .recorder
            .collector
            .create_key("bench", "admin", "bench")
            .await?;
        let mut ratios = Vec::new();
        for round in 0..rounds + 3 {
            let (mut of_packed, mut of_plain) = (0.0, 0.0);
            let turns = if round % 2 == 0 {
                [packed, plain]
            } else {
                [plain, packed]
            };
            for endpoint in turns {
                let took = self.page(&key, endpoint, since).await?;
                let place = if endpoint == packed {
                    &mut of_packed
                } else {
                    &mut of_plain
                };
                *place = took;
            }
            // The first rounds fill caches.
            if round >= 3 {
                ratios.push(of_packed / of_plain);
            }
        }
        Ok(ratios)
    }

    /// Milliseconds for a page of 100 entries with their bodies. Of either endpoint there are as many since
    /// then: their total is counted too.
    async fn page(&self, key: &str, endpoint: &str, since: &str) -> Result<f64, HarnessError> {
        let wanted = json!({"endpoint": endpoint, "start_date": since, "page_size": 100});
        let answer = self.recorder.client.query(key, &wanted).await?;
        let took = answer
            .json
            .pointer("/metadata/took_ms")
            .and_then(Value::as_f64);
        let shown = answer
            .items()
            .iter()
            .filter(|item| item.get("data").is_some_and(Value::is_object));
        match took {
            Some(took) if shown.count() == 100 => Ok(took),
            _ => Err(HarnessError::Unexpected {
                doing: format!("read {endpoint}"),
                answer: format!("{} with {} entries", answer.status, answer.items().len()),
            }),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs three digits")]
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole.max(1) as f64
}

//! How much of the disk do bodies take, and what does it cost to read them packed?

mod bodies;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use dossier_tests::HarnessError;
use dossier_tests::client::Client;
use dossier_tests::clock::now_micros;
use dossier_tests::collector::Collector;
use dossier_tests::producer::{Sample, batch};
use dossier_tests::wait;
use dossier_wire::{Half, KeepCompressed};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use crate::query::dataset::failed;
use crate::query::{options, start};
use crate::statistics::{median, quantile};
use bodies::{Kind, Random, body};

const USERS: u64 = 200;
/// Exchanges from which the dictionaries are made.
const LEARNT_FROM: u64 = 1500;
/// Exchanges that are measured, each of two entries with a body each.
const MEASURED: u64 = 10_000;
const BATCH: u64 = 100;
const CASES: [(Kind, usize); 4] = [
    (Kind::Orders, 1024),
    (Kind::Orders, 4096),
    (Kind::Chat, 1024),
    (Kind::Chat, 4096),
];
/// Collectors learn of new dictionaries twice a minute.
const DICTIONARY_LIMIT: Duration = Duration::from_secs(90);

/// Bytes on disk, of everything.
#[derive(Debug, Clone, Copy, Default)]
struct Disk {
    rows: i64,
    indexes: i64,
    whole: i64,
}

struct Bench {
    collector: Collector,
    client: Client,
    database: PgConnection,
    ingest: String,
    random: Random,
    now: u64,
}

/// Measures, and returns a table.
pub(crate) async fn run(rounds: usize) -> Result<String, HarnessError> {
    let folder = tempfile::tempdir().map_err(HarnessError::io("make a folder".to_owned()))?;
    let collector = start(folder.path()).await?;
    let mut bench = Bench {
        client: Client::new(collector.address)?,
        database: PgConnection::connect_with(&options(folder.path()))
            .await
            .map_err(failed("reach the collector's Postgres"))?,
        ingest: collector.create_key("bench", "ingest", "bench").await?,
        collector,
        random: Random(42),
        now: now_micros() - 3_600_000_000,
    };
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
        let auto = KeepCompressed::Auto;
        self.send(kind, bytes, &endpoint, LEARNT_FROM, auto).await?;
        self.make_dictionaries(kind, bytes, &endpoint).await?;
        let before = self.disk().await?;
        let first: i64 = self.number("select last_value from entry_ids").await?;
        self.send(kind, bytes, &endpoint, MEASURED, auto).await?;
        let after = self.disk().await?;
        let row = sqlx::query(
            "select sum(body_size)::bigint as captured, sum(stored_size)::bigint as stored, count(*) as entries
             from entries where id > $1",
        )
        .bind(first)
        .fetch_one(&mut self.database)
        .await
        .map_err(failed("add up"))?;
        let sum = |column| row.try_get::<i64, _>(column).map_err(failed("add up"));
        let (captured, stored, entries) = (sum("captured")?, sum("stored")?, sum("entries")?);
        let plain = format!("{endpoint}/plain");
        self.send(kind, bytes, &plain, 200, KeepCompressed::Never)
            .await?;
        let reading = self.reading(&endpoint, &plain, rounds).await?;
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

    /// Sends exchanges, in batches, a tenth of a second apart.
    async fn send(
        &mut self,
        kind: Kind,
        bytes: usize,
        endpoint: &str,
        exchanges: u64,
        compress: KeepCompressed,
    ) -> Result<(), HarnessError> {
        let mut sent = 0;
        while sent < exchanges {
            let mut samples = Vec::new();
            for _ in 0..BATCH.min(exchanges - sent) {
                samples.extend(self.exchange(kind, bytes, endpoint, compress));
                sent += 1;
            }
            let answer = self
                .client
                .ingest(Some(&self.ingest), Uuid::now_v7(), batch(&samples)?)
                .await?;
            if answer.status != 200 {
                return Err(HarnessError::Unexpected {
                    doing: "store a batch".to_owned(),
                    answer: answer.json.to_string(),
                });
            }
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        kind: Kind,
        bytes: usize,
        endpoint: &str,
        compress: KeepCompressed,
    ) -> [Sample; 2] {
        let user = self.random.below(USERS);
        self.now += 10_000;
        let request = body(kind, bytes, user, &mut self.random);
        let mut request = Sample::request(&format!("user-{user}"), endpoint, self.now, &request)
            .within_minutes(30);
        let record = &mut request.record;
        record.compress = compress;
        record.method = Cow::Borrowed("POST");
        record.host = Some(Cow::Borrowed("api.example.com"));
        record.route = Some(Cow::Borrowed("ai"));
        record.request_id = Some(Cow::Owned(Uuid::now_v7().to_string()));
        record.ttl_days = NonZeroU32::new(30);
        record.metadata.insert("model".to_owned(), json!("gpt-4"));
        let response = request.response(&body(kind, bytes, user, &mut self.random));
        [request, response]
    }

    /// Has the dictionaries made, and waits until the collector packs with them.
    async fn make_dictionaries(
        &mut self,
        kind: Kind,
        bytes: usize,
        endpoint: &str,
    ) -> Result<(), HarnessError> {
        let said = self.collector.run(&["dictionaries", "--make"]).await?;
        for half in [Half::Request, Half::Response] {
            let made = said
                .output
                .lines()
                .any(|line| line.contains(half.as_str()) && line.ends_with(endpoint));
            if !made {
                return Err(HarnessError::Unexpected {
                    doing: format!("make a dictionary for {endpoint}"),
                    answer: said.output + &said.errors,
                });
            }
        }
        let what = format!("a body of {endpoint} packed with its dictionary");
        wait::until(&what, DICTIONARY_LIMIT, async || {
            let sent = self.send(kind, bytes, endpoint, 1, KeepCompressed::Auto);
            sent.await.map_err(|error| error.to_string())?;
            let packed = self.number(
                "select count(dictionary_id) from (select dictionary_id from entries order by id desc limit 2) e",
            );
            match packed.await.map_err(|error| error.to_string())? {
                2 => Ok(()),
                others => Err(format!("{others} of 2")),
            }
        })
        .await
    }

    async fn number(&mut self, query: &'static str) -> Result<i64, HarnessError> {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.database)
            .await
            .map_err(failed("count"))
    }

    /// All tables, with indexes, long values and free space.
    async fn disk(&mut self) -> Result<Disk, HarnessError> {
        let row = sqlx::query(
            "select sum(pg_table_size(oid))::bigint as rows, sum(pg_indexes_size(oid))::bigint as indexes,
                    sum(pg_total_relation_size(oid))::bigint as whole
             from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
        )
        .fetch_one(&mut self.database)
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
        packed: &str,
        plain: &str,
        rounds: usize,
    ) -> Result<Vec<f64>, HarnessError> {
        let key = self.collector.create_key("bench", "admin", "bench").await?;
        let mut ratios = Vec::new();
        for round in 0..rounds + 3 {
            let (mut of_packed, mut of_plain) = (0.0, 0.0);
            let turns = if round % 2 == 0 {
                [packed, plain]
            } else {
                [plain, packed]
            };
            for endpoint in turns {
                let took = self.page(&key, endpoint).await?;
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

    /// Milliseconds for a page of 100 entries with their bodies.
    async fn page(&self, key: &str, endpoint: &str) -> Result<f64, HarnessError> {
        let wanted = json!({"endpoint": endpoint, "page_size": 100});
        let answer = self.client.query(key, &wanted).await?;
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

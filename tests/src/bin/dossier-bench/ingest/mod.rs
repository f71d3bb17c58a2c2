//! Compares ingest over HTTP with `psql` copying the same rows.
//!
//! There are two collectors with a Postgres each, set up alike. One takes batches. Only the Postgres of the
//! other keeps running: `psql` copies into it the rows of the previous round's batches. So both have the same
//! tables, which grow alike, and either can have the first turn.

mod copy;
mod load;
mod usage;

use std::fmt::Write as _;
use std::time::Instant;

use dossier_tests::HarnessError;
use dossier_tests::testing::TestFolder;
use sqlx::Row;

use crate::arguments::IngestArgs;
use crate::query::dataset::{self, failed};
use crate::recorder::{Recorder, USERS};
use crate::statistics::{median, quantile};
use crate::storage::bodies::Kind;
use copy::{Cluster, Rows};
use load::{Connections, EncodedBatch};
use usage::ResourceUsage;

/// The cost of one turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    seconds: f64,
    usage: ResourceUsage,
}

/// A turn of ingest and one of `psql`.
#[derive(Debug, Clone, Copy)]
struct Round {
    records: usize,
    ingest: Turn,
    copy: Turn,
}

impl Turn {
    fn between(seconds: f64, before: ResourceUsage, after: ResourceUsage) -> Self {
        Self {
            seconds,
            usage: after.since(before),
        }
    }
}

/// The last entry and the time before a round.
type TablePosition = (i64, String);

/// The two sides.
struct Bench {
    ingesting: Recorder,
    copying: Recorder,
    source: Cluster,
    target: Cluster,
    connections: Connections,
    arguments: IngestArgs,
    /// Of both, and for what is copied.
    folders: [TestFolder; 3],
}

/// Measures, and returns tables.
pub(crate) async fn run(arguments: &IngestArgs) -> Result<String, HarnessError> {
    let mut speed = format!(
        "Orders of {USERS} users, requests and responses; {} rounds of at least {} records; {} connections, {} psql. \
         A ratio is psql's time over ingest's, of the same round.\n\n\
         | bodies | ingest: records/s | MiB/s | psql: records/s | MiB/s | ratio | middle half | all rounds |\n\
         |---|---:|---:|---:|---:|---:|---|---|\n",
        arguments.rounds, arguments.records, arguments.connections, arguments.copies
    );
    let mut costs = String::from(
        "CPU time, and bytes of Postgres's log, of a record; medians.\n\n\
         | bodies | | sender | collector | Postgres | log | most memory of the collector | packed bodies |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for &bytes in &arguments.sizes {
        let mut bench = Bench::start(arguments).await?;
        let rounds = bench.rounds(bytes).await?;
        // Writing to a string cannot fail.
        let _ = writeln!(speed, "{}", format_speed(bytes, &rounds));
        let _ = writeln!(
            costs,
            "{}",
            format_costs(
                bytes,
                &rounds,
                bench.peak_memory()?,
                bench.measure_compression().await?
            )
        );
    }
    Ok(format!("{speed}\n{costs}"))
}

impl Bench {
    async fn start(arguments: &IngestArgs) -> Result<Self, HarnessError> {
        let folders = [
            TestFolder::create()?,
            TestFolder::create()?,
            TestFolder::create()?,
        ];
        let [first, second, _] = &folders;
        let ingesting = Recorder::start(first.path()).await?;
        let mut copying = Recorder::start(second.path()).await?;
        dataset::make_partitions(&copying.client, &copying.ingest).await?;
        copying.collector.kill();
        let connections = Connections::new(
            ingesting.collector.address,
            &ingesting.ingest,
            arguments.connections,
        )?;
        Ok(Self {
            source: Cluster::of(first.path()),
            target: Cluster::of(second.path()),
            connections,
            ingesting,
            copying,
            arguments: arguments.clone(),
            folders,
        })
    }

    async fn rounds(&mut self, bytes: usize) -> Result<Vec<Round>, HarnessError> {
        let endpoint = format!("/api/v1/orders-{bytes}");
        self.ingesting
            .train_dictionaries(Kind::Orders, bytes, &endpoint)
            .await?;
        let mut rounds = Vec::new();
        let mut before = self.ingest_first_round(&endpoint, bytes).await?;
        for number in 0..=self.arguments.rounds {
            let position = self.read_position().await?;
            let (batches, records) = self.encode_batches(&endpoint, bytes)?;
            let (ingest, copy) = if number % 2 == 0 {
                let copy = self.copy(&before).await?;
                (self.ingest(batches).await?, copy)
            } else {
                let ingest = self.ingest(batches).await?;
                (ingest, self.copy(&before).await?)
            };
            // The first round fills caches.
            if number > 0 {
                rounds.push(Round {
                    records,
                    ingest,
                    copy,
                });
            }
            before = self.dump(&position, records).await?;
            eprintln!("dossier-bench: round {number} with {bytes} B is over");
        }
        Ok(rounds)
    }

    /// Ingests the rows that the first round copies.
    async fn ingest_first_round(
        &mut self,
        endpoint: &str,
        bytes: usize,
    ) -> Result<Rows, HarnessError> {
        let position = self.read_position().await?;
        let (batches, records) = self.encode_batches(endpoint, bytes)?;
        self.ingest(batches).await?;
        self.dump(&position, records).await
    }

    fn encode_batches(
        &mut self,
        endpoint: &str,
        bytes: usize,
    ) -> Result<(Vec<EncodedBatch>, usize), HarnessError> {
        load::encode_batches(&mut self.ingesting, endpoint, bytes, self.arguments.records)
    }

    async fn read_position(&mut self) -> Result<TablePosition, HarnessError> {
        let row = sqlx::query("select last_value, now()::text from entry_ids");
        let row = row.fetch_one(&mut self.ingesting.database).await;
        let row = row.map_err(failed("read the last entry"))?;
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        read().map_err(failed("read the last entry"))
    }

    async fn dump(
        &mut self,
        position: &TablePosition,
        records: usize,
    ) -> Result<Rows, HarnessError> {
        let [_, _, files] = &self.folders;
        let rows = self
            .source
            .dump(files.path(), position, self.arguments.copies);
        let rows = rows.await?;
        if rows.entries() == records {
            return Ok(rows);
        }
        Err(HarnessError::Unexpected {
            doing: format!("find {records} entries in the table"),
            answer: rows.entries().to_string(),
        })
    }

    async fn ingest(&mut self, batches: Vec<EncodedBatch>) -> Result<Turn, HarnessError> {
        let before = ResourceUsage::read(&mut self.ingesting).await?;
        let began = Instant::now();
        self.connections.post(batches).await?;
        let seconds = began.elapsed().as_secs_f64();
        let after = ResourceUsage::read(&mut self.ingesting).await?;
        Ok(Turn::between(seconds, before, after))
    }

    async fn copy(&mut self, rows: &Rows) -> Result<Turn, HarnessError> {
        let before = ResourceUsage::read(&mut self.copying).await?;
        let began = Instant::now();
        let copied = self.target.copy(rows).await?;
        let seconds = began.elapsed().as_secs_f64();
        let after = ResourceUsage::read(&mut self.copying).await?;
        if copied >= rows.entries() {
            return Ok(Turn::between(seconds, before, after));
        }
        Err(HarnessError::Unexpected {
            doing: format!("copy {} entries and more", rows.entries()),
            answer: copied.to_string(),
        })
    }

    /// Stored bytes per byte of body, of the last entries.
    async fn measure_compression(&mut self) -> Result<f64, HarnessError> {
        let packed = sqlx::query_scalar(
            "select sum(stored_size)::float8 / sum(body_size)
             from (select stored_size, body_size from entries order by id desc limit 10000) entry",
        );
        let packed = packed.fetch_one(&mut self.ingesting.database).await;
        packed.map_err(failed("add up"))
    }

    fn peak_memory(&mut self) -> Result<u64, HarnessError> {
        match self.ingesting.collector.process() {
            Some(process) => process.read_memory("VmHWM"),
            None => Ok(0),
        }
    }
}

fn format_speed(bytes: usize, rounds: &[Round]) -> String {
    let speed = |turn: fn(&Round) -> Turn| {
        median(&each(rounds, |round| {
            number(round.records) / turn(round).seconds
        }))
    };
    let (ingest, copy) = (speed(|round| round.ingest), speed(|round| round.copy));
    let mebibytes = |speed: f64| speed * number(bytes) / f64::from(1 << 20);
    let ratios = each(rounds, |round| round.copy.seconds / round.ingest.seconds);
    let at = |share| quantile(&ratios, share);
    format!(
        "| {bytes} B | {ingest:.0} | {:.1} | {copy:.0} | {:.1} | **{:.2}** | {:.2} to {:.2} | {:.2} to {:.2} |",
        mebibytes(ingest),
        mebibytes(copy),
        median(&ratios),
        at(0.25),
        at(0.75),
        at(0.0),
        at(1.0),
    )
}

fn format_costs(bytes: usize, rounds: &[Round], memory: u64, packed: f64) -> String {
    let cost =
        |of: fn(&Round) -> f64| median(&each(rounds, |round| of(round) / number(round.records)));
    format!(
        "| {bytes} B | ingest | {:.1} µs | {:.1} µs | {:.1} µs | {:.0} B | {} MiB | {packed:.3} |\n\
         | | psql | {:.1} µs | | {:.1} µs | {:.0} B | | |",
        cost(|round| round.ingest.usage.sender),
        cost(|round| round.ingest.usage.collector),
        cost(|round| round.ingest.usage.postgres),
        cost(|round| round.ingest.usage.log),
        memory >> 20,
        cost(|round| round.copy.usage.sender),
        cost(|round| round.copy.usage.postgres),
        cost(|round| round.copy.usage.log),
    )
}

fn each(rounds: &[Round], of: impl Fn(&Round) -> f64) -> Vec<f64> {
    rounds.iter().map(of).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "far fewer than an f64 can count"
)]
const fn number(count: usize) -> f64 {
    count as f64
}

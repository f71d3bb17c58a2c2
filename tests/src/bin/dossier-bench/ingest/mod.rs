//! How fast batches get into the tables through HTTP, beside `psql` that copies the same rows in.
//!
//! Two collectors with a Postgres each, set up alike. One takes batches. Of the other only its Postgres runs
//! on: there, `psql` copies in what the batches of the round before have become. So both have the same tables,
//! which grow alike, and either can have the first turn.

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
use load::{Connections, Sealed};
use usage::Spent;

/// What one turn took.
#[derive(Debug, Clone, Copy)]
struct Turn {
    seconds: f64,
    spent: Spent,
}

/// A turn of each.
#[derive(Debug, Clone, Copy)]
struct Round {
    records: usize,
    ingest: Turn,
    copy: Turn,
}

impl Turn {
    fn between(seconds: f64, before: Spent, after: Spent) -> Self {
        Self {
            seconds,
            spent: after.since(before),
        }
    }
}

/// Where entries and moments stood before a round.
type Mark = (i64, String);

/// The two sides.
struct Bench {
    taking: Recorder,
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
        let _ = writeln!(speed, "{}", speed_line(bytes, &rounds));
        let _ = writeln!(
            costs,
            "{}",
            cost_lines(bytes, &rounds, bench.most_memory()?, bench.packed().await?)
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
        let taking = Recorder::start(first.path()).await?;
        let mut copying = Recorder::start(second.path()).await?;
        dataset::make_partitions(&copying.client, &copying.ingest).await?;
        copying.collector.kill();
        let connections = Connections::new(
            taking.collector.address,
            &taking.ingest,
            arguments.connections,
        )?;
        Ok(Self {
            source: Cluster::of(first.path()),
            target: Cluster::of(second.path()),
            connections,
            taking,
            copying,
            arguments: arguments.clone(),
            folders,
        })
    }

    async fn rounds(&mut self, bytes: usize) -> Result<Vec<Round>, HarnessError> {
        let endpoint = format!("/api/v1/orders-{bytes}");
        self.taking.learn(Kind::Orders, bytes, &endpoint).await?;
        let mut rounds = Vec::new();
        let mut before = self.filled(&endpoint, bytes).await?;
        for number in 0..=self.arguments.rounds {
            let mark = self.mark().await?;
            let (batches, records) = self.seal(&endpoint, bytes)?;
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
            before = self.dump(&mark, records).await?;
            eprintln!("dossier-bench: round {number} with {bytes} B is over");
        }
        Ok(rounds)
    }

    /// What the first round copies.
    async fn filled(&mut self, endpoint: &str, bytes: usize) -> Result<Rows, HarnessError> {
        let mark = self.mark().await?;
        let (batches, records) = self.seal(endpoint, bytes)?;
        self.ingest(batches).await?;
        self.dump(&mark, records).await
    }

    fn seal(&mut self, endpoint: &str, bytes: usize) -> Result<(Vec<Sealed>, usize), HarnessError> {
        load::seal(&mut self.taking, endpoint, bytes, self.arguments.records)
    }

    async fn mark(&mut self) -> Result<Mark, HarnessError> {
        let row = sqlx::query("select last_value, now()::text from entry_ids");
        let row = row.fetch_one(&mut self.taking.database).await;
        let row = row.map_err(failed("see where entries stand"))?;
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        read().map_err(failed("see where entries stand"))
    }

    async fn dump(&mut self, mark: &Mark, records: usize) -> Result<Rows, HarnessError> {
        let [_, _, files] = &self.folders;
        let rows = self.source.dump(files.path(), mark, self.arguments.copies);
        let rows = rows.await?;
        if rows.entries() == records {
            return Ok(rows);
        }
        Err(HarnessError::Unexpected {
            doing: format!("find {records} entries in the table"),
            answer: rows.entries().to_string(),
        })
    }

    async fn ingest(&mut self, batches: Vec<Sealed>) -> Result<Turn, HarnessError> {
        let before = Spent::of(&mut self.taking).await?;
        let began = Instant::now();
        self.connections.post(batches).await?;
        let seconds = began.elapsed().as_secs_f64();
        let after = Spent::of(&mut self.taking).await?;
        Ok(Turn::between(seconds, before, after))
    }

    async fn copy(&mut self, rows: &Rows) -> Result<Turn, HarnessError> {
        let before = Spent::of(&mut self.copying).await?;
        let began = Instant::now();
        let copied = self.target.copy(rows).await?;
        let seconds = began.elapsed().as_secs_f64();
        let after = Spent::of(&mut self.copying).await?;
        if copied >= rows.entries() {
            return Ok(Turn::between(seconds, before, after));
        }
        Err(HarnessError::Unexpected {
            doing: format!("copy {} entries and more", rows.entries()),
            answer: copied.to_string(),
        })
    }

    /// Bytes of packed bodies for each of bodies, of the last entries.
    async fn packed(&mut self) -> Result<f64, HarnessError> {
        let packed = sqlx::query_scalar(
            "select sum(stored_size)::float8 / sum(body_size)
             from (select stored_size, body_size from entries order by id desc limit 10000) entry",
        );
        let packed = packed.fetch_one(&mut self.taking.database).await;
        packed.map_err(failed("add up"))
    }

    fn most_memory(&mut self) -> Result<u64, HarnessError> {
        match self.taking.collector.process() {
            Some(process) => process.read_memory("VmHWM"),
            None => Ok(0),
        }
    }
}

fn speed_line(bytes: usize, rounds: &[Round]) -> String {
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

fn cost_lines(bytes: usize, rounds: &[Round], memory: u64, packed: f64) -> String {
    let cost =
        |of: fn(&Round) -> f64| median(&each(rounds, |round| of(round) / number(round.records)));
    format!(
        "| {bytes} B | ingest | {:.1} µs | {:.1} µs | {:.1} µs | {:.0} B | {} MiB | {packed:.3} |\n\
         | | psql | {:.1} µs | | {:.1} µs | {:.0} B | | |",
        cost(|round| round.ingest.spent.sender),
        cost(|round| round.ingest.spent.collector),
        cost(|round| round.ingest.spent.postgres),
        cost(|round| round.ingest.spent.log),
        memory >> 20,
        cost(|round| round.copy.spent.sender),
        cost(|round| round.copy.spent.postgres),
        cost(|round| round.copy.spent.log),
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

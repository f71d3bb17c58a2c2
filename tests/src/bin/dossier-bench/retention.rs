//! Drops expired entries while batches arrive: the time it takes, the space it frees, and how long batches wait.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dossier_tests::HarnessError;
use dossier_tests::client::CollectorClient;
use dossier_tests::clock::now_micros;
use dossier_tests::collector::Collector;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::testing::TestFolder;
use dossier_wire::StorageCompression;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use crate::arguments::RetentionArgs;
use crate::query::dataset::failed;
use crate::recorder::Recorder;
use crate::statistics::{median, quantile};
use crate::storage::bodies::Kind;

/// Bytes of a body.
const BYTES: usize = 2 << 10;
/// So many entries are stored by the collector itself, and copied.
const TEMPLATE_ENTRIES: i64 = 1000;
/// Rows of one statement that fills the tables.
const STEP: usize = 100_000;
const ENDPOINT: &str = "/api/v1/orders";
/// The writer sends a batch so often, whether or not the last one is answered.
const BETWEEN_BATCHES: Duration = Duration::from_millis(50);
const RECORDS: usize = 25;

/// One round.
struct Round {
    /// Seconds each batch took while nothing else went on.
    alone: Vec<f64>,
    /// And while the partitions went.
    during: Vec<f64>,
    /// Of the database, as the collector's program tells it.
    work: f64,
    bytes_before: i64,
    bytes_after: i64,
}

/// Measures, and returns a table.
pub(crate) async fn run(arguments: RetentionArgs) -> Result<String, HarnessError> {
    let folder = TestFolder::create()?;
    let mut recorder = Recorder::start(folder.path()).await?;
    store_templates(&mut recorder).await?;
    let Recorder {
        collector,
        mut database,
        ingest: key,
        ..
    } = recorder;
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds {
        fill_expired_partition(&mut database, arguments.entries).await?;
        rounds.push(measure_round(&collector, &mut database, &key, arguments).await?);
        eprintln!(
            "dossier-bench: round {number} of {} is over",
            arguments.rounds
        );
    }
    Ok(table(arguments, &rounds))
}

/// Has the collector store some entries, which those that expire are copies of.
async fn store_templates(recorder: &mut Recorder) -> Result<(), HarnessError> {
    recorder
        .train_dictionaries(Kind::Orders, BYTES, ENDPOINT)
        .await?;
    let auto = StorageCompression::Auto;
    let exchanges = TEMPLATE_ENTRIES.unsigned_abs() / 2;
    recorder
        .send(Kind::Orders, BYTES, ENDPOINT, exchanges, auto)
        .await
}

/// Makes the partitions of a day that is long over, with so many entries, packed as the collector packs them.
async fn fill_expired_partition(
    database: &mut PgConnection,
    entries: usize,
) -> Result<(), HarnessError> {
    run_sql(database, "set synchronous_commit = off").await?;
    for table in ["entries", "bodies"] {
        let statement = format!(
            "create table {table}_20260110 partition of {table} for values from ('2026-01-10') to ('2026-01-11');
             alter table {table}_20260110 enable row level security"
        );
        run_sql(database, AssertSqlSafe(statement)).await?;
    }
    let copying = build_copy_statement(database).await?;
    let mut copied = 0;
    while copied < entries {
        let step = STEP.min(entries - copied);
        sqlx::query(AssertSqlSafe(copying.as_str()))
            .bind(TEMPLATE_ENTRIES)
            .bind(i64::try_from(step).unwrap_or(i64::MAX))
            .execute(&mut *database)
            .await
            .map_err(failed("fill the tables"))?;
        copied += step;
    }
    // What filling has left to write must not be written while it is measured.
    for statement in ["vacuum analyze entries_20260110", "checkpoint"] {
        run_sql(database, statement).await?;
    }
    Ok(())
}

/// The statement that copies the latest entries into that day, until there are so many.
async fn build_copy_statement(database: &mut PgConnection) -> Result<String, HarnessError> {
    let columns: Vec<String> = sqlx::query_scalar(
        "select attname::text from pg_attribute where attrelid = 'entries'::regclass and attnum > 0 and not attisdropped
         order by attnum",
    )
    .fetch_all(database)
    .await
    .map_err(failed("look at the columns"))?;
    let values = columns.iter().map(|column| match column.as_str() {
        "id" => "nextval('entry_ids')".to_owned(),
        "expires_at" => "timestamptz '2026-01-10' + random() * interval '23 hours'".to_owned(),
        "exchange_id" => "gen_random_uuid()".to_owned(),
        other => format!("model.{other}"),
    });
    let values = values.collect::<Vec<_>>().join(", ");
    Ok(format!(
        "with models as materialized (select *, row_number() over () as place from (
             select * from entries where expires_at > now() order by id desc limit $1) latest)
         insert into entries ({}) select {values} from generate_series(1, $2) n join models model on model.place = 1 + n % $1",
        columns.join(", ")
    ))
}

async fn measure_round(
    collector: &Collector,
    database: &mut PgConnection,
    key: &str,
    arguments: RetentionArgs,
) -> Result<Round, HarnessError> {
    let client = CollectorClient::new(collector.address)?;
    let time = Duration::from_secs(arguments.seconds as u64);
    // Connections and the partitions of the day.
    send_batches(&client, key, Duration::from_secs(2)).await?;
    let alone = send_batches(&client, key, time).await?;
    let bytes_before = size(database).await?;
    let dropping = async {
        sleep(time / 4).await;
        collector.run(&["retention", "apply"]).await
    };
    let (during, output) = tokio::join!(send_batches(&client, key, time), dropping);
    let output = output?;
    let work = output.stdout.lines().filter_map(parse_milliseconds).sum();
    if !output.status.success() || output.stdout.lines().filter_map(parse_milliseconds).count() != 2
    {
        return Err(HarnessError::CommandFailed {
            command: "dossier retention apply".to_owned(),
            status: output.status,
            output: output.stdout + &output.stderr,
        });
    }
    Ok(Round {
        alone,
        during: during?,
        work,
        bytes_before,
        bytes_after: size(database).await?,
    })
}

/// Milliseconds, in a line of `dossier retention apply` about a dropped partition.
fn parse_milliseconds(line: &str) -> Option<f64> {
    let (_, took) = line.rsplit_once(" in ")?;
    took.strip_suffix(" ms")?.parse().ok()
}

/// Sends batches at a constant rate. Returns the seconds from when each was to be sent to its answer.
async fn send_batches(
    client: &CollectorClient,
    key: &str,
    time: Duration,
) -> Result<Vec<f64>, HarnessError> {
    let mut ticks = interval(BETWEEN_BATCHES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begin = Instant::now();
    let mut sending = JoinSet::new();
    let body = "0123456789abcdef".repeat(BYTES / 16);
    while begin.elapsed() < time {
        let due = ticks.tick().await;
        let samples: Vec<_> = (0..RECORDS)
            .map(|_| Sample::request("bench", "/api/v1/ai/chat", now_micros(), &body))
            .collect();
        let bytes = encode_batch(&samples)?;
        let (client, key) = (client.clone(), key.to_owned());
        sending.spawn(async move {
            let answer = client.ingest(Some(&key), Uuid::now_v7(), bytes).await?;
            let took = due.elapsed().as_secs_f64();
            if answer.status == 200 {
                return Ok(took);
            }
            Err(HarnessError::Unexpected {
                doing: "store a batch".to_owned(),
                answer: format!("{} {}", answer.status, answer.json),
            })
        });
    }
    sending.join_all().await.into_iter().collect()
}

async fn size(database: &mut PgConnection) -> Result<i64, HarnessError> {
    sqlx::query_scalar("select pg_database_size(current_database())")
        .fetch_one(database)
        .await
        .map_err(failed("ask for the size"))
}

async fn run_sql(
    database: &mut PgConnection,
    statement: impl sqlx::SqlSafeStr + Send,
) -> Result<(), HarnessError> {
    sqlx::raw_sql(statement)
        .execute(database)
        .await
        .map(drop)
        .map_err(failed("prepare the database"))
}

fn table(arguments: RetentionArgs, rounds: &[Round]) -> String {
    let rate = RECORDS as u128 * (1000 / BETWEEN_BATCHES.as_millis());
    let mut table = format!(
        "{} expired entries with bodies of {} bytes, as the collector packs them, go, while {rate} new ones of the same size come each second.\n\n\
         | round | work | space before | after | batch alone: median, 99 %, longest | while they go: median, 99 %, longest |\n\
         |---:|---:|---:|---:|---:|---:|\n",
        arguments.entries, BYTES,
    );
    for (number, round) in (1..).zip(rounds) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {number} | **{:.0} ms** | {} MB | {} MB | {} | {} |",
            round.work,
            round.bytes_before / 1_000_000,
            round.bytes_after / 1_000_000,
            format_latencies(&round.alone),
            format_latencies(&round.during),
        );
    }
    table
}

fn format_latencies(seconds: &[f64]) -> String {
    let [middle, most, longest] = [
        median(seconds),
        quantile(seconds, 0.99),
        quantile(seconds, 1.0),
    ]
    .map(|seconds| seconds * 1e3);
    format!("{middle:.1}, {most:.0}, **{longest:.0} ms**")
}

//! Expired data is deleted on schedule or on command; and collectors that start together.

use std::num::NonZeroU32;
use std::path::Path;

use dossier_tests::client::CollectorClient;
use dossier_tests::clock::minutes_ago;
use dossier_tests::collector::{Collector, CollectorPlan};
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use dossier_tests::wait;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::support::{TIMEOUT, metric, store};

const DAY: u64 = 24 * 60;

async fn database(data: &Path) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(data.join("postgres/socket"))
        .username("dossier")
        .database("dossier");
    PgConnection::connect_with(&options).await.unwrap()
}

async fn run(database: &mut PgConnection, statements: &str) {
    let statements = AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements).execute(database).await.unwrap();
}

/// The partitions of a day long over, as if they had been written before it.
async fn make_expired(database: &mut PgConnection) {
    run(
        database,
        "create table entries_20260110 partition of entries for values from ('2026-01-10') to ('2026-01-11');
         create table bodies_20260110 partition of bodies for values from ('2026-01-10') to ('2026-01-11');
         insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion,
             body_state, truncated, exchange_id, user_id, endpoint, method, path, metadata)
         select n, '2026-01-10', now(), now(), now(), 2, 2, 'request', 'complete', 'stored', false, gen_random_uuid(),
             'alice', '/', 'GET', '/', '{}' from generate_series(1000001, 1000003) n;
         insert into bodies select n, '2026-01-10', 'identity', 'alice', 'hi' from generate_series(1000001, 1000003) n;
         insert into ingest_ledger values (gen_random_uuid(), '2026-01-01', 3)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collector_deletes_and_reports_expired_data() {
    let backend = TestBackend::start_with(|plan| {
        let interval = ("DOSSIER_RETENTION_INTERVAL".to_owned(), "1".to_owned());
        plan.collector_environment.push(interval);
        Ok(())
    })
    .await
    .unwrap();
    let mut sample = Sample::request("alice", "/x", minutes_ago(1), "{}");
    sample.record.ttl_days = NonZeroU32::new(30);
    store(&backend, &[sample]).await;
    let mut database = database(&backend.folder().join("data")).await;
    make_expired(&mut database).await;
    let done = wait::until("what has expired to be gone", TIMEOUT, async || {
        let metrics = ["dropped_partitions", "pruned_rows", "days_ahead"];
        let mut seen = Vec::new();
        for name in metrics {
            let counted = metric(&backend, &format!("dossier_retention_{name}_total")).await;
            seen.push(counted.map_err(|error| error.to_string())?);
        }
        if seen == [2, 1, 1] {
            Ok(())
        } else {
            Err(format!("{metrics:?}: {seen:?}"))
        }
    });
    done.await.unwrap();
    assert!(
        metric(&backend, "dossier_retention_freed_bytes_total")
            .await
            .unwrap()
            > 0
    );
    let done = metric(&backend, "dossier_retention_last_done_timestamp_seconds");
    assert!(done.await.unwrap() > 0);
    let left: i64 = sqlx::query_scalar("select count(*) from pg_class where relname ~ '_20260110'")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(left, 0);
    let log = std::fs::read_to_string(backend.folder().join("collector.log")).unwrap();
    for partition in ["entries_20260110", "bodies_20260110"] {
        assert!(log.contains(partition), "{log}");
    }
    let alice = &backend.keys.users.alice;
    assert_eq!(backend.client.count(alice, &json!({})).await.unwrap(), 1);
}

/// Words of the line that is about this.
fn line<'a>(output: &'a str, what: &str) -> Vec<&'a str> {
    let line = output.lines().find(|line| line.contains(what));
    let line = line.unwrap_or_else(|| panic!("no {what} in {output}"));
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_deletes_what_plan_lists() {
    let backend = TestBackend::start().await.unwrap();
    let mut sample = Sample::request("alice", "/x", minutes_ago(5 * DAY), "{}");
    sample.record.ttl_days = NonZeroU32::new(30);
    store(&backend, &[sample.clone(), sample]).await;
    let mut database = database(&backend.folder().join("data")).await;
    make_expired(&mut database).await;

    let output = backend.collector.run(&["doctor"]).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stdout.contains("warn  partitions"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("bodies_20260110"),
        "{}",
        output.stdout
    );

    let output = backend.collector.run(&["retention", "plan"]).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let due = line(&output.stdout, "entries_20260110");
    assert_eq!(&due[..4], ["now", "entries_20260110", "2026-01-10", "3"]);
    assert!(due[4].parse::<u64>().unwrap() > 0);
    assert_eq!(
        &line(&output.stdout, "ingest_ledger")[..2],
        ["now", "ingest_ledger"]
    );
    assert_eq!(line(&output.stdout, "entries_forever")[0], "never");
    assert_eq!(line(&output.stdout, "gaps")[0], "-");
    let later: Vec<_> = output
        .stdout
        .lines()
        .filter(|line| line.contains("entries_2026") || line.contains("entries_2"))
        .filter(|line| !line.contains("20260110"))
        .collect();
    assert_eq!(later.len(), 1, "{}", output.stdout);
    assert!(
        later[0].contains("00:00Z") && later[0].contains("  2  "),
        "{later:?}"
    );

    let output = backend
        .collector
        .run(&["retention", "apply"])
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", output.stdout);
    assert!(
        lines[0].starts_with("bodies_20260110: dropped, "),
        "{}",
        output.stdout
    );
    assert!(
        lines[1].starts_with("entries_20260110: dropped, "),
        "{}",
        output.stdout
    );
    assert_eq!(lines[2], "ingest_ledger: 1 old rows deleted");
    let output = backend
        .collector
        .run(&["retention", "apply"])
        .await
        .unwrap();
    assert_eq!(output.stdout, "Nothing has expired.\n");

    let lock = "select pg_advisory_lock(x'646f73730002'::bigint)";
    run(&mut database, lock).await;
    let output = backend
        .collector
        .run(&["retention", "apply"])
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output
            .stderr
            .contains("a collector is dropping expired data"),
        "{}",
        output.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_pending_and_unknown_migrations() {
    let backend = TestBackend::start().await.unwrap();
    let check = async || {
        backend
            .collector
            .run(&["migrate", "--check"])
            .await
            .unwrap()
    };
    let output = check().await;
    assert_eq!(
        (output.status.code(), output.stdout.as_str()),
        (Some(0), "The database is up to date.\n")
    );
    let mut database = database(&backend.folder().join("data")).await;
    run(
        &mut database,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, '', 0)",
    )
    .await;
    let output = check().await;
    assert_eq!(
        (output.status.code(), output.stdout.as_str()),
        (Some(4), "unknown  9999 from the future\n")
    );
    run(
        &mut database,
        "delete from _sqlx_migrations where version = 5",
    )
    .await;
    let output = check().await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        output.stdout,
        "pending  0005 sessions by group\nunknown  9999 from the future\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_starts_both_serve() {
    let backend = TestBackend::start().await.unwrap();
    let mut database = database(&backend.folder().join("data")).await;
    run(&mut database, "create database empty").await;
    let socket = backend.folder().join("data/postgres/socket");
    let url = format!("postgres:///empty?user=dossier&host={}", socket.display());
    let start = |name: &str| {
        Collector::start(CollectorPlan {
            listen: ([127, 0, 0, 1], 0).into(),
            data: backend.folder().join(name),
            log: backend.folder().join(format!("{name}.log")),
            database_url: Some(url.clone()),
            environment: Vec::new(),
        })
    };
    let (one, other) = tokio::join!(start("one"), start("other"));
    let (one, other) = (one.unwrap(), other.unwrap());
    let key = one.create_key("alice", "admin", "x").await.unwrap();
    for collector in [&one, &other] {
        let client = CollectorClient::new(collector.address).unwrap();
        assert_eq!(client.count(&key, &json!({})).await.unwrap(), 0);
        let output = collector.run(&["migrate", "--check"]).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

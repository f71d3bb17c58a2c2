//! Expired data is deleted while others use the database, and nothing else is.

use std::collections::BTreeSet;

use sqlx::Executor;
use time::macros::{date, datetime};
use time::{Date, OffsetDateTime};
use tokio::time::sleep;

use super::list::{DROP_COMMENT, DropStage};
use super::*;
use crate::model::retention::RetentionPeriods;
use crate::store::testing::Database;

/// Earlier than any clock that runs these tests.
const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const KEEP: RetentionPeriods = RetentionPeriods {
    ledger: time::Duration::days(7),
    audit: Some(time::Duration::days(30)),
};
/// Due since midnight: a day after the day was over.
const DUE: Date = date!(2026 - 05 - 30);
const YESTERDAY: Date = date!(2026 - 05 - 31);
const LATER: Date = date!(2026 - 06 - 30);

async fn start() -> (Database, Store) {
    let database = Database::start().await;
    let store = database.store();
    store.migrate().await.unwrap();
    (database, store)
}

/// Creates the partitions of these days.
async fn create_partitions(store: &Store, days: &[Date]) {
    let days = days.iter().copied().collect();
    let mut connection = store.pool.acquire().await.unwrap();
    store
        .partitions
        .ensure(&mut connection, &days)
        .await
        .unwrap();
}

/// An entry with its body.
async fn add(database: &Database, id: i64, expires: &str, body_expires: &str) {
    let statements = format!(
        "insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion,
             body_state, truncated, exchange_id, user_id, endpoint, method, path, metadata)
         values ({id}, '{expires}', now(), now(), now(), 2, 2, 'request', 'complete', 'stored', false, gen_random_uuid(),
             'alice', '/', 'GET', '/', '{{}}');
         insert into bodies values ({id}, '{body_expires}', 'identity', 'alice', 'hi')"
    );
    database.run(&statements).await;
}

async fn drop_partitions(store: &Store) -> Vec<DropReport> {
    let mut retention = store.lock_retention(NOW).await.unwrap().unwrap();
    let reports = retention.drop_partitions().await.unwrap();
    retention.release().await.unwrap();
    reports
}

fn dropped_names(reports: &[DropReport]) -> Vec<&str> {
    let dropped = reports
        .iter()
        .filter(|it| matches!(it.outcome, DropOutcome::Dropped));
    dropped.map(|it| it.partition.name.as_str()).collect()
}

async fn names(store: &Store) -> Vec<String> {
    let partitions = store.partitions().await.unwrap();
    partitions.into_iter().map(|it| it.name).collect()
}

#[tokio::test]
async fn drops_expired_partitions_only() {
    let (database, store) = start().await;
    create_partitions(&store, &[DUE, YESTERDAY, LATER]).await;
    add(&database, 1, "2026-05-30 23:59+00", "2026-05-30 23:59+00").await;
    add(&database, 2, "2026-05-31 00:00+00", "2026-05-30 00:00+00").await;
    add(&database, 3, "2026-06-30 00:00+00", "2026-05-31 00:00+00").await;
    add(&database, 4, "infinity", "2026-06-30 00:00+00").await;
    add(&database, 5, "infinity", "infinity").await;
    let sizes = "select sum(pg_total_relation_size(c.oid))::bigint from pg_class c where relname ~ '_20260530'";
    assert!(database.number(sizes).await > 0);

    let reports = drop_partitions(&store).await;
    assert_eq!(
        dropped_names(&reports),
        ["bodies_20260530", "entries_20260530"]
    );
    assert!(reports.iter().all(|it| it.partition.bytes > 0));
    let left = [
        "bodies_20260531",
        "entries_20260531",
        "bodies_20260630",
        "entries_20260630",
        "bodies_forever",
        "entries_forever",
    ];
    assert_eq!(names(&store).await, left);
    let gone_files = "select count(*) from pg_class where relname ~ '_20260530'";
    assert_eq!(database.number(gone_files).await, 0);
    assert_eq!(
        database.number("select sum(id)::bigint from entries").await,
        2 + 3 + 4 + 5
    );
    assert_eq!(
        database
            .number("select sum(entry_id)::bigint from bodies")
            .await,
        3 + 4 + 5
    );
    assert!(
        drop_partitions(&store).await.is_empty(),
        "nothing is left to drop"
    );
    database.stop([store]).await;
}

#[tokio::test]
async fn writes_continue_while_detach_waits_for_reader() {
    let (database, store) = start().await;
    create_partitions(&store, &[DUE, LATER]).await;
    let mut reader = database.in_transaction("select from entries, bodies").await;
    let mut retention = store.lock_retention(NOW).await.unwrap().unwrap();
    let dropping = tokio::spawn(async move { retention.drop_partitions().await });
    let pending = "select count(*) from pg_inherits where inhdetachpending";
    while database.number(pending).await == 0 {
        assert!(!dropping.is_finished());
        sleep(Duration::from_millis(5)).await;
    }
    let writer = "
        begin;
        set local lock_timeout = '100ms';
        insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion,
            body_state, truncated, exchange_id, user_id, endpoint, method, path, metadata)
        values (1, '2026-06-30', now(), now(), now(), 2, 2, 'request', 'complete', 'stored', false, gen_random_uuid(),
            'alice', '/', 'GET', '/', '{}');
        insert into bodies values (1, '2026-06-30', 'identity', 'alice', 'hi');
        create table entries_new (like entries including defaults);
        alter table entries attach partition entries_new for values from ('2026-07-01') to ('2026-07-02');
        create table bodies_new (like bodies including defaults);
        alter table bodies attach partition bodies_new for values from ('2026-07-01') to ('2026-07-02');
        commit";
    database.run(writer).await;
    assert_eq!(database.number("select count(*) from entries").await, 1);
    assert!(!dropping.is_finished(), "waits for the reader");
    reader.execute("commit").await.unwrap();
    let reports = dropping.await.unwrap().unwrap();
    assert_eq!(
        dropped_names(&reports),
        ["bodies_20260530", "entries_20260530"]
    );
    database.stop([store]).await;
}

#[tokio::test]
async fn next_run_finalizes_interrupted_detach() {
    let (database, store) = start().await;
    create_partitions(&store, &[DUE]).await;
    let mut reader = database.in_transaction("select from bodies").await;
    let mut retention = store.lock_retention(NOW).await.unwrap().unwrap();
    retention.detach_timeout = Duration::from_millis(50);
    let reports = retention.drop_partitions().await.unwrap();
    assert_eq!(dropped_names(&reports), ["entries_20260530"]);
    assert!(
        matches!(reports[0].outcome, DropOutcome::InUse),
        "{reports:?}"
    );
    let stages = async || {
        let partitions = store.partitions().await.unwrap();
        let due = partitions.into_iter().filter(|it| it.is_due(NOW));
        due.map(|it| (it.name, it.stage)).collect::<Vec<_>>()
    };
    assert_eq!(
        stages().await,
        [("bodies_20260530".to_owned(), DropStage::HalfDetached)]
    );
    reader.execute("commit").await.unwrap();
    let reports = retention.drop_partitions().await.unwrap();
    assert_eq!(dropped_names(&reports), ["bodies_20260530"]);
    assert_eq!(stages().await, []);
    database.stop([store]).await;
}

#[tokio::test]
async fn concurrent_runs_drop_each_partition_once() {
    let (database, store) = start().await;
    let days = (1..=20).map(|day| Date::from_calendar_date(2026, time::Month::May, day).unwrap());
    let days: Vec<_> = days.collect();
    create_partitions(&store, &days).await;
    let stores: Vec<Store> = (0..4).map(|_| database.store()).collect();
    let mut running = tokio::task::JoinSet::new();
    for store in stores.clone() {
        running.spawn(async move {
            let mut dropped = Vec::new();
            // Until no partition is due, whichever collector drops it.
            while store
                .partitions()
                .await
                .unwrap()
                .iter()
                .any(|it| it.is_due(NOW))
            {
                if let Some(mut retention) = store.lock_retention(NOW).await.unwrap() {
                    let reports = retention.drop_partitions().await.unwrap();
                    assert_eq!(dropped_names(&reports).len(), reports.len(), "{reports:?}");
                    dropped.extend(reports.into_iter().map(|it| it.partition.name));
                    retention.release().await.unwrap();
                }
            }
            dropped
        });
    }
    let dropped: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert_eq!(dropped.len(), 2 * days.len());
    assert_eq!(dropped.iter().collect::<BTreeSet<_>>().len(), dropped.len());
    database.stop(stores.into_iter().chain([store])).await;
}

#[tokio::test]
async fn lock_is_released_with_its_holder() {
    let (database, store) = start().await;
    let other = database.store();
    let held = store.lock_retention(NOW).await.unwrap();
    assert!(held.is_some());
    assert!(other.lock_retention(NOW).await.unwrap().is_none());
    drop(held);
    while other.lock_retention(NOW).await.unwrap().is_none() {
        sleep(Duration::from_millis(5)).await;
    }
    database.stop([store, other]).await;
}

#[tokio::test]
async fn clock_ahead_drops_nothing() {
    let (database, store) = start().await;
    let real: OffsetDateTime = sqlx::query_scalar("select now()")
        .fetch_one(&database.owner)
        .await
        .unwrap();
    create_partitions(&store, &[real.date()]).await;
    let ahead = real + time::Duration::days(100);
    let mut retention = store.lock_retention(ahead).await.unwrap().unwrap();
    assert!(retention.drop_partitions().await.unwrap().is_empty());
    database.stop([store]).await;
}

#[tokio::test]
async fn partition_detached_by_operator_is_left_alone() {
    let (database, store) = start().await;
    create_partitions(&store, &[DUE, date!(2026 - 05 - 29)]).await;
    database
        .run(&format!(
            "alter table entries detach partition entries_20260530;
             alter table entries detach partition entries_20260529;
             comment on table entries_20260529 is '{DROP_COMMENT}';
             create table entries_of_mine (); create table entries_20260528 ()"
        ))
        .await;
    let reports = drop_partitions(&store).await;
    assert_eq!(
        dropped_names(&reports),
        ["entries_20260529", "bodies_20260529", "bodies_20260530"]
    );
    let kept = "select count(*) from pg_class where relname in ('entries_20260530', 'entries_of_mine', 'entries_20260528')";
    assert_eq!(database.number(kept).await, 3);
    database.stop([store]).await;
}

#[tokio::test]
async fn prunes_old_rows_only() {
    let (database, store) = start().await;
    database
        .run(
            "insert into ingest_ledger select gen_random_uuid(), timestamptz '2026-05-25 11:59+00', 1 from generate_series(1, 5001);
             insert into ingest_ledger values (gen_random_uuid(), '2026-05-25 12:00+00', 1);
             insert into gaps select gen_random_uuid(), received_at::timestamptz, 'buffer_full', 1, 1, last_at::timestamptz, last_at::timestamptz
             from (values ('2026-05-01', '2026-05-01'), ('2026-05-31', '1970-01-01'), ('2026-05-01', '2026-05-31')) as gap(received_at, last_at);
             insert into deletion_audit (deleted_at, deleted_by, reason, entry_id, user_id, exchange_id, half, endpoint, created_at, expires_at)
             select at::timestamptz, 'root', 'forced', 1, 'alice', gen_random_uuid(), 'request', '/', now(), now()
             from (values ('2026-05-01'), ('2026-05-31')) as audit(at)",
        )
        .await;
    let aged = async |table| store.aged_rows(table, KEEP, NOW).await.unwrap();
    let for_ever = RetentionPeriods {
        audit: None,
        ..KEEP
    };
    let mut retention = store.lock_retention(NOW).await.unwrap().unwrap();
    for table in [AgedTable::Gaps, AgedTable::DeletionAudit] {
        assert_eq!(retention.prune(table, for_ever).await.unwrap(), 0);
    }
    for (table, old, young) in [
        (AgedTable::Ledger, 5001, 1),
        (AgedTable::Gaps, 1, 2),
        (AgedTable::DeletionAudit, 1, 1),
    ] {
        assert_eq!(aged(table).await, old);
        assert_eq!(
            retention.prune(table, KEEP).await.unwrap(),
            old.unsigned_abs()
        );
        assert_eq!(aged(table).await, 0);
        let left = format!("select count(*) from {}", <&str>::from(table));
        assert_eq!(database.number(&left).await, young);
    }
    database.stop([store]).await;
}

#[tokio::test]
async fn prunes_sessions_without_entries() {
    let (database, store) = start().await;
    add(&database, 1, "infinity", "infinity").await;
    let id = |number| format!("00000000-0000-0000-0000-{number:012}");
    let session = |number, activity| {
        let id = id(number);
        format!(
            "insert into sessions (user_id, session_id, created_at, last_activity) values ('alice', '{id}', '2026-01-01', '{activity}');"
        )
    };
    let (old, young) = ("2026-05-25 11:59+00", "2026-05-25 12:00+00");
    database
        .run(
            &[
                session(1, old),
                format!("update entries set session_id = '{}';", id(1)),
                session(2, young),
                session(3, old),
                session(4, old),
                format!(
                    "insert into sessions (user_id, session_id, created_at, last_activity)
                     select 'bob', gen_random_uuid(), '2026-01-01', '{old}' from generate_series(1, 1200)"
                ),
            ]
            .concat(),
        )
        .await;
    let active = format!(
        "select from sessions where session_id = '{}' for update",
        id(4)
    );
    let active = database.in_transaction(&active).await;
    let mut retention = store.lock_retention(NOW).await.unwrap().unwrap();
    let mut cursor = SessionPruneCursor::default();
    assert_eq!(
        retention.prune_sessions(&mut cursor).await.unwrap(),
        1 + 1200
    );
    assert_eq!(cursor, SessionPruneCursor::default(), "all were examined");
    let left = "select count(*) from sessions";
    assert_eq!(database.number(left).await, 3);
    drop(active);
    while database.number(left).await == 3 {
        retention.prune_sessions(&mut cursor).await.unwrap();
    }
    assert_eq!(database.number(left).await, 2);
    database.stop([store]).await;
}

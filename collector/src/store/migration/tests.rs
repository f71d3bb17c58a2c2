//! Migrations while other programs migrate, write, or have a newer schema.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::*;
use crate::store::testing::Database;

/// How the very first collector stores a batch: with no column of a later migration.
const FIRST_WRITER: &str = "
    begin;
    insert into ingest_ledger (batch_id, received_at, records) values (gen_random_uuid(), now(), 1);
    insert into sessions (user_id, session_id, external_id, created_at, last_activity)
    values ('alice', gen_random_uuid(), 'tab', now(), now())
    on conflict (user_id, external_id) where external_id is not null do update set last_activity = excluded.last_activity;
    insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion,
        body_state, truncated, exchange_id, user_id, endpoint, method, path, metadata)
    values (nextval('entry_ids'), 'infinity', now(), now(), now(), 2, 2, 'request', 'complete', 'stored', false,
        gen_random_uuid(), 'alice', '/', 'GET', '/', '{}');
    insert into bodies (entry_id, expires_at, codec, user_id, data)
    values (currval('entry_ids'), 'infinity', 'identity', 'alice', 'hi');
    insert into gaps (batch_id, received_at, reason, records, bytes, first_at, last_at)
    values (gen_random_uuid(), now(), 'buffer_full', 1, 1, now(), now());
    commit";

fn versions(names: &[MigrationName]) -> Vec<i64> {
    names.iter().map(|name| name.version).collect()
}

#[tokio::test]
async fn concurrent_starts_migrate_once() {
    let database = Database::start().await;
    let stores: Vec<Store> = (0..4).map(|_| database.store()).collect();
    let all: Vec<i64> = MIGRATIONS.iter().map(|it| it.version).collect();
    assert_eq!(versions(&stores[0].schema().await.unwrap().pending), all);
    let mut starting = tokio::task::JoinSet::new();
    for store in stores.clone() {
        starting.spawn(async move { store.migrate().await });
    }
    for started in starting.join_all().await {
        started.unwrap();
    }
    assert!(stores[0].schema().await.unwrap().is_current());
    let made = database
        .number("select count(*) from _sqlx_migrations")
        .await;
    assert_eq!(made, i64::try_from(all.len()).unwrap());
    database.stop(stores).await;
}

#[tokio::test]
async fn newer_schema_is_accepted_altered_one_rejected() {
    let database = Database::start().await;
    let store = database.store();
    store.migrate().await.unwrap();
    database
        .run(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'from the future', true, '', 0)",
        )
        .await;
    let schema = store.schema().await.unwrap();
    assert_eq!(versions(&schema.unknown), [9999]);
    assert_eq!(schema.unknown[0].description, "from the future");
    assert!(schema.pending.is_empty() && schema.altered.is_empty() && !schema.is_current());
    store.migrate().await.unwrap();

    database
        .run("delete from _sqlx_migrations where version = 5")
        .await;
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::Migration(_)), "{error}");
    database
        .run("update _sqlx_migrations set checksum = '' where version = 1")
        .await;
    let schema = store.schema().await.unwrap();
    assert_eq!(versions(&schema.altered), [1]);
    assert_eq!(versions(&schema.pending), [5]);
    let error = store.migrate().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Migration(MigrateError::VersionMismatch(1))
        ),
        "{error}"
    );
    database.stop([store]).await;
}

/// A migration that meets a lock is retried until the lock is free.
#[tokio::test]
async fn migration_retries_while_table_is_locked() {
    let database = Database::start().await;
    let store = database.store();
    let mut connection = database.owner.acquire().await.unwrap();
    MIGRATIONS.run_to(1, &mut *connection).await.unwrap();
    drop(connection);
    let reader = database.in_transaction("select from entries").await;
    let error = store.apply_migrations().await.unwrap_err();
    assert!(is_lock_conflict(&error), "{error}");
    drop(reader);
    store.migrate().await.unwrap();
    assert!(store.schema().await.unwrap().is_current());
    database.stop([store]).await;
}

/// Its writes may wait, and may have to be retried after a deadlock with a migration, but never fail for good.
#[tokio::test]
async fn first_release_writes_through_all_migrations() {
    let database = Database::start().await;
    let store = database.store();
    let mut connection = database.owner.acquire().await.unwrap();
    MIGRATIONS.run_to(1, &mut *connection).await.unwrap();
    drop(connection);
    let (over, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicI64::new(0)),
    );
    let writer = tokio::spawn({
        let (owner, over, written) = (
            database.owner.clone(),
            Arc::clone(&over),
            Arc::clone(&written),
        );
        async move {
            let mut connection = owner.acquire().await.unwrap();
            while !over.load(Ordering::Relaxed) {
                match sqlx::raw_sql(FIRST_WRITER).execute(&mut *connection).await {
                    Ok(_) => {
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => {
                        let error = StoreError::from(error);
                        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                        sqlx::raw_sql("rollback")
                            .execute(&mut *connection)
                            .await
                            .unwrap();
                    }
                }
            }
        }
    });
    let reach = async |goal| {
        while written.load(Ordering::Relaxed) < goal {
            assert!(!writer.is_finished());
            tokio::task::yield_now().await;
        }
    };
    reach(50).await;
    store.migrate().await.unwrap();
    reach(written.load(Ordering::Relaxed) + 50).await;
    over.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    for table in ["entries", "bodies", "gaps", "ingest_ledger"] {
        let count = format!("select count(*) from {table}");
        assert_eq!(
            database.number(&count).await,
            written.load(Ordering::Relaxed)
        );
    }
    assert!(store.schema().await.unwrap().is_current());
    database.stop([store]).await;
}

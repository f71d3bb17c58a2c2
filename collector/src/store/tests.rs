//! What holds for every connection of a store.

use std::time::Duration;

use sqlx::Connection;

use super::batches::BEGIN;
use super::testing::Database;
use super::{AssertSqlSafe, PLANS, StoreError};

#[tokio::test]
async fn a_connection_keeps_a_bounded_number_of_plans() {
    let database = Database::start().await;
    let store = database.store();
    let mut connection = store.pool.acquire().await.unwrap();
    for number in 0..2 * PLANS {
        sqlx::query(AssertSqlSafe(format!("select {number}")))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    let kept: i64 = sqlx::query_scalar("select count(*) from pg_prepared_statements")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(usize::try_from(kept).unwrap(), PLANS);
    drop(connection);
    database.stop([store]).await;
}

/// Postgres's own test is that it keeps to it.
#[tokio::test]
async fn a_transaction_of_a_batch_ends_with_its_collector() {
    let database = Database::start().await;
    let store = database.store();
    let mut connection = store.pool.acquire().await.unwrap();
    let show = "show idle_in_transaction_session_timeout";
    let mut transaction = connection.begin_with(BEGIN).await.unwrap();
    let within: String = sqlx::query_scalar(show)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    let behind: String = sqlx::query_scalar(show)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!([within.as_str(), behind.as_str()], ["30s", "0"]);
    drop(connection);
    database.stop([store]).await;
}

#[test]
fn each_batch_of_a_group_is_told_an_error_that_means_the_same() {
    for error in [
        StoreError::Unavailable(sqlx::Error::PoolTimedOut),
        StoreError::NoAnswer(Duration::from_secs(4)),
        StoreError::Unprepared,
        StoreError::DictionaryGone,
        StoreError::Database(sqlx::Error::RowNotFound),
    ] {
        let again = error.told_again();
        let meaning = |it: &StoreError| (it.may_pass(), it.is_of_one_batch(), it.is_refusal());
        assert_eq!(meaning(&again), meaning(&error), "{error}");
    }
}

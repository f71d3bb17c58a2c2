//! What holds for every connection of a store.

use super::testing::Database;
use super::{AssertSqlSafe, PLANS};

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

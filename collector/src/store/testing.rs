//! A Postgres for unit tests of the store.

use std::os::unix::fs::PermissionsExt;

use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tempfile::TempDir;

use super::Store;
use crate::postgres::PrivatePostgres;

/// An empty database in a Postgres of its own.
pub(super) struct Database {
    /// Connections of the owner, past the store.
    pub(super) owner: PgPool,
    postgres: PrivatePostgres,
    _folder: TempDir,
}

impl Database {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, Postgres runs as another user, who needs access.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
        Self {
            owner: PgPool::connect_with(postgres.options()).await.unwrap(),
            postgres,
            _folder: folder,
        }
    }

    /// The store of another collector.
    pub(super) fn store(&self) -> Store {
        Store::new(self.postgres.options(), 4)
    }

    pub(super) async fn stop(self, stores: impl IntoIterator<Item = Store>) {
        for store in stores {
            store.close().await;
        }
        self.owner.close().await;
        self.postgres.stop().await;
    }

    pub(super) async fn run(&self, statements: &str) {
        let statements = AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements)
            .execute(&self.owner)
            .await
            .unwrap();
    }

    pub(super) async fn number(&self, statement: &str) -> i64 {
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::query_scalar(statement)
            .fetch_one(&self.owner)
            .await
            .unwrap()
    }

    /// A connection in a transaction that has executed a statement.
    pub(super) async fn in_transaction(&self, statement: &str) -> PgConnection {
        let mut connection = self.owner.acquire().await.unwrap().detach();
        let statements = AssertSqlSafe(format!("begin; {statement}"));
        sqlx::raw_sql(statements)
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }
}

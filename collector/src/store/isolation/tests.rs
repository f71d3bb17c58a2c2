//! Statements without any condition, in the transaction of a read.

use std::os::unix::fs::PermissionsExt;

use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use time::macros::datetime;

use super::read_transaction::begin;
use super::*;
use crate::model::ids::UserId;
use crate::model::scope::Scope;
use crate::postgres::PrivatePostgres;

/// A name that would be an injection if it were quoted badly.
const MALLORY: &str = "mallory'); reset role; select ('\\ \u{1F600}";
const USERS: [&str; 3] = ["alice", "bob", MALLORY];

struct Fixture {
    store: Store,
    postgres: PrivatePostgres,
    owner: PgPool,
    _folder: TempDir,
}

impl Fixture {
    /// A migrated store with one connection, so that each read inherits the state of the one before.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, Postgres runs as another user, who must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
        let store = Store::new(postgres.options(), 1);
        store.migrate().await.unwrap();
        let owner = PgPool::connect_with(postgres.options()).await.unwrap();
        Self {
            store,
            postgres,
            owner,
            _folder: folder,
        }
    }

    async fn stop(self) {
        self.owner.close().await;
        self.store.close().await;
        self.postgres.stop().await;
    }

    async fn run(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&self.owner)
            .await
            .unwrap();
    }

    /// Inserts one row of each user into each table and partition.
    async fn fill(&self) {
        let day = datetime!(2030-01-02 03:04 UTC);
        let partitions = &self.store.partitions;
        partitions
            .ensure(
                &mut self.store.pool.acquire().await.unwrap(),
                &[day.date()].into(),
            )
            .await
            .unwrap();
        for (id, user) in (1_i64..).zip(USERS) {
            for expires in ["2030-01-02 03:04+00", "infinity"] {
                sqlx::raw_sql(AssertSqlSafe(rows(id, user, expires)))
                    .execute(&self.owner)
                    .await
                    .unwrap();
            }
        }
    }

    /// The users whose rows a statement without a condition sees, or the SQLSTATE with which it fails.
    async fn users_in(&self, table: &str, scope: &Scope) -> Result<Vec<String>, String> {
        let mut transaction = self.store.begin_read(scope).await.unwrap();
        let all = format!("select distinct user_id from {table} order by 1");
        sqlx::query_scalar(AssertSqlSafe(all))
            .fetch_all(&mut *transaction)
            .await
            .map_err(|error| {
                let error = error.into_database_error().unwrap();
                error.code().unwrap_or_default().into_owned()
            })
    }

    async fn isolation_error(&self) -> Option<IsolationError> {
        match self.store.check_isolation().await {
            Ok(()) => None,
            Err(StoreError::Isolation(error)) => Some(error),
            Err(error) => panic!("{error}"),
        }
    }
}

fn rows(id: i64, user: &str, expires: &str) -> String {
    let user = user.replace('\'', "''");
    format!(
        "insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion,
             body_state, truncated, exchange_id, user_id, endpoint, method, path, metadata)
         values ({id}, '{expires}', now(), now(), now(), 0, 0, 'request', 'complete', 'stored', false, gen_random_uuid(),
             '{user}', '/', 'GET', '/', '{{}}');
         insert into bodies values ({id}, '{expires}', 'identity', '{user}', '');
         insert into sessions (user_id, session_id, created_at, last_activity) values ('{user}', gen_random_uuid(), now(), now());
         insert into deletion_audit (deleted_at, deleted_by, reason, entry_id, user_id, exchange_id, half, endpoint, created_at, expires_at)
         values (now(), 'admin', 'forced', {id}, '{user}', gen_random_uuid(), 'request', '/', now(), '{expires}')"
    )
}

fn scope(user: &str) -> Scope {
    Scope::User(UserId::new(user).unwrap())
}

#[tokio::test]
async fn select_without_condition_sees_own_rows_only() {
    let fixture = Fixture::start().await;
    fixture.fill().await;
    // Repeatedly on one connection, whose statements are prepared once.
    for round in 0..2 {
        for table in TABLES {
            for user in USERS {
                let seen = fixture.users_in(table, &scope(user)).await.unwrap();
                assert_eq!(seen, [user], "{table}, round {round}");
            }
            let nobody = fixture.users_in(table, &scope("nobody")).await.unwrap();
            assert_eq!(nobody, [""; 0], "{table}");
            let all = fixture.users_in(table, &Scope::Everyone).await.unwrap();
            assert_eq!(all, USERS, "{table}");
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn partition_read_directly_shows_no_rows() {
    let fixture = Fixture::start().await;
    fixture.fill().await;
    let partitions: Vec<String> = sqlx::query_scalar(
        "select inhrelid::regclass::text from pg_inherits join pg_class on oid = inhrelid where relkind = 'r' order by 1",
    )
    .fetch_all(&fixture.owner)
    .await
    .unwrap();
    let expected = [
        "bodies_20300102",
        "bodies_forever",
        "entries_20300102",
        "entries_forever",
    ];
    assert_eq!(partitions, expected);
    let scopes = [scope("alice"), Scope::Everyone];
    for (partition, scope) in partitions
        .iter()
        .flat_map(|p| scopes.iter().map(move |s| (p, s)))
    {
        let rejected = fixture.users_in(partition, scope).await;
        assert_eq!(rejected, Err("42501".to_owned()), "{partition} {scope:?}");
    }
    // Even if an operator grants too much.
    fixture
        .run("grant select on all tables in schema public to dossier_read_own, dossier_read_all")
        .await;
    for (partition, scope) in partitions
        .iter()
        .flat_map(|p| scopes.iter().map(move |s| (p, s)))
    {
        let seen = fixture.users_in(partition, scope).await;
        assert_eq!(seen, Ok(Vec::new()), "{partition} {scope:?}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn read_transaction_rejects_writes_and_keys() {
    let fixture = Fixture::start().await;
    for scope in [scope("alice"), Scope::Everyone] {
        let keys = fixture.users_in("api_keys", &scope).await;
        assert_eq!(keys, Err("42501".to_owned()));
        let mut transaction = fixture.store.begin_read(&scope).await.unwrap();
        let deleted = sqlx::query("delete from entries")
            .execute(&mut *transaction)
            .await;
        assert!(deleted.is_err());
    }
    fixture.stop().await;
}

#[tokio::test]
async fn every_table_with_user_id_is_isolated() {
    // Only the owner reads and writes them.
    const OWNERS: &[&str] = &["api_keys"];
    let fixture = Fixture::start().await;
    let mut tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition",
    )
    .fetch_all(&fixture.owner)
    .await
    .unwrap();
    tables.retain(|table| !OWNERS.contains(&table.as_str()));
    tables.sort_unstable();
    let mut isolated = TABLES.to_vec();
    isolated.sort_unstable();
    assert_eq!(tables, isolated, "isolate() was not called for all of them");
    fixture.stop().await;
}

#[tokio::test]
async fn missing_isolation_is_reported() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.isolation_error().await, None);

    fixture
        .run("alter table sessions disable row level security")
        .await;
    let error = fixture.isolation_error().await.unwrap();
    assert_eq!(
        error,
        IsolationError::TableNotIsolated("sessions".to_owned())
    );
    fixture.run("select isolate('sessions')").await;
    fixture.run("drop policy read_own on bodies").await;
    let error = fixture.isolation_error().await.unwrap();
    assert_eq!(error, IsolationError::TableNotIsolated("bodies".to_owned()));
    fixture.run("select isolate('bodies')").await;
    assert_eq!(fixture.isolation_error().await, None);

    fixture.run("alter role dossier_read_own bypassrls").await;
    let error = fixture.isolation_error().await.unwrap();
    assert_eq!(
        error,
        IsolationError::RoleBypassesSecurity(READ_OWN.to_owned())
    );
    fixture.run("alter role dossier_read_own nobypassrls").await;

    fixture
        .run("alter role dossier_read_all rename to other")
        .await;
    let error = fixture.isolation_error().await.unwrap();
    assert!(matches!(&error, IsolationError::MissingRole { role, .. } if role == READ_ALL));
    assert!(
        error
            .to_string()
            .contains("create role dossier_read_all nologin")
    );
    fixture.stop().await;
}

#[tokio::test]
async fn missing_grants_are_named() {
    let fixture = Fixture::start().await;
    for statement in [
        "create role maker login createrole",
        "create role plain login",
        "create database made owner maker",
        "create database refused owner plain",
    ] {
        fixture.run(statement).await;
    }
    // The superuser created the roles for the fixture's own database.
    let failed = fixture.store_as("plain", "refused").migrate().await;
    let advice = failed.unwrap_err().to_string();
    assert!(
        advice.contains("grant dossier_read_own, dossier_read_all to plain"),
        "{advice}"
    );
    fixture
        .run("grant dossier_read_own, dossier_read_all to plain")
        .await;
    for (user, database) in [("maker", "made"), ("plain", "refused")] {
        let store = fixture.store_as(user, database);
        if user == "maker" && fixture.version().await >= 160_000 {
            // There, only whoever created a role may grant it.
            fixture
                .run("grant dossier_read_own, dossier_read_all to maker")
                .await;
        }
        store.migrate().await.unwrap();
        store.check_isolation().await.unwrap();
        let mut transaction = store.begin_read(&scope("alice")).await.unwrap();
        let entries: i64 = sqlx::query_scalar("select count(*) from entries")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(entries, 0);
        drop(transaction);
        store.close().await;
    }
    fixture.run("revoke dossier_read_all from plain").await;
    let store = fixture.store_as("plain", "refused");
    let error = store.check_isolation().await.unwrap_err().to_string();
    assert!(error.contains("grant dossier_read_all to plain"), "{error}");
    store.close().await;
    fixture.stop().await;
}

impl Fixture {
    fn store_as(&self, user: &str, database: &str) -> Store {
        let options = self.postgres.options().username(user).database(database);
        Store::new(options, 1)
    }

    async fn version(&self) -> i32 {
        sqlx::query_scalar("select current_setting('server_version_num')::int")
            .fetch_one(&self.owner)
            .await
            .unwrap()
    }
}

#[test]
fn user_name_is_encoded_as_hex() {
    let begin = begin(&scope("a'b"));
    assert!(begin.contains("decode('612762', 'hex')"), "{begin}");
    assert!(!begin.contains("a'b"), "{begin}");
}

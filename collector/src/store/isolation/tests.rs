//! Statements without any condition, on the pool and through the door that the API's reads use.

use std::os::unix::fs::PermissionsExt;

use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use time::macros::datetime;

use super::*;
use crate::model::ids::UserId;
use crate::postgres::PrivatePostgres;

/// A name that would do harm if it were quoted badly.
const MALLORY: &str = "mallory'); reset role; select ('\\ \u{1F600}";
const USERS: [&str; 3] = ["alice", "bob", MALLORY];

struct Fixture {
    store: Store,
    postgres: PrivatePostgres,
    owner: PgPool,
    _folder: TempDir,
}

impl Fixture {
    /// A migrated store with one connection, so that each read inherits what the last has left behind.
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

    /// One row of each user in each table and partition.
    async fn fill(&self) {
        let day = datetime!(2030-01-02 03:04 UTC);
        let known = &self.store.partitions;
        known
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

    /// Whose rows a statement without a condition sees; or the SQLSTATE with which it is refused.
    async fn users_in(&self, table: &str, scope: &Scope) -> Result<Vec<String>, String> {
        let mut reading = self.store.begin_read(scope).await.unwrap();
        let all = format!("select distinct user_id from {table} order by 1");
        sqlx::query_scalar(AssertSqlSafe(all))
            .fetch_all(&mut *reading)
            .await
            .map_err(|error| {
                let error = error.into_database_error().unwrap();
                error.code().unwrap_or_default().into_owned()
            })
    }

    async fn fault(&self) -> Option<IsolationError> {
        match self.store.check_isolation().await {
            Ok(()) => None,
            Err(StoreError::Isolation(fault)) => Some(fault),
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
async fn a_select_without_a_condition_sees_the_rows_of_the_scope_alone() {
    let fixture = Fixture::start().await;
    fixture.fill().await;
    // Back and forth over one connection, whose statements are prepared once.
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
async fn partitions_show_nothing_when_they_are_read_directly() {
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
        let refused = fixture.users_in(partition, scope).await;
        assert_eq!(refused, Err("42501".to_owned()), "{partition} {scope:?}");
    }
    // Not even if somebody grants too much.
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
async fn a_read_cannot_write_and_cannot_see_keys() {
    let fixture = Fixture::start().await;
    for scope in [scope("alice"), Scope::Everyone] {
        let keys = fixture.users_in("api_keys", &scope).await;
        assert_eq!(keys, Err("42501".to_owned()));
        let mut reading = fixture.store.begin_read(&scope).await.unwrap();
        let deleted = sqlx::query("delete from entries")
            .execute(&mut *reading)
            .await;
        assert!(deleted.is_err());
    }
    fixture.stop().await;
}

#[tokio::test]
async fn every_table_with_users_in_it_keeps_them_apart() {
    // Read and written by the owner alone.
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
async fn a_database_that_would_not_keep_users_apart_is_noticed() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.fault().await, None);

    fixture
        .run("alter table sessions disable row level security")
        .await;
    let fault = fixture.fault().await.unwrap();
    assert_eq!(fault, IsolationError::Open("sessions".to_owned()));
    fixture.run("select isolate('sessions')").await;
    fixture.run("drop policy read_own on bodies").await;
    let fault = fixture.fault().await.unwrap();
    assert_eq!(fault, IsolationError::Open("bodies".to_owned()));
    fixture.run("select isolate('bodies')").await;
    assert_eq!(fixture.fault().await, None);

    fixture.run("alter role dossier_read_own bypassrls").await;
    let fault = fixture.fault().await.unwrap();
    assert_eq!(fault, IsolationError::Unbound(READ_OWN.to_owned()));
    fixture.run("alter role dossier_read_own nobypassrls").await;

    fixture
        .run("alter role dossier_read_all rename to other")
        .await;
    let fault = fixture.fault().await.unwrap();
    assert!(matches!(&fault, IsolationError::NoRole { role, .. } if role == READ_ALL));
    assert!(
        fault
            .to_string()
            .contains("create role dossier_read_all nologin")
    );
    fixture.stop().await;
}

#[tokio::test]
async fn an_owner_who_is_no_superuser_can_do_it_all_and_one_who_may_not_is_told_what_to_run() {
    let fixture = Fixture::start().await;
    for statement in [
        "create role maker login createrole",
        "create role plain login",
        "create database made owner maker",
        "create database refused owner plain",
    ] {
        fixture.run(statement).await;
    }
    // The superuser has made the roles for the fixture's own database.
    let refused = fixture.store_as("plain", "refused").migrate().await;
    let advice = refused.unwrap_err().to_string();
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
            // There, whoever did not make a role may not grant it either.
            fixture
                .run("grant dossier_read_own, dossier_read_all to maker")
                .await;
        }
        store.migrate().await.unwrap();
        store.check_isolation().await.unwrap();
        let mut reading = store.begin_read(&scope("alice")).await.unwrap();
        let entries: i64 = sqlx::query_scalar("select count(*) from entries")
            .fetch_one(&mut *reading)
            .await
            .unwrap();
        assert_eq!(entries, 0);
        drop(reading);
        store.close().await;
    }
    fixture.run("revoke dossier_read_all from plain").await;
    let store = fixture.store_as("plain", "refused");
    let fault = store.check_isolation().await.unwrap_err().to_string();
    assert!(fault.contains("grant dossier_read_all to plain"), "{fault}");
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
fn a_read_begins_with_one_message_in_which_a_name_is_digits_alone() {
    let begin = begin(&scope("a'b"));
    assert!(begin.contains("decode('612762', 'hex')"), "{begin}");
    assert!(!begin.contains("a'b"), "{begin}");
}

//! The plans of the statements that the store really sends, as Postgres logs them: no query of a user scans a whole
//! table.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dossier_collector::model::clock::Clock;
use dossier_collector::model::filter::{
    Bound, Comparison, MetadataFilter, MetadataPath, MetadataTest, Scalar,
};
use dossier_collector::model::ids::{EntryId, ExchangeId, SessionId, UserId};
use dossier_collector::model::instant::UtcInstant;
use dossier_collector::model::scope::Scope;
use dossier_collector::postgres::PrivatePostgres;
use dossier_collector::store::{
    EntryCursor, EntryFilter, EntryParts, Order, PageRequest, PageStart, ResultKind,
    SessionEntries, SessionPageRequest, Store,
};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use tempfile::TempDir;
use time::OffsetDateTime;

/// 200 users of 1,000 entries, half of which expire, and their sessions of 20.
const FILL: &str = "
    create table entries_20990101 (like entries including defaults including storage);
    alter table entries attach partition entries_20990101 for values from ('2099-01-01 00:00+00') to ('2099-01-02 00:00+00');
    create table bodies_20990101 (like bodies including defaults including storage);
    alter table bodies attach partition bodies_20990101 for values from ('2099-01-01 00:00+00') to ('2099-01-02 00:00+00');
    insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion, body_state,
                         status, truncated, exchange_id, session_id, user_id, endpoint, method, path, metadata, request_id,
                         trace_id)
    select n, case when n % 2 = 0 then '2099-01-01 12:00+00' else 'infinity' end::timestamptz, at, at, at, 2, 2, 'request',
           'complete', 'stored', 200, false, md5(n::text)::uuid, md5(n % 200 || '/' || n / 4000)::uuid, 'user-' || n % 200,
           '/api/' || n % 7, 'POST', '/', jsonb_build_object('model', 'gpt-' || n % 6, 'tokens', n % 4000),
           'request-' || n / 2, md5('trace-' || n / 4)::uuid
    from (select n, now() - interval '1 s' * (200000 - n) as at from generate_series(1, 200000) n) numbered;
    insert into bodies (entry_id, expires_at, codec, user_id, data) select id, expires_at, 'identity', user_id, '{}' from entries;
    insert into sessions (user_id, session_id, external_id, created_at, last_activity)
    select user_id, session_id, session_id::text, min(started_at), max(started_at) from entries group by 1, 2;
    analyze entries; analyze bodies; analyze sessions;
    alter database dossier set session_preload_libraries = 'auto_explain';
    alter database dossier set auto_explain.log_min_duration = 0";

struct Fixture {
    postgres: PrivatePostgres,
    log: PathBuf,
    folder: TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, Postgres runs as another user, who must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
        let store = Store::new(postgres.options(), 1);
        store.migrate().await.unwrap();
        store.close().await;
        let fixture = Self {
            postgres,
            log: folder.path().join("postgres/postgres.log"),
            folder,
        };
        fixture.run(FILL).await;
        fixture
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.postgres.options())
            .await
            .unwrap()
    }

    async fn run(&self, statements: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// The plans that Postgres logs during a query.
    async fn plans(&self, asking: impl AsyncFnOnce(&Store)) -> String {
        let before = std::fs::read_to_string(&self.log).unwrap().len();
        let store = Store::new(self.postgres.options(), 1);
        asking(&store).await;
        // Plans are logged before the rows' end is sent, so all are there.
        store.close().await;
        std::fs::read_to_string(&self.log)
            .unwrap()
            .split_off(before)
    }

    async fn stop(self) {
        self.postgres.stop().await;
        assert!(self.folder.path().exists());
    }
}

fn everything(scope: &Scope, filter: EntryFilter) -> PageRequest {
    PageRequest {
        scope: scope.clone(),
        filter,
        order: Order::Descending,
        start: PageStart::Offset(0),
        limit: 20,
        parts: EntryParts::ALL,
        known_total: None,
    }
}

fn sessions(scope: &Scope, filter: EntryFilter) -> SessionPageRequest {
    SessionPageRequest {
        scope: scope.clone(),
        filter,
        order: Order::Descending,
        start: PageStart::Offset(0),
        limit: 20,
        entries: Some(SessionEntries {
            limit: 20,
            parts: EntryParts::ALL,
        }),
    }
}

fn with_metadata(path: &str, test: MetadataTest) -> EntryFilter {
    EntryFilter {
        metadata: vec![MetadataFilter {
            path: MetadataPath::new(path).unwrap(),
            tests: vec![test],
            asked: json!(null),
        }],
        ..EntryFilter::default()
    }
}

/// One filter of each kind.
fn filters(session: SessionId, exchange: ExchangeId, at: OffsetDateTime) -> Vec<EntryFilter> {
    let none = EntryFilter::default;
    let range = MetadataTest::Compare(Comparison::GreaterOrEqual, Bound::Number(3990.into()));
    vec![
        none(),
        EntryFilter {
            endpoint: Some("/api/3".to_owned()),
            ..none()
        },
        EntryFilter {
            from: UtcInstant::new(at),
            to: UtcInstant::new(at + time::Duration::hours(1)),
            ..none()
        },
        EntryFilter {
            session: Some(session.into()),
            ..none()
        },
        EntryFilter {
            exchange: Some(exchange),
            ..none()
        },
        EntryFilter {
            status: Some(500),
            method: Some("GET".to_owned()),
            ..none()
        },
        with_metadata(
            "model",
            MetadataTest::Equals(Scalar::new(json!("gpt-1")).unwrap()),
        ),
        with_metadata(
            "model",
            MetadataTest::Equals(Scalar::new(json!("none")).unwrap()),
        ),
        with_metadata("tokens", range),
        with_metadata("model", MetadataTest::Matches("^gpt-[12]$".to_owned())),
        with_metadata("none", MetadataTest::Exists(true)),
    ]
}

/// What access logs and traces name, and the index that finds it.
fn by_names_of_others() -> [(EntryFilter, &'static str); 3] {
    let trace = "7b5ca4ac2ffbba3ad9ae3ed6bfb1ed57".parse();
    [
        (
            EntryFilter {
                request_id: Some("request-50003".to_owned()),
                ..EntryFilter::default()
            },
            "_request_id_idx",
        ),
        (
            EntryFilter {
                // Longer than what the filter records.
                request_id: Some("request-50003".repeat(20)),
                ..EntryFilter::default()
            },
            "_request_id_idx",
        ),
        (
            EntryFilter {
                trace: Some(trace.unwrap()),
                ..EntryFilter::default()
            },
            "_trace_id_idx",
        ),
    ]
}

#[tokio::test]
async fn user_queries_use_indexes() {
    let fixture = Fixture::start().await;
    let mut connection = fixture.connect().await;
    let row = sqlx::query("select id, session_id, exchange_id, created_at from entries where user_id = 'user-7' and id > 100000 order by id limit 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let (id, at) = (EntryId(row.get("id")), row.get("created_at"));
    let session = SessionId(row.get("session_id"));
    let exchange = ExchangeId(row.get("exchange_id"));
    let scope = Scope::User(UserId::new("user-7").unwrap());
    let now = Clock::system().now();
    for filter in filters(session, exchange, at) {
        let plans = fixture.plans(async |store| {
            let page = everything(&scope, filter.clone());
            store.find_entries(&page, now).await.unwrap();
            let start = PageStart::After(EntryCursor {
                created_at: UtcInstant::new(at).unwrap(),
                id,
            });
            store
                .find_entries(&PageRequest { start, ..page }, now)
                .await
                .unwrap();
            store
                .find_sessions(&sessions(&scope, filter.clone()), now)
                .await
                .unwrap();
            for among in [ResultKind::Entries, ResultKind::Sessions] {
                let explained = store.explain_empty(&scope, &filter, among, now);
                explained.await.unwrap();
            }
        });
        expect_indexes(&plans.await, &format!("{filter:?}"));
    }
    for (filter, index) in by_names_of_others() {
        let plans = fixture.plans(async |store| {
            let page = everything(&scope, filter.clone());
            store.find_entries(&page, now).await.unwrap();
        });
        let plans = plans.await;
        expect_indexes(&plans, &format!("{filter:?}"));
        assert!(plans.contains(index), "{filter:?} without {index}: {plans}");
    }
    let plans = fixture.plans(async |store| {
        store.sessions_named(&scope, "conv-42").await.unwrap();
        let everyone = Scope::Everyone;
        store.sessions_named(&everyone, "conv-42").await.unwrap();
    });
    let plans = plans.await;
    assert_eq!(plans.matches("sessions_by_name").count(), 2, "{plans}");
    let plans = fixture.plans(async |store| {
        assert!(store.entry(&scope, id, now).await.unwrap().is_some());
        assert_eq!(
            store.exchange(&scope, exchange, now).await.unwrap().len(),
            1
        );
        store.endpoints(&scope, now).await.unwrap();
    });
    expect_indexes(&plans.await, "one entry, one exchange, endpoints");
    fixture.stop().await;
}

#[tokio::test]
async fn page_has_generic_plan_without_sort() {
    let fixture = Fixture::start().await;
    let now = Clock::system().now();
    let plans = fixture.plans(async |store| {
        let scope = Scope::User(UserId::new("user-7").unwrap());
        let page = everything(&scope, EntryFilter::default());
        store.find_entries(&page, now).await.unwrap();
    });
    let plans = plans.await;
    assert!(plans.contains("user_id = $"), "{plans}");
    assert!(
        plans.contains("Merge Append") && !plans.contains("->  Sort"),
        "{plans}"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn admin_queries_use_time_index() {
    let fixture = Fixture::start().await;
    let now = Clock::system().now();
    let filter = EntryFilter {
        from: UtcInstant::new(now - time::Duration::hours(1)),
        ..EntryFilter::default()
    };
    let plans = fixture.plans(async |store| {
        let page = everything(&Scope::Everyone, filter);
        assert_eq!(
            store.find_entries(&page, now).await.unwrap().entries.len(),
            20
        );
    });
    let plans = plans.await;
    assert!(
        plans.contains("entries_forever_created_at_id_idx"),
        "{plans}"
    );
    assert!(!plans.contains("Seq Scan"), "{plans}");
    fixture.stop().await;
}

fn expect_indexes(plans: &str, what: &str) {
    for table in ["entries", "bodies", "sessions"] {
        let walk = format!("Seq Scan on {table}");
        let walks: Vec<_> = plans.lines().filter(|line| line.contains(&walk)).collect();
        assert!(walks.is_empty(), "{what}: {walks:?}\n{plans}");
    }
    // Otherwise nothing was explained, and nothing shown.
    assert!(plans.contains("on entries_forever"), "{what}: {plans}");
}

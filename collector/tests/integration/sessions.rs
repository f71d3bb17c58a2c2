//! Sessions with a private Postgres: in whatever order exchanges arrive, and at whichever collector, the sessions
//! are those of the definition.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use dossier_collector::model::entry::{Expiry, Headers, NewBatch, NewBody, NewEntry, ProxyInfo};
use dossier_collector::model::ids::{BatchId, ExchangeId, UserId};
use dossier_collector::model::scope::Scope;
use dossier_collector::model::session::SessionRequest;
use dossier_collector::postgres::PrivatePostgres;
use dossier_collector::store::{
    EntryFilter, EntryParts, FoundSession, InsertOutcome, Order, PageStart, SessionEntries,
    SessionPageRequest, Store,
};
use dossier_wire::{Completion, Half, TruncatedFields};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Map;
use sqlx::{PgPool, Row};
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Enough for a machine under load.
const TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);
const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

/// An exchange of one user.
#[derive(Debug, Clone)]
struct Exchange {
    id: Uuid,
    /// Minutes after [`NOW`].
    at: i64,
    asks: Asks,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Asks {
    Named(String),
    Within { group: String, minutes: i64 },
}

/// A session by the definition: the name, or the group and the minute at which it opened.
type Defined = (Option<String>, String, i64);

/// The session of each exchange, by the definition.
fn by_definition(exchanges: &[Exchange]) -> BTreeMap<Uuid, Defined> {
    let mut timeouts = BTreeMap::<(&str, i64), i64>::new();
    for exchange in exchanges {
        if let Asks::Within { group, minutes } = &exchange.asks {
            let longest = timeouts.entry((group, exchange.at)).or_default();
            *longest = (*longest).max(*minutes);
        }
    }
    let mut opened = BTreeMap::<(&str, i64), i64>::new();
    let mut previous: Option<(&str, i64, i64)> = None;
    for ((group, at), timeout) in timeouts {
        let session = match previous {
            Some((of, before, session)) if of == group && at - before <= timeout => session,
            _ => at,
        };
        opened.insert((group, at), session);
        previous = Some((group, at, session));
    }
    let defined = exchanges.iter().map(|exchange| match &exchange.asks {
        Asks::Named(name) => (exchange.id, (Some(name.clone()), String::new(), 0)),
        Asks::Within { group, .. } => {
            let opened = opened[&(group.as_str(), exchange.at)];
            (exchange.id, (None, group.clone(), opened))
        }
    });
    defined.collect()
}

fn half(user: &UserId, half: Half, exchange: &Exchange) -> NewEntry<'static> {
    let started_at = NOW + Duration::minutes(exchange.at);
    NewEntry {
        position: 0,
        user: user.clone(),
        exchange: ExchangeId(exchange.id),
        half,
        endpoint: Cow::Borrowed("/api/x"),
        method: Cow::Borrowed("POST"),
        path: Cow::Borrowed("/api/x"),
        query: None,
        host: None,
        route: None,
        status: None,
        metadata: Map::new(),
        session: Some(match &exchange.asks {
            Asks::Named(name) => SessionRequest::Named(name.clone()),
            Asks::Within { group, minutes } => SessionRequest::Within {
                timeout: Duration::minutes(*minutes),
                group: group.clone(),
            },
        }),
        expires: Expiry::Never,
        created_at: match half {
            Half::Request => started_at,
            Half::Response => started_at + Duration::minutes(7),
        },
        started_at,
        ended_at: started_at,
        body_size: 0,
        body: NewBody::Empty,
        body_xxh3: None,
        content_type: None,
        content_encoding: None,
        decoded: false,
        redactions: BTreeMap::new(),
        headers: Headers::default(),
        truncated: false,
        completion: Completion::Complete,
        proxy: ProxyInfo::default(),
        request_id: None,
        traceparent: None,
        truncated_fields: TruncatedFields::default(),
    }
}

fn batch(entries: Vec<NewEntry<'static>>) -> NewBatch<'static> {
    NewBatch {
        id: BatchId(Uuid::now_v7()),
        entries,
        gaps: Vec::new(),
        rejected: Vec::new(),
    }
}

/// Checks that the sessions of a user are those of the definition, and that their columns agree with their entries.
async fn check(pool: &PgPool, user: &UserId, exchanges: &[Exchange]) {
    let defined = by_definition(exchanges);
    let rows =
        sqlx::query("select exchange_id, session_id, started_at from entries where user_id = $1")
            .bind(user.as_str())
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(rows.len(), 2 * exchanges.len());
    let mut found = BTreeMap::<Uuid, (BTreeSet<&Defined>, BTreeSet<OffsetDateTime>)>::new();
    for row in &rows {
        let (defined_as, times) = found.entry(row.get("session_id")).or_default();
        defined_as.insert(&defined[&row.get("exchange_id")]);
        times.insert(row.get("started_at"));
    }
    let sessions: BTreeSet<_> = defined.values().collect();
    assert_eq!(found.len(), sessions.len(), "{found:#?}");
    let rows = sqlx::query("select * from sessions where user_id = $1")
        .bind(user.as_str())
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(rows.len(), found.len());
    for row in rows {
        let (defined_as, times) = &found[&row.get("session_id")];
        assert_eq!(defined_as.len(), 1, "{found:#?}");
        assert_eq!(times.first(), Some(&row.get("created_at")));
        assert_eq!(times.last(), Some(&row.get("last_activity")));
    }
}

fn exchanges() -> impl Strategy<Value = Vec<Exchange>> {
    let group = prop_oneof![3 => Just(""), 1 => Just("a"), 1 => Just("b")];
    let asks = prop_oneof![
        6 => (group, 1_i64..40).prop_map(|(group, minutes)| Asks::Within { group: group.into(), minutes }),
        1 => "[xy]".prop_map(Asks::Named),
    ];
    let exchange = (0_i64..150, asks);
    prop::collection::vec(exchange, 1..16).prop_map(|all| {
        let new = |(at, asks)| Exchange {
            id: Uuid::now_v7(),
            at,
            asks,
        };
        all.into_iter().map(new).collect()
    })
}

/// Exchanges, and their halves in any order, which are then sent in batches of these sizes.
fn sent() -> impl Strategy<Value = (Vec<Exchange>, Vec<(usize, Half)>, Vec<usize>)> {
    exchanges().prop_flat_map(|exchanges| {
        let halves: Vec<_> = (0..exchanges.len())
            .flat_map(|place| [(place, Half::Request), (place, Half::Response)])
            .collect();
        let count = halves.len();
        let sizes = prop::collection::vec(1_usize..6, count);
        (Just(exchanges), Just(halves).prop_shuffle(), sizes)
    })
}

/// The stores of two collectors, on one private Postgres, which is stopped with them.
struct Fixture {
    collectors: [Store; 2],
    pool: PgPool,
    postgres: Option<PrivatePostgres>,
    runtime: Runtime,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, Postgres runs as another user, who must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = Runtime::new().unwrap();
        let (postgres, collectors, pool) = runtime.block_on(async {
            let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
            let collector = || Store::new(postgres.options(), 4);
            let collectors = [collector(), collector()];
            collectors[0].migrate().await.unwrap();
            let pool = PgPool::connect_with(postgres.options()).await.unwrap();
            (postgres, collectors, pool)
        });
        Self {
            collectors,
            pool,
            postgres: Some(postgres),
            runtime,
            _folder: folder,
        }
    }

    /// Stores batches, two at a time, each through a collector of its own.
    fn store(&self, batches: &[NewBatch<'_>]) {
        self.runtime.block_on(async {
            for pair in batches.chunks(2) {
                let stores = pair.iter().zip(&self.collectors);
                let storing = stores.map(|(batch, store)| store.store_batch(batch, NOW, TIMEOUT));
                for stored in futures_util::future::join_all(storing).await {
                    assert_eq!(stored.unwrap(), InsertOutcome::Inserted);
                }
            }
        });
    }

    /// The sessions of a user with all their entries.
    fn find(&self, user: &UserId, now: OffsetDateTime) -> Vec<FoundSession> {
        let request = SessionPageRequest {
            scope: Scope::User(user.clone()),
            filter: EntryFilter::default(),
            order: Order::Descending,
            start: PageStart::Offset(0),
            limit: 100,
            entries: Some(SessionEntries {
                limit: 100,
                parts: EntryParts {
                    bodies: true,
                    headers: false,
                },
            }),
        };
        let page = self.collectors[0].find_sessions(&request, now);
        self.runtime.block_on(page).unwrap().sessions
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let postgres = self.postgres.take();
        self.runtime.block_on(async {
            self.pool.close().await;
            for store in &self.collectors {
                store.close().await;
            }
            if let Some(postgres) = postgres {
                postgres.stop().await;
            }
        });
    }
}

#[test]
fn sessions_do_not_depend_on_arrival_order() {
    let fixture = Fixture::new();
    let mut runner = TestRunner::new(Config::with_cases(100));
    let tested = runner.run(&sent(), |(exchanges, halves, sizes)| {
        // Each case has a user of its own, so that they can share a database.
        let user = UserId::new(Uuid::new_v4().to_string()).unwrap();
        let mut rest = halves.as_slice();
        let mut batches = Vec::new();
        for size in sizes {
            let (these, after) = rest.split_at(size.min(rest.len()));
            let entries = these
                .iter()
                .map(|(place, which)| half(&user, *which, &exchanges[*place]));
            batches.push(batch(entries.collect()));
            rest = after;
        }
        fixture.store(&batches);
        let checking = check(&fixture.pool, &user, &exchanges);
        fixture.runtime.block_on(checking);
        Ok(())
    });
    tested.unwrap();
}

/// Requests of a user in one session, a minute apart.
fn one_session(user: &UserId, count: i64) -> Vec<NewEntry<'static>> {
    let asks = Asks::Named("x".to_owned());
    let request = |at| Exchange {
        id: Uuid::now_v7(),
        at,
        asks: asks.clone(),
    };
    (0..count)
        .map(|at| half(user, Half::Request, &request(at)))
        .collect()
}

#[test]
fn session_lists_bounded_number_of_endpoints() {
    let fixture = Fixture::new();
    let user = UserId::new("alice").unwrap();
    let mut entries = one_session(&user, 101);
    for (number, entry) in entries.iter_mut().enumerate() {
        entry.endpoint = Cow::Owned(format!("/{number:03}"));
    }
    fixture.store(&[batch(entries)]);
    let session = &fixture.find(&user, NOW)[0];
    let named: Vec<_> = (0..100).map(|number| format!("/{number:03}")).collect();
    assert_eq!(session.endpoints, named);
    assert_eq!((session.total_entries, session.entries.len()), (101, 100));
}

#[test]
fn session_page_limits_body_bytes_not_entries() {
    let fixture = Fixture::new();
    let user = UserId::new("alice").unwrap();
    fixture.store(&[batch(one_session(&user, 5))]);
    // As if each body had 6 MiB, of the 16 that a page may have.
    let stored_size = sqlx::query("update entries set stored_size = 6291456");
    let updating = stored_size.execute(&fixture.pool);
    fixture.runtime.block_on(updating).unwrap();
    let session = &fixture.find(&user, NOW)[0];
    let left_out: Vec<_> = session
        .entries
        .iter()
        .map(|entry| entry.body_left_out)
        .collect();
    assert_eq!(session.total_entries, 5);
    assert_eq!(left_out, [false, false, false, true, true]);
}

#[test]
fn session_expires_with_its_last_entry() {
    let fixture = Fixture::new();
    let user = UserId::new("alice").unwrap();
    let mut entries = one_session(&user, 2);
    entries[0].expires = Expiry::At(NOW + Duration::days(1));
    entries[1].expires = Expiry::At(NOW + Duration::days(2));
    fixture.store(&[batch(entries)]);
    for (days, total) in [(0, Some(2)), (1, Some(1)), (2, None)] {
        let sessions = fixture.find(&user, NOW + Duration::days(days));
        assert_eq!(sessions.first().map(|it| it.total_entries), total);
    }
}

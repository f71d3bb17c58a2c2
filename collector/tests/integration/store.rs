//! The store with a private Postgres: what is stored is read back, once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use strum::VariantArray;

use crate::program;
use dossier_body::{Codec, unpack};
use dossier_collector::model::entry::{
    BodyState, Entry, Expiry, Headers, NewBatch, NewBody, NewEntry, NewGap, PackedBody, ProxyInfo,
    RejectedRecord,
};
use dossier_collector::model::ids::{BatchId, EntryId, ExchangeId, KeyId, UserId};
use dossier_collector::model::instant::UtcInstant;
use dossier_collector::model::key::{ApiKey, Caller, Credential, Role};
use dossier_collector::model::scope::Scope;
use dossier_collector::model::session::SessionRequest;
use dossier_collector::postgres::PrivatePostgres;
use dossier_collector::store::{
    Deletion, DeletionOutcome, EntryCursor, EntryFilter, EntryParts, Fingerprint, InsertOutcome,
    KeySelection, NewKey, Order, PageRequest, PageStart, PatternError, ResultKind, SkipReason,
    Store, StoreError, Total,
};
use dossier_wire::{
    BodyMissing, Completion, Gap, GapReason, Half, HeaderField, TruncatedField, TruncatedFields,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, json};
use sqlx::Connection;
use sqlx::postgres::PgQueryResult;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Enough for a machine under load.
const TIMEOUT: Duration = Duration::from_mins(1);
const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

/// A migrated store in a Postgres of its own, which is stopped with it.
struct Fixture {
    store: Store,
    postgres: Option<PrivatePostgres>,
    runtime: Runtime,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, Postgres runs as another user, who must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = Runtime::new().unwrap();
        let (postgres, store) = runtime.block_on(async {
            let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
            let store = Store::new(postgres.options(), 8);
            store.migrate().await.unwrap();
            (postgres, store)
        });
        Self {
            store,
            postgres: Some(postgres),
            runtime,
            folder,
        }
    }

    fn store_batch(&self, batch: &NewBatch<'_>) -> InsertOutcome {
        self.runtime
            .block_on(self.store.store_batch(batch, NOW, TIMEOUT))
            .unwrap()
    }

    fn find(&self, scope: &Scope, filter: EntryFilter) -> Vec<Entry> {
        let request = PageRequest {
            filter,
            ..everything(scope.clone())
        };
        self.runtime
            .block_on(self.store.find_entries(&request, NOW))
            .unwrap()
            .entries
    }

    fn count(&self, table: &str) -> i64 {
        let statement = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        self.runtime.block_on(async {
            let options = self.postgres.as_ref().unwrap().options();
            let pool = sqlx::PgPool::connect_with(options).await.unwrap();
            let count = sqlx::query_scalar(statement)
                .fetch_one(&pool)
                .await
                .unwrap();
            pool.close().await;
            count
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let postgres = self.postgres.take();
        self.runtime.block_on(async {
            self.store.close().await;
            if let Some(postgres) = postgres {
                postgres.stop().await;
            }
        });
        assert!(self.folder.path().exists());
    }
}

fn everything(scope: Scope) -> PageRequest {
    PageRequest {
        scope,
        filter: EntryFilter::default(),
        order: Order::Ascending,
        start: PageStart::Offset(0),
        limit: 100,
        parts: EntryParts::ALL,
        known_total: None,
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn entry(name: &str) -> NewEntry<'static> {
    NewEntry {
        position: 0,
        user: user(name),
        exchange: ExchangeId(Uuid::now_v7()),
        half: Half::Request,
        endpoint: Cow::Borrowed("/api/x"),
        method: Cow::Borrowed("POST"),
        path: Cow::Borrowed("/api/x"),
        query: None,
        host: None,
        route: None,
        status: Some(200),
        metadata: Map::new(),
        session: None,
        expires: Expiry::Never,
        created_at: NOW,
        started_at: NOW,
        ended_at: NOW,
        body_size: 2,
        body: NewBody::Stored(body(b"hi")),
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

fn body(bytes: &'static [u8]) -> PackedBody<'static> {
    PackedBody {
        codec: Codec::Identity,
        data: Cow::Borrowed(bytes),
        sha256: [7; 32],
        expires_early: None,
    }
}

fn batch(entries: Vec<NewEntry<'_>>) -> NewBatch<'_> {
    NewBatch {
        id: BatchId(Uuid::now_v7()),
        entries,
        gaps: Vec::new(),
        rejected: Vec::new(),
    }
}

fn within_minutes(minutes: i64) -> SessionRequest {
    SessionRequest::Within {
        timeout: time::Duration::minutes(minutes),
        group: String::new(),
    }
}

fn maybe_text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    prop::option::of("[^\u{0}]{0,30}".prop_map(Cow::Owned))
}

fn pairs() -> impl Strategy<Value = Vec<HeaderField<'static>>> {
    let pair = ("[a-z-]{1,9}", "[^\u{0}]{0,20}");
    let pair = pair.prop_map(|(name, value)| (Cow::Owned(name), Cow::Owned(value)));
    prop::collection::vec(pair, 0..5)
}

fn proxy_info() -> impl Strategy<Value = ProxyInfo<'static>> {
    (0..=i64::MAX, maybe_text(), maybe_text(), maybe_text()).prop_map(
        |(flags, details, upstream_host, workload)| ProxyInfo {
            flags,
            details,
            upstream_host,
            workload,
        },
    )
}

prop_compose! {
    fn any_body()(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        missing in prop::option::of(prop::sample::select(BodyMissing::VARIANTS)),
        compressed in any::<bool>(),
        sha256 in any::<[u8; 32]>(),
        expires_in_days in prop::option::of(1i64..4),
    ) -> (NewBody<'static>, Vec<u8>) {
        let (codec, data) = if compressed {
            (Codec::Zstd, zstd::bulk::compress(&bytes, 1).unwrap())
        } else {
            (Codec::Identity, bytes.clone())
        };
        let body = match missing {
            Some(reason) => NewBody::Missing(reason),
            None if bytes.is_empty() => NewBody::Empty,
            None => NewBody::Stored(PackedBody {
                codec,
                data: Cow::Owned(data),
                sha256,
                expires_early: expires_in_days.map(|days| NOW + time::Duration::days(days)),
            }),
        };
        (body, bytes)
    }
}

prop_compose! {
    fn any_entry()(
        name in "[^\u{0}]{1,20}",
        exchange in any::<u128>(),
        is_request in any::<bool>(),
        (endpoint, method, path) in ("/[^\u{0}]{0,30}", "[A-Z]{1,9}", "/[^\u{0}]{0,30}"),
        (query, host, route) in (maybe_text(), maybe_text(), maybe_text()),
        status in prop::option::of(100i16..=999),
        key in "[^\u{0}]{0,10}",
        value in "[^\u{0}]{0,10}",
        number in any::<i64>(),
        ttl_days in prop::option::of(1i64..4),
        micros in 0i64..3_600_000_000,
        (body, bytes) in any_body(),
        unseen in 0i64..100,
        xxh3 in any::<Option<[u8; 16]>>(),
        (content_type, content_encoding) in (maybe_text(), maybe_text()),
        (truncated, decoded) in any::<(bool, bool)>(),
        redactions in prop::collection::btree_map("[^\u{0}]{1,9}".prop_map(Cow::Owned), any::<u32>(), 0..4),
        (leading, trailing) in (pairs(), pairs()),
        proxy in proxy_info(),
        completion in prop::sample::select(Completion::VARIANTS),
        (request_id, traceparent) in (maybe_text(), maybe_text()),
        truncated_fields in prop::collection::vec(prop::sample::select(TruncatedField::VARIANTS), 0..3),
    ) -> (NewEntry<'static>, Vec<u8>) {
        let at = NOW - Duration::from_micros(micros.unsigned_abs());
        let new = NewEntry {
            position: 0,
            user: UserId::new(name).unwrap(),
            exchange: ExchangeId(Uuid::from_u128(exchange)),
            half: if is_request { Half::Request } else { Half::Response },
            endpoint: Cow::Owned(endpoint),
            method: Cow::Owned(method),
            path: Cow::Owned(path),
            query, host, route, status,
            metadata: json!({key: value, "n": number}).as_object().unwrap().clone(),
            session: None,
            expires: ttl_days.map_or(Expiry::Never, |days| Expiry::At(at + time::Duration::days(days))),
            created_at: at,
            started_at: at,
            ended_at: at + Duration::from_micros(7),
            body_size: i64::try_from(bytes.len()).unwrap() + unseen,
            body,
            body_xxh3: xxh3,
            headers: Headers { leading, trailing },
            content_type, content_encoding, decoded, redactions, truncated, completion, proxy, request_id, traceparent,
            truncated_fields: truncated_fields.into_iter().collect(),
        };
        (new, bytes)
    }
}

fn assert_same(read: &mut Entry, written: &NewEntry<'_>, body: &[u8]) {
    assert_eq!(read.user, written.user);
    assert_eq!(read.exchange, written.exchange);
    assert_eq!(read.half, written.half);
    assert_eq!(read.endpoint, written.endpoint);
    assert_eq!(read.method, written.method);
    assert_eq!(read.path, written.path);
    assert_eq!(read.status, written.status);
    assert_eq!(read.metadata, written.metadata);
    assert_eq!(read.created_at, written.created_at);
    assert_eq!(read.expires, written.expires);
    assert_eq!(read.body_size, written.body_size);
    assert_eq!(
        usize::try_from(read.stored_size).unwrap(),
        written.body.stored().map_or(0, |body| body.data.len())
    );
    assert_eq!(read.body_state, written.body.state());
    assert_eq!(
        read.content_type.as_deref(),
        written.content_type.as_deref()
    );
    assert_eq!(
        read.content_encoding.as_deref(),
        written.content_encoding.as_deref()
    );
    assert_eq!(read.truncated, written.truncated);
    assert_eq!(read.decoded, written.decoded);
    assert_eq!(read.truncated_fields, written.truncated_fields);
    let redactions = written.redactions.iter();
    let redactions = redactions.map(|(rule, count)| (rule.to_string(), *count));
    assert_eq!(read.redactions, redactions.collect::<BTreeMap<_, _>>());
    let stored = written.body.stored();
    assert_eq!(read.sha256, stored.map(|body| body.sha256));
    assert_eq!(read.headers.as_ref(), Some(&written.headers));
    assert_eq!(read.completion, written.completion);
    assert_eq!(read.proxy, written.proxy);
    match (read.body.take(), written.body.state()) {
        (Some(stored), BodyState::Stored) => {
            assert_eq!(unpack(stored.codec, stored.data).unwrap(), body);
        }
        (None, BodyState::Empty | BodyState::Missing(_)) => {}
        (body, state) => panic!("{state:?} with {body:?}"),
    }
}

#[test]
fn stored_entries_round_trip() {
    let fixture = Fixture::new();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    let batches = prop::collection::vec(any_entry(), 1..20);
    runner
        .run(&batches, |given| {
            let (entries, bodies): (Vec<_>, Vec<_>) = given.into_iter().unzip();
            let batch = batch(entries);
            prop_assert_eq!(fixture.store_batch(&batch), InsertOutcome::Inserted);
            for (written, body) in batch.entries.iter().zip(&bodies) {
                let filter = EntryFilter {
                    exchange: Some(written.exchange),
                    ..EntryFilter::default()
                };
                let mut found = fixture.find(&Scope::User(written.user.clone()), filter);
                assert_eq!(found.len(), 1);
                assert_same(&mut found[0], written, body);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn batch_is_stored_once_by_any_collector() {
    let fixture = Fixture::new();
    let mut with_all = batch(vec![entry("alice"), entry("alice")]);
    with_all.gaps.push(NewGap {
        position: 0,
        gap: Gap {
            reason: GapReason::BufferFull,
            records: 3,
            bytes: 4,
            from: 5,
            to: 6,
        },
    });
    with_all.rejected.push(RejectedRecord {
        position: 2,
        reason: "bad".into(),
        header: b"{",
        body: b"x",
    });
    let outcomes = fixture.runtime.block_on(async {
        let other = Store::new(fixture.postgres.as_ref().unwrap().options(), 4);
        let stores = [&fixture.store, &other, &fixture.store, &other];
        let (a, b, c, d) = tokio::join!(
            stores[0].store_batch(&with_all, NOW, TIMEOUT),
            stores[1].store_batch(&with_all, NOW, TIMEOUT),
            stores[2].store_batch(&with_all, NOW, TIMEOUT),
            stores[3].store_batch(&with_all, NOW, TIMEOUT),
        );
        other.close().await;
        [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()]
    });
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == InsertOutcome::Inserted)
            .count(),
        1
    );
    assert_eq!(fixture.store_batch(&with_all), InsertOutcome::Duplicate);
    for (table, rows) in [
        ("entries", 2),
        ("entries where body is not null", 2),
        ("ingest_ledger", 1),
        ("gaps", 1),
        ("rejected_records", 1),
    ] {
        assert_eq!(fixture.count(table), rows, "{table}");
    }
}

/// Stores batches while the ledger is locked, so that they are stored as groups, except for the first ones.
fn store_as_group(
    fixture: &Fixture,
    batches: &[NewBatch<'static>],
) -> Vec<Result<InsertOutcome, StoreError>> {
    fixture.runtime.block_on(async {
        let options = fixture.postgres.as_ref().unwrap().options();
        let mut other = sqlx::PgConnection::connect_with(&options).await.unwrap();
        let lock = "begin; lock table ingest_ledger in access exclusive mode";
        sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
        let storing = batches
            .iter()
            .map(|batch| fixture.store.store_batch(batch, NOW, TIMEOUT));
        let blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
        let release = async {
            loop {
                let count = sqlx::query_scalar::<_, i64>(blocked);
                if count.fetch_one(&mut other).await.unwrap() > 0 {
                    break;
                }
            }
            other.close().await.unwrap();
        };
        tokio::join!(futures_util::future::join_all(storing), release).0
    })
}

#[test]
fn queued_batches_are_stored_once_each() {
    let fixture = Fixture::new();
    let mut batches: Vec<_> = (0..20)
        .map(|number| {
            let mut new = entry(["alice", "bob"][number % 2]);
            new.session = Some(within_minutes(30));
            batch(vec![new])
        })
        .collect();
    batches[19].id = batches[10].id;
    let stored = store_as_group(&fixture, &batches);
    let stored: Vec<_> = stored.into_iter().map(Result::unwrap).collect();
    let now = stored
        .iter()
        .filter(|stored| **stored == InsertOutcome::Inserted);
    assert_eq!((now.count(), stored[19]), (19, InsertOutcome::Duplicate));
    let transactions = fixture.count("(select distinct xmin::text from entries) each");
    assert!(transactions <= 3, "{transactions}");
    for (table, rows) in [("entries", 19), ("ingest_ledger", 19), ("sessions", 2)] {
        assert_eq!(fixture.count(table), rows, "{table}");
    }
    let without = "entries where session_id is null";
    assert_eq!(fixture.count(without), 0);
}

#[test]
fn failing_batch_does_not_fail_its_group() {
    let fixture = Fixture::new();
    let mut batches: Vec<_> = (0..12).map(|_| batch(vec![entry("alice")])).collect();
    // No producer's record comes that far.
    batches[7].entries[0].path = Cow::Borrowed("/\u{0}");
    for (number, stored) in store_as_group(&fixture, &batches).into_iter().enumerate() {
        match stored {
            Ok(InsertOutcome::Inserted) => assert_ne!(number, 7),
            Err(StoreError::Database(_)) => assert_eq!(number, 7),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(fixture.count("entries"), 11);
    assert_eq!(fixture.count("ingest_ledger"), 11);
}

#[test]
fn stored_batch_is_recognized_by_content() {
    let fixture = Fixture::new();
    let contains_batch = |batch: &NewBatch<'_>| {
        let fingerprint = Fingerprint::of(batch, NOW);
        let lookup = fixture.store.contains_batch(&fingerprint);
        fixture.runtime.block_on(lookup).unwrap()
    };
    let mut with_a_gap = batch(Vec::new());
    with_a_gap.gaps.push(NewGap {
        position: 0,
        gap: Gap {
            reason: GapReason::BufferFull,
            records: 3,
            bytes: 4,
            from: 5,
            to: 6,
        },
    });
    let mut with_a_bad_one = batch(Vec::new());
    with_a_bad_one.rejected.push(RejectedRecord {
        position: 0,
        reason: "bad".into(),
        header: b"{",
        body: b"x",
    });
    let request = entry("alice");
    let response = NewEntry {
        half: Half::Response,
        exchange: request.exchange,
        ..entry("alice")
    };
    for stored in [&batch(vec![request]), &with_a_gap, &with_a_bad_one] {
        assert!(!contains_batch(stored));
        assert_eq!(fixture.store_batch(stored), InsertOutcome::Inserted);
        assert!(contains_batch(stored));
    }
    assert!(
        !contains_batch(&batch(vec![response])),
        "the other half is not it"
    );
    assert!(!contains_batch(&batch(Vec::new())));
}

#[test]
fn timed_out_batch_can_be_stored_later() {
    let fixture = Fixture::new();
    let slow = batch(vec![entry("alice")]);
    fixture.runtime.block_on(async {
        let options = fixture.postgres.as_ref().unwrap().options();
        let mut other = sqlx::PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("begin; lock table ingest_ledger in access exclusive mode")
            .execute(&mut other)
            .await
            .unwrap();
        // As many as the pool has connections: none of them may stay in use.
        for _ in 0..8 {
            let timeout = Duration::from_millis(100);
            let stored = fixture.store.store_batch(&slow, NOW, timeout).await;
            assert!(matches!(stored, Err(StoreError::Timeout(_))), "{stored:?}");
        }
        other.close().await.unwrap();
    });
    assert_eq!(fixture.store_batch(&slow), InsertOutcome::Inserted);
    assert_eq!(fixture.store_batch(&slow), InsertOutcome::Duplicate);
    assert_eq!(fixture.count("entries"), 1);
}

#[test]
fn rejected_records_are_bounded() {
    let fixture = Fixture::new();
    let long = vec![b'x'; (1 << 20) + 1];
    let bad = |records| {
        let mut bad = batch(Vec::new());
        bad.rejected = (0..records)
            .map(|position| RejectedRecord {
                position,
                reason: "bad".into(),
                header: b"{",
                body: if position == 0 { &long } else { b"" },
            })
            .collect();
        bad
    };
    let store = |batch: &NewBatch<'_>, at| {
        let storing = fixture.store.store_batch(batch, at, TIMEOUT);
        fixture.runtime.block_on(storing).unwrap();
    };
    let prune = |at| fixture.runtime.block_on(fixture.store.prune_rejected(at));
    store(&bad(3000), NOW);
    assert_eq!(fixture.count("rejected_records"), 1000, "of one batch");
    assert_eq!(
        fixture.count("rejected_records where cut and length(body) = 1048576"),
        1
    );
    assert_eq!(fixture.count("rejected_records where not cut"), 999);
    for number in 1..=10 {
        store(&bad(1000), NOW + time::Duration::seconds(number));
    }
    assert_eq!(
        prune(NOW + time::Duration::DAY).unwrap(),
        1000,
        "the oldest"
    );
    assert_eq!(prune(NOW + time::Duration::DAY).unwrap(), 0);
    let a_month_later = NOW + time::Duration::days(30) + time::Duration::seconds(6);
    assert_eq!(prune(a_month_later).unwrap(), 5000);
    assert_eq!(fixture.count("rejected_records"), 5000);
    // Now by their bytes, of which 256 MiB stay.
    let statements = "delete from rejected_records;
         insert into rejected_records (batch_id, received_at, position, reason, header, body)
         select gen_random_uuid(), now() + number * interval '1 second', 0, 'bad', '',
                convert_to(repeat('x', 1 << 20), 'UTF8')
         from generate_series(1, 260) number";
    fixture.runtime.block_on(on_the_side(&fixture, statements));
    assert_eq!(prune(NOW).unwrap(), 4);
    assert_eq!(fixture.count("rejected_records"), 256);
}

#[test]
fn concurrent_batches_agree_on_partitions_and_sessions() {
    let fixture = Fixture::new();
    let mut batches = Vec::new();
    for number in 0..12u32 {
        let mut entries = Vec::new();
        for name in ["alice", "bob", "carol"] {
            let mut new = entry(name);
            let at = NOW + time::Duration::minutes(number.into());
            (new.started_at, new.created_at) = (at, at);
            new.expires = Expiry::At(at + time::Duration::days(1 + i64::from(number % 3)));
            new.session = Some(within_minutes(30));
            entries.push(new);
        }
        batches.push(batch(entries));
    }
    let batches: &'static [NewBatch<'static>] = batches.leak();
    fixture.runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for batch in batches {
            let store = fixture.store.clone();
            tasks.spawn(async move { store.store_batch(batch, NOW, TIMEOUT).await });
        }
        while let Some(done) = tasks.join_next().await {
            assert_eq!(done.unwrap().unwrap(), InsertOutcome::Inserted);
        }
    });
    for name in ["alice", "bob", "carol"] {
        let found = fixture.find(&Scope::User(user(name)), EntryFilter::default());
        assert_eq!(found.len(), 12);
        let sessions: BTreeSet<_> = found.iter().map(|entry| entry.session.unwrap()).collect();
        assert_eq!(sessions.len(), 1, "{name} has one session");
    }
    assert_eq!(fixture.count("sessions"), 3);
}

#[test]
fn later_response_joins_session_of_its_request() {
    let fixture = Fixture::new();
    let ask = Some(within_minutes(1));
    let request = NewEntry {
        session: ask.clone(),
        ..entry("alice")
    };
    let exchange = request.exchange;
    fixture.store_batch(&batch(vec![request]));
    // An exchange in between that opens a session nearer to the response's own time.
    let later = NOW + time::Duration::minutes(10);
    fixture.store_batch(&batch(vec![NewEntry {
        session: ask.clone(),
        started_at: later,
        ..entry("alice")
    }]));
    let response = NewEntry {
        half: Half::Response,
        exchange,
        created_at: later,
        session: ask,
        ..entry("alice")
    };
    fixture.store_batch(&batch(vec![response]));
    let filter = EntryFilter {
        exchange: Some(exchange),
        ..EntryFilter::default()
    };
    let halves = fixture.find(&Scope::User(user("alice")), filter);
    assert_eq!(halves.len(), 2);
    assert_eq!(halves[0].session, halves[1].session);
    assert_eq!(fixture.count("sessions"), 2);
}

#[test]
fn users_see_own_unexpired_entries_only() {
    let fixture = Fixture::new();
    let over = NewEntry {
        expires: Expiry::At(NOW),
        ..entry("alice")
    };
    let nearly_over = NewEntry {
        expires: Expiry::At(NOW + Duration::from_micros(1)),
        ..entry("alice")
    };
    fixture.store_batch(&batch(vec![over, nearly_over, entry("bob")]));
    assert_eq!(
        fixture
            .find(&Scope::User(user("alice")), EntryFilter::default())
            .len(),
        1
    );
    assert_eq!(
        fixture
            .find(&Scope::User(user("bob")), EntryFilter::default())
            .len(),
        1
    );
    assert_eq!(
        fixture
            .find(&Scope::User(user("carol")), EntryFilter::default())
            .len(),
        0
    );
    assert_eq!(
        fixture.find(&Scope::Everyone, EntryFilter::default()).len(),
        2
    );
}

#[test]
fn body_may_expire_before_its_entry() {
    let fixture = Fixture::new();
    let in_days = |days| NOW + time::Duration::days(days);
    let goes_at = |at| NewEntry {
        expires: Expiry::At(in_days(30)),
        body: NewBody::Stored(PackedBody {
            expires_early: Some(at),
            ..body(b"hi")
        }),
        ..entry("alice")
    };
    let entries = vec![
        goes_at(NOW),
        goes_at(NOW + Duration::from_micros(1)),
        goes_at(in_days(7)),
        NewEntry {
            expires: Expiry::Never,
            ..goes_at(in_days(3))
        },
    ];
    fixture.store_batch(&batch(entries));
    let found = fixture.find(&Scope::User(user("alice")), EntryFilter::default());
    let bodies: Vec<_> = found.iter().map(|entry| entry.body.is_some()).collect();
    assert_eq!(bodies, [false, true, true, true]);
    for (partition, rows) in [
        ("bodies_20260601", 1),
        ("bodies_20260608", 1),
        ("bodies_20260604", 1),
        ("bodies_forever", 0),
        ("entries_20260701", 3),
        ("entries_forever", 1),
    ] {
        assert_eq!(fixture.count(partition), rows, "{partition}");
    }
    let hashed = "entries where body_sha256 = decode(repeat('07', 32), 'hex')";
    assert_eq!(fixture.count(hashed), 4);
}

#[test]
fn expired_entries_are_not_written() {
    let fixture = Fixture::new();
    let passed = NOW;
    let late = NewEntry {
        expires: Expiry::At(passed),
        ..entry("alice")
    };
    let without_body = NewEntry {
        expires: Expiry::At(NOW + Duration::from_hours(24)),
        body: NewBody::Stored(PackedBody {
            expires_early: Some(passed),
            ..body(b"hi")
        }),
        ..entry("alice")
    };
    let both = batch(vec![late, without_body]);
    assert_eq!(fixture.store_batch(&both), InsertOutcome::Inserted);
    assert_eq!(fixture.store_batch(&both), InsertOutcome::Duplicate);
    let found = fixture.find(&Scope::User(user("alice")), EntryFilter::default());
    assert_eq!(found.len(), 1);
    assert!(found[0].body.is_none());
    assert_eq!((fixture.count("entries"), fixture.count("bodies")), (1, 0));
    let made = "pg_class where relname ~ '^(entries|bodies)_[0-9]+$'";
    assert_eq!(fixture.count(made), 2, "partitions of one day");
}

#[test]
fn partitions_are_created_a_day_ahead() {
    let fixture = Fixture::new();
    let expiring = NewEntry {
        expires: Expiry::At(NOW + Duration::from_hours(24 * 30)),
        body: NewBody::Stored(PackedBody {
            expires_early: Some(NOW + Duration::from_hours(24 * 7)),
            ..body(b"hi")
        }),
        ..entry("alice")
    };
    let ahead = || {
        let made = fixture.store.create_partitions_ahead();
        fixture.runtime.block_on(made).unwrap()
    };
    assert_eq!(ahead(), 0);
    fixture.store_batch(&batch(vec![expiring, entry("bob")]));
    assert_eq!(ahead(), 2);
    let made = "pg_class where relname in ('entries_20260702', 'bodies_20260702', 'entries_20260609', 'bodies_20260609')";
    assert_eq!(fixture.count(made), 4);
    assert_eq!(ahead(), 0, "nothing came since");
}

/// As an older collector stores them: without any column of a later migration.
#[test]
fn rows_of_older_version_are_readable() {
    let fixture = Fixture::new();
    fixture.runtime.block_on(async {
        let options = fixture.postgres.as_ref().unwrap().options();
        let pool = sqlx::PgPool::connect_with(options).await.unwrap();
        let statements = "
            insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion,
                body_state, truncated, exchange_id, user_id, endpoint, method, path, metadata)
            values (1, 'infinity', now(), now(), now(), 2, 2, 'request', 'complete', 'stored', false, gen_random_uuid(),
                'alice', '/', 'GET', '/', '{}');
            insert into bodies (entry_id, expires_at, codec, user_id, data)
            values (1, 'infinity', 'identity', 'alice', 'hi')";
        sqlx::raw_sql(statements).execute(&pool).await.unwrap();
        pool.close().await;
    });
    let found = fixture.find(&Scope::User(user("alice")), EntryFilter::default());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].body.as_ref().unwrap().data, b"hi");
    assert!(found[0].redactions.is_empty() && !found[0].decoded);
    assert_eq!(found[0].proxy, ProxyInfo::default());
    assert_eq!(found[0].headers, Some(Headers::default()));
}

#[test]
fn pages_return_each_entry_once_in_order() {
    let fixture = Fixture::new();
    // Few distinct instants, so that ids must break ties.
    let entries = (0..57)
        .map(|number| NewEntry {
            created_at: NOW + Duration::from_secs(number % 5),
            ..entry("alice")
        })
        .collect();
    fixture.store_batch(&batch(entries));
    for order in [Order::Ascending, Order::Descending] {
        let page = |start| {
            let request = PageRequest {
                order,
                start,
                limit: 10,
                parts: EntryParts {
                    bodies: false,
                    headers: false,
                },
                ..everything(Scope::User(user("alice")))
            };
            fixture
                .runtime
                .block_on(fixture.store.find_entries(&request, NOW))
                .unwrap()
        };
        let by_number: Vec<_> = (0..6)
            .flat_map(|number| page(PageStart::Offset(number * 10)).entries)
            .map(|entry| (entry.created_at, entry.id))
            .collect();
        let mut by_cursor = Vec::new();
        let mut start = PageStart::Offset(0);
        loop {
            let page = page(start);
            assert_eq!(page.total, Total::Exact(57));
            by_cursor.extend(
                page.entries
                    .iter()
                    .map(|entry| (entry.created_at, entry.id)),
            );
            let Some(&(created_at, id)) = by_cursor.last() else {
                break;
            };
            start = PageStart::After(EntryCursor {
                created_at: UtcInstant::new(created_at).unwrap(),
                id,
            });
            if !page.has_more {
                break;
            }
        }
        assert_eq!(by_number.len(), 57);
        assert_eq!(by_number, by_cursor);
        let mut sorted = by_cursor.clone();
        sorted.sort_unstable();
        if order == Order::Descending {
            sorted.reverse();
        }
        assert_eq!(by_cursor, sorted);
    }
}

fn key(name: &str, expires_at: Option<OffsetDateTime>) -> NewKey {
    NewKey {
        name: "test".into(),
        user: user(name),
        role: Role::Readonly,
        expires_at,
    }
}

#[test]
fn key_is_valid_until_it_expires() {
    let fixture = Fixture::new();
    let secret = ApiKey::generate().unwrap();
    let too_late = NOW + Duration::from_secs(1);
    let key = key("alice", Some(too_late));
    fixture.runtime.block_on(async {
        let store = &fixture.store;
        let id = store.create_key(&key, &secret.hash(), NOW).await.unwrap();
        let found = store
            .find_valid_key(&secret.hash(), NOW)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.caller.credential, Credential::Key(id));
        assert_eq!(found.caller.user, key.user);
        assert_eq!(found.caller.role, Role::Readonly);
        let late = store
            .find_valid_key(&secret.hash(), too_late)
            .await
            .unwrap();
        assert!(late.is_none());
        let other = ApiKey::generate().unwrap();
        let other = store.find_valid_key(&other.hash(), NOW).await.unwrap();
        assert!(other.is_none());
    });
}

#[test]
fn revoked_key_is_invalid_and_unchanged() {
    let fixture = Fixture::new();
    let secrets = [(); 3].map(|()| ApiKey::generate().unwrap());
    fixture.runtime.block_on(async {
        let store = &fixture.store;
        let mut ids = Vec::new();
        for (name, secret) in ["alice", "alice", "bob"].into_iter().zip(&secrets) {
            let (key, hash) = (key(name, None), secret.hash());
            ids.push(store.create_key(&key, &hash, NOW).await.unwrap());
        }
        let first = KeySelection::Ids(vec![ids[0], KeyId(Uuid::nil())]);
        assert_eq!(store.revoke_keys(&first, NOW).await.unwrap(), [ids[0]]);
        let works = async |index: usize| {
            let found = store
                .find_valid_key(&secrets[index].hash(), NOW)
                .await
                .unwrap();
            found.is_some()
        };
        assert!(!works(0).await && works(1).await && works(2).await);

        let later = NOW + Duration::from_secs(1);
        let of_alice = KeySelection::User(user("alice"));
        let mut revoked = store.revoke_keys(&of_alice, later).await.unwrap();
        revoked.sort_unstable();
        let mut expected = ids[..2].to_vec();
        expected.sort_unstable();
        assert_eq!(revoked, expected);
        assert!(!works(0).await && !works(1).await && works(2).await);

        let listed = store.list_keys(Some(&user("alice"))).await.unwrap();
        let times: Vec<_> = ids[..2]
            .iter()
            .map(|id| listed.keys.iter().find(|key| key.id == *id).unwrap())
            .map(|key| key.revoked_at)
            .collect();
        assert_eq!(times, [Some(NOW), Some(later)]);
        assert_eq!(listed.keys.len(), 2);
        assert_eq!(store.list_keys(None).await.unwrap().keys.len(), 3);
    });
}

#[test]
fn key_use_is_recorded_once_a_minute() {
    let fixture = Fixture::new();
    let secret = ApiKey::generate().unwrap();
    fixture.runtime.block_on(async {
        let store = &fixture.store;
        let (key, hash) = (key("alice", None), secret.hash());
        store.create_key(&key, &hash, NOW).await.unwrap();
        let mut noted = Vec::new();
        for seconds in [0, 1, 59, 60, 61, 119, 120] {
            let at = NOW + Duration::from_secs(seconds);
            let found = store
                .find_valid_key(&secret.hash(), at)
                .await
                .unwrap()
                .unwrap();
            if let Some(used) = found.unrecorded_use {
                store.record_key_use(used).await.unwrap();
                noted.push(seconds);
            }
            let listed = store.list_keys(None).await.unwrap();
            let last = NOW + Duration::from_secs(*noted.last().unwrap());
            assert_eq!(listed.keys[0].last_used_at, Some(last));
        }
        assert_eq!(noted, [0, 60, 120]);
    });
}

#[test]
fn key_list_is_bounded() {
    let fixture = Fixture::new();
    fixture.runtime.block_on(async {
        let options = fixture.postgres.as_ref().unwrap().options();
        let pool = sqlx::PgPool::connect_with(options).await.unwrap();
        for (keys, more) in [(10_000, false), (1, true)] {
            sqlx::query(
                "insert into api_keys (key_id, key_sha256, name, user_id, role, created_at)
                 select gen_random_uuid(), uuid_send(gen_random_uuid()), '', 'alice', 'user', now() from generate_series(1, $1)",
            )
            .bind(keys)
            .execute(&pool)
            .await
            .unwrap();
            let listed = fixture.store.list_keys(None).await.unwrap();
            assert_eq!((listed.keys.len(), listed.has_more), (10_000, more));
        }
        pool.close().await;
    });
}

#[test]
fn data_folder_is_locked_by_one_collector() {
    let fixture = Fixture::new();
    fixture.store_batch(&batch(vec![entry("alice")]));
    let folder = fixture.folder.path();
    let second = fixture
        .runtime
        .block_on(PrivatePostgres::start(folder))
        .unwrap_err();
    assert!(
        second.to_string().contains("in use by another dossier"),
        "{second}"
    );
}

#[test]
fn command_waits_for_data_folder_in_use() {
    let mut fixture = Fixture::new();
    fixture.runtime.block_on(fixture.store.close());
    let postgres = fixture.postgres.take().unwrap();
    fixture.runtime.block_on(postgres.stop());
    // As another command that is just starting or stopping.
    let lock = File::open(fixture.folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let mut command = Command::new(program())
        .args(["keys", "list", "--data-dir"])
        .arg(fixture.folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(command.try_wait().unwrap().is_none());
    drop(lock);
    assert!(command.wait().unwrap().success());
}

#[test]
fn start_waits_for_backends_of_killed_postgres() {
    let mut fixture = Fixture::new();
    let runtime = Runtime::new().unwrap();
    let query = runtime.block_on(keep_busy(&fixture));
    kill_postgres(&fixture);
    fixture.postgres = None;

    let again = runtime.block_on(PrivatePostgres::start(fixture.folder.path()));
    fixture.postgres = Some(again.unwrap());
    let ended = runtime.block_on(query).unwrap();
    assert!(ended.is_err(), "it was under way");
}

/// As in a container whose first process reaps no orphans.
#[test]
fn start_ignores_remains_of_killed_postgres() {
    let mut fixture = Fixture::new();
    kill_postgres(&fixture);
    fixture.postgres = None;
    let pid_file = fixture
        .folder
        .path()
        .join("postgres/cluster/postmaster.pid");
    // Postgres minds processes of its own user only.
    let user = std::fs::metadata(&pid_file).unwrap().uid();
    let mut remains = Command::new("true").uid(user).spawn().unwrap();
    let text = std::fs::read_to_string(&pid_file).unwrap();
    let (_, behind) = text.split_once('\n').unwrap();
    let socket_lock = fixture
        .folder
        .path()
        .join("postgres/socket/.s.PGSQL.5432.lock");
    for file in [&pid_file, &socket_lock] {
        std::fs::write(file, format!("{}\n{behind}", remains.id())).unwrap();
    }

    let again = fixture
        .runtime
        .block_on(PrivatePostgres::start(fixture.folder.path()));
    fixture.postgres = Some(again.unwrap());
    assert!(remains.wait().unwrap().success());
}

/// A query that goes on until it has counted to the end, even without its parent process.
async fn keep_busy(fixture: &Fixture) -> JoinHandle<Result<PgQueryResult, sqlx::Error>> {
    let mut busy = on_the_side(fixture, "select 1").await;
    let counting = "select count(*) from generate_series(1, 20000000)";
    let query = tokio::spawn(async move { sqlx::raw_sql(counting).execute(&mut busy).await });
    let mut watcher = on_the_side(fixture, "select 1").await;
    let mut counts = false;
    while !counts {
        counts =
            sqlx::query_scalar("select exists (select from pg_stat_activity where query = $1)")
                .bind(counting)
                .fetch_one(&mut watcher)
                .await
                .unwrap();
    }
    query
}

fn kill_postgres(fixture: &Fixture) {
    let pid_file = fixture
        .folder
        .path()
        .join("postgres/cluster/postmaster.pid");
    let text = std::fs::read_to_string(pid_file).unwrap();
    let pid = text.lines().next().unwrap().parse().unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// Runs statements on a connection of their own, and returns it, so that what they began goes on.
async fn on_the_side(fixture: &Fixture, statements: &'static str) -> sqlx::PgConnection {
    let options = fixture.postgres.as_ref().unwrap().options();
    let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(statements)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

#[test]
fn deletion_removes_bodies_and_is_audited() {
    let fixture = Fixture::new();
    let of = |name, expires, expires_early| NewEntry {
        expires,
        body: NewBody::Stored(PackedBody {
            expires_early,
            ..body(b"hi")
        }),
        ..entry(name)
    };
    let later = NOW + Duration::from_secs(2);
    let (passed, ahead) = (
        NOW + Duration::from_secs(1),
        NOW + Duration::from_hours(100),
    );
    fixture.store_batch(&batch(vec![
        of("alice", Expiry::At(passed), None),
        of("bob", Expiry::Never, Some(ahead)),
        of("carol", Expiry::At(ahead), None),
        of("carol", Expiry::Never, None),
    ]));
    let key = KeyId(Uuid::now_v7());
    let caller = Caller {
        credential: Credential::Key(key),
        user: user("root"),
        role: Role::Admin,
    };
    let delete = |ids: &[i64], force| {
        let ids: Vec<_> = ids.iter().copied().map(EntryId).collect();
        let deletion = Deletion {
            ids: &ids,
            force,
            by: &caller,
        };
        let outcomes = fixture.store.delete_entries(&deletion, later);
        let outcomes = fixture.runtime.block_on(outcomes).unwrap();
        let outcomes = outcomes.into_iter().map(|(id, outcome)| (id.0, outcome));
        outcomes.collect::<Vec<_>>()
    };
    assert_eq!(
        delete(&[4, 3, 1, 9, 1], false),
        [
            (4, DeletionOutcome::Skipped(SkipReason::NoTtl)),
            (3, DeletionOutcome::Skipped(SkipReason::TtlNotExpired)),
            (1, DeletionOutcome::Deleted),
            (9, DeletionOutcome::Skipped(SkipReason::NotFound)),
        ]
    );
    let left = || {
        let within = fixture.count("entries where body is not null");
        (fixture.count("entries"), within + fixture.count("bodies"))
    };
    assert_eq!(left(), (3, 3));
    assert_eq!(delete(&[2], true), [(2, DeletionOutcome::Deleted)]);
    assert_eq!(left(), (2, 2));

    let audit: Vec<(i64, String, String, String, Uuid, OffsetDateTime)> = fixture.runtime.block_on(async {
        let mut connection = on_the_side(&fixture, "").await;
        sqlx::query_as("select entry_id, user_id, reason::text, deleted_by, key_id, deleted_at from deletion_audit order by 1")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    });
    let line = |id, owner: &str, reason: &str| {
        let (owner, reason) = (owner.to_owned(), reason.to_owned());
        (id, owner, reason, "root".to_owned(), key.0, later)
    };
    let lines = [line(1, "alice", "expired"), line(2, "bob", "forced")];
    assert_eq!(audit, lines);
}

#[test]
fn slow_explanation_is_skipped() {
    let fixture = Fixture::new();
    fixture.runtime.block_on(async {
        let _lock = on_the_side(&fixture, "begin; lock table entries").await;
        let scope = Scope::User(user("alice"));
        let filter = EntryFilter::default();
        let nothing = fixture
            .store
            .explain_empty(&scope, &filter, ResultKind::Entries, NOW);
        assert_eq!(nothing.await.unwrap(), None);
    });
}

#[test]
fn endpoint_list_is_distinct_and_bounded() {
    let fixture = Fixture::new();
    let at = |name, endpoint: String| NewEntry {
        endpoint: Cow::Owned(endpoint),
        ..entry(name)
    };
    let mut entries: Vec<_> = (0..1000).map(|it| at("alice", format!("/{it}"))).collect();
    entries.push(at("bob", "/b".to_owned()));
    entries.push(at("bob", "/b".to_owned()));
    entries.push(NewEntry {
        expires: Expiry::At(NOW),
        ..at("bob", "/expired".to_owned())
    });
    fixture.store_batch(&batch(entries));
    let endpoints = |scope: Scope| {
        let endpoints = fixture.store.endpoints(&scope, NOW);
        let endpoints = fixture.runtime.block_on(endpoints).unwrap();
        (endpoints.names.len(), endpoints.truncated)
    };
    assert_eq!(endpoints(Scope::User(user("alice"))), (1000, false));
    assert_eq!(endpoints(Scope::User(user("bob"))), (1, false));
    assert_eq!(endpoints(Scope::User(user("carol"))), (0, false));
    assert_eq!(endpoints(Scope::Everyone), (1000, true));
    fixture.store_batch(&batch(vec![at("alice", "/one-more".to_owned())]));
    assert_eq!(endpoints(Scope::User(user("alice"))), (1000, true));
}

#[test]
fn exchange_has_one_user_and_bounded_entries() {
    let fixture = Fixture::new();
    let exchange = ExchangeId(Uuid::now_v7());
    let of = |name| NewEntry {
        exchange,
        ..entry(name)
    };
    let mut entries = vec![of("alice")];
    entries.extend((0..30).map(|_| of("bob")));
    fixture.store_batch(&batch(entries));
    for (scope, count, owner) in [
        (Scope::User(user("alice")), 1, "alice"),
        (Scope::User(user("bob")), 16, "bob"),
        (Scope::Everyone, 1, "alice"),
    ] {
        let found = fixture.store.exchange(&scope, exchange, NOW);
        let found = fixture.runtime.block_on(found).unwrap();
        assert_eq!(found.len(), count, "{scope:?}");
        assert!(found.iter().all(|entry| entry.user == user(owner)));
    }
}

#[test]
fn bad_regular_expressions_are_rejected() {
    let fixture = Fixture::new();
    let check = |pattern: &str| {
        let checked = fixture.store.check_pattern(pattern);
        fixture.runtime.block_on(checked).unwrap()
    };
    for pattern in ["^gpt", r"(?i)\mword\M", "a{1,3}", "(.)\\1"] {
        assert_eq!(check(pattern), None, "{pattern}");
    }
    for pattern in ["(", "a{2,1}", "[z-a]", "*a", "x{300}"] {
        assert_eq!(check(pattern), Some(PatternError::Invalid), "{pattern}");
    }
}

#[test]
fn known_total_is_not_counted_again() {
    let fixture = Fixture::new();
    fixture.store_batch(&batch((0..5).map(|_| entry("alice")).collect()));
    let page = |start, known_total| {
        let request = PageRequest {
            start,
            limit: 2,
            known_total,
            ..everything(Scope::User(user("alice")))
        };
        let page = fixture.store.find_entries(&request, NOW);
        fixture.runtime.block_on(page).unwrap()
    };
    let after = |id| {
        PageStart::After(EntryCursor {
            created_at: UtcInstant::new(NOW).unwrap(),
            id: EntryId(id),
        })
    };
    let counted = Some(Total::AtLeast(10_000));
    assert_eq!(page(after(1), counted).total, Total::AtLeast(10_000));
    assert_eq!(page(after(1), None).total, Total::Exact(5));
    assert_eq!(page(after(5), counted).total, Total::Exact(5));
    for (offset, total, found) in [(0, 5, 2), (4, 5, 1), (5, 5, 0), (60, 5, 0)] {
        let page = page(PageStart::Offset(offset), None);
        assert_eq!(page.total, Total::Exact(total), "{offset}");
        assert_eq!(page.entries.len(), found, "{offset}");
    }
}

#[test]
fn page_limits_body_bytes_but_not_entries() {
    const MIB: usize = 1 << 20;
    static LARGE: [u8; 6 * MIB] = [b'a'; 6 * MIB];
    let fixture = Fixture::new();
    for number in 0..5_i64 {
        let large = NewEntry {
            created_at: NOW - time::Duration::minutes(number),
            body: NewBody::Stored(body(&LARGE)),
            ..entry("alice")
        };
        fixture.store_batch(&batch(vec![large]));
    }
    for (order, first) in [(Order::Descending, 0), (Order::Ascending, 4)] {
        let request = PageRequest {
            order,
            ..everything(Scope::User(user("alice")))
        };
        let reading = fixture.store.find_entries(&request, NOW);
        let page = fixture.runtime.block_on(reading).unwrap();
        let first_at = NOW - time::Duration::minutes(first);
        assert_eq!(page.entries[0].created_at, first_at);
        let read = page.entries.iter();
        let read: Vec<_> = read
            .map(|entry| (entry.body.is_some(), entry.body_left_out))
            .collect();
        let (there, left_out) = ((true, false), (false, true));
        assert_eq!(read, [there, there, there, left_out, left_out]);
    }
}

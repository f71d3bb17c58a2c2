//! Compression dictionaries with a private Postgres: trained from what users share, used, kept while needed, then
//! deleted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use dossier_body::training::MIN_USERS;
use dossier_body::{BodyPacker, Codec, UnpackedBody, unpack};
use dossier_collector::jobs::dictionaries::train;
use dossier_collector::model::entry::{
    Expiry, Headers, NewBatch, NewBody, NewEntry, PackedBody, ProxyInfo,
};
use dossier_collector::model::ids::{BatchId, ExchangeId, UserId};
use dossier_collector::model::scope::Scope;
use dossier_collector::postgres::PrivatePostgres;
use dossier_collector::store::{
    EntryFilter, EntryParts, InsertOutcome, Order, PageRequest, PageStart, Store, StoreError,
};
use dossier_wire::{Completion, Half, StorageCompression, TruncatedFields};
use serde_json::Map;
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const ENDPOINT: &str = "/api/orders";

struct Fixture {
    store: Store,
    owner: sqlx::PgPool,
    postgres: PrivatePostgres,
    folder: TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, Postgres runs as another user, who must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
        let store = Store::new(postgres.options(), 4);
        store.migrate().await.unwrap();
        Self {
            store,
            owner: sqlx::PgPool::connect_with(postgres.options())
                .await
                .unwrap(),
            postgres,
            folder,
        }
    }

    /// Stores bodies of that many users, compressed with the dictionaries in use.
    async fn fill(&self, users: usize, bodies: usize, change: fn(&mut NewEntry<'_>)) {
        let bodies: Vec<_> = (0..bodies)
            .map(|number| body(number % users, number))
            .collect();
        let stored = self.store_bodies(&bodies, users, change).await;
        assert_eq!(stored.unwrap(), InsertOutcome::Inserted);
    }

    async fn store_bodies(
        &self,
        bodies: &[String],
        users: usize,
        change: fn(&mut NewEntry<'_>),
    ) -> Result<InsertOutcome, StoreError> {
        let dictionaries = self.store.dictionaries();
        let mut packer = BodyPacker::new(&dictionaries);
        let mut entries = Vec::new();
        for (number, bytes) in bodies.iter().enumerate() {
            let (codec, data) = packer.pack(&UnpackedBody {
                bytes: bytes.as_bytes(),
                compression: StorageCompression::Auto,
                encoding: None,
                content_type: Some("application/json"),
                endpoint: ENDPOINT,
                half: Half::Request,
            });
            let mut entry = entry(number % users, bytes.len(), codec, data);
            change(&mut entry);
            entries.push(entry);
        }
        let batch = NewBatch {
            id: BatchId(Uuid::now_v7()),
            entries,
            gaps: Vec::new(),
            rejected: Vec::new(),
        };
        self.store
            .store_batch(&batch, NOW, std::time::Duration::from_secs(30))
            .await
    }

    /// The endpoints whose dictionaries are due for training.
    async fn targets(&self, now: OffsetDateTime) -> Vec<String> {
        let targets = self.store.training_targets(now).await.unwrap();
        let endpoints = targets.into_iter().map(|it| it.endpoint);
        let mut endpoints: Vec<_> = endpoints.collect();
        endpoints.sort();
        endpoints
    }

    async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.owner)
            .await
            .unwrap()
    }

    /// All bodies of a user, decompressed.
    async fn bodies_of(&self, store: &Store, user: usize) -> Vec<String> {
        let request = PageRequest {
            scope: Scope::User(name(user)),
            filter: EntryFilter::default(),
            order: Order::Ascending,
            start: PageStart::Offset(0),
            limit: 100,
            parts: EntryParts::ALL,
            known_total: None,
        };
        let page = store.find_entries(&request, NOW).await.unwrap();
        let body = |body: dossier_collector::model::entry::StoredBody| {
            String::from_utf8(unpack(body.codec, body.data).unwrap()).unwrap()
        };
        page.entries
            .into_iter()
            .map(|it| body(it.body.unwrap()))
            .collect()
    }

    async fn stop(self) {
        self.store.close().await;
        self.owner.close().await;
        self.postgres.stop().await;
        drop(self.folder);
    }
}

fn name(user: usize) -> UserId {
    UserId::new(format!("user-{user}")).unwrap()
}

/// Content that only one user's bodies have.
fn secret(user: usize) -> String {
    format!(
        "{:016x}",
        (user as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}

fn body(user: usize, number: usize) -> String {
    format!(
        r#"{{"object":"order","status":"shipped to the customer","currency":"EUR","number":{},"owner":"{}"}}"#,
        number * 7919 % 10_000,
        secret(user)
    )
}

fn entry(user: usize, size: usize, codec: Codec, data: Cow<'_, [u8]>) -> NewEntry<'_> {
    NewEntry {
        position: 0,
        user: name(user),
        exchange: ExchangeId(Uuid::now_v7()),
        half: Half::Request,
        endpoint: Cow::Borrowed(ENDPOINT),
        method: Cow::Borrowed("POST"),
        path: Cow::Borrowed(ENDPOINT),
        query: None,
        host: None,
        route: None,
        status: Some(200),
        metadata: Map::new(),
        session: None,
        expires: Expiry::At(NOW + Duration::days(10)),
        created_at: NOW,
        started_at: NOW,
        ended_at: NOW,
        body_size: i64::try_from(size).unwrap(),
        body: NewBody::Stored(PackedBody {
            codec,
            data,
            sha256: [7; 32],
            expires_early: None,
        }),
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

const fn unchanged(_: &mut NewEntry<'_>) {}

/// The body expires before its entry.
fn early(entry: &mut NewEntry<'_>) {
    if let NewBody::Stored(body) = &mut entry.body {
        body.expires_early = Some(NOW + Duration::days(5));
    }
}

const IN_USE: &str = "select count(*) from dictionaries where retired_at is null";
const ALL: &str = "select count(*) from dictionaries";
const PACKED_WITH_IT: &str = "select (select count(*) from entries where body_codec = 'dictionary')
                              + (select count(*) from bodies where codec = 'dictionary')";

#[tokio::test]
async fn shared_content_is_compressed_and_restored() {
    let fixture = Fixture::start().await;
    fixture.fill(20, 300, unchanged).await;
    train(&fixture.store, NOW).await.unwrap();
    assert_eq!(fixture.number(IN_USE).await, 1);
    fixture.fill(20, 40, unchanged).await;
    fixture.fill(20, 20, early).await;
    assert_eq!(fixture.number(PACKED_WITH_IT).await, 60);
    assert_eq!(
        fixture.number("select count(*) from entries where stored_size * 2 > body_size and dictionary_id is not null").await,
        0
    );

    // A collector that has just started loads what it needs.
    let other = Store::new(fixture.postgres.options(), 4);
    for store in [&fixture.store, &other] {
        let bodies = fixture.bodies_of(store, 3).await;
        assert_eq!(bodies.len(), 18);
        for body in bodies {
            assert!(
                body.contains(&secret(3)) && body.starts_with("{\"object\":"),
                "{body}"
            );
        }
    }
    other.close().await;

    // It holds what is shared, and nothing of one user's own.
    let data: Vec<u8> = sqlx::query_scalar("select data from dictionaries")
        .fetch_one(&fixture.owner)
        .await
        .unwrap();
    let holds = |part: &[u8]| data.windows(part.len()).any(|window| window == part);
    assert!(holds(b"shipped to the customer"));
    for user in 0..20 {
        let secret = secret(user);
        assert!(
            secret.as_bytes().windows(8).all(|piece| !holds(piece)),
            "user {user}"
        );
    }

    // Readers' roles do not get at it.
    for role in ["dossier_read_own", "dossier_read_all"] {
        let query = sqlx::AssertSqlSafe(format!("set role {role}; select data from dictionaries"));
        let mut connection = fixture.owner.acquire().await.unwrap();
        let refused = sqlx::raw_sql(query)
            .execute(&mut *connection)
            .await
            .unwrap_err();
        let code = refused
            .into_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned();
        assert_eq!(code, "42501");
        drop(connection.detach());
    }
    fixture.stop().await;
}

#[tokio::test]
async fn few_users_or_bodies_train_no_dictionary() {
    let fixture = Fixture::start().await;
    fixture.fill(MIN_USERS - 1, 300, unchanged).await;
    train(&fixture.store, NOW).await.unwrap();
    assert_eq!(fixture.number(ALL).await, 0);
    fixture.stop().await;
}

#[tokio::test]
async fn old_dictionary_is_replaced_then_deleted() {
    let fixture = Fixture::start().await;
    fixture.fill(20, 300, unchanged).await;
    train(&fixture.store, NOW).await.unwrap();
    train(&fixture.store, NOW + Duration::hours(2))
        .await
        .unwrap();
    assert_eq!(
        (fixture.number(IN_USE).await, fixture.number(ALL).await),
        (1, 1)
    );

    // Bodies of ten days, of which the last are stored now.
    fixture.fill(20, 20, unchanged).await;
    let retired = NOW + Duration::days(31);
    fixture.store.refresh_dictionaries(retired).await.unwrap();
    assert_eq!(
        (fixture.number(IN_USE).await, fixture.number(ALL).await),
        (0, 1)
    );
    // Other collectors may use it for a while yet.
    fixture
        .store
        .refresh_dictionaries(retired + Duration::hours(23))
        .await
        .unwrap();
    assert_eq!(fixture.number(ALL).await, 1);
    fixture
        .store
        .refresh_dictionaries(retired + Duration::hours(25))
        .await
        .unwrap();
    assert_eq!(fixture.number(ALL).await, 0);
    fixture.stop().await;
}

#[tokio::test]
async fn dictionary_in_use_is_kept() {
    let fixture = Fixture::start().await;
    fixture.fill(20, 300, unchanged).await;
    train(&fixture.store, NOW).await.unwrap();
    let packed_with_it: Vec<_> = (0..20).map(|number| body(number, number)).collect();
    let keep: fn(&mut NewEntry<'_>) = |entry| entry.expires = Expiry::At(NOW + Duration::days(100));
    fixture
        .store_bodies(&packed_with_it, 20, keep)
        .await
        .unwrap();
    for days in [31, 33, 99] {
        let now = NOW + Duration::days(days);
        fixture.store.refresh_dictionaries(now).await.unwrap();
        assert_eq!(fixture.number(ALL).await, 1, "after {days} days");
    }

    let stale = Store::new(fixture.postgres.options(), 4);
    train(&fixture.store, NOW).await.unwrap();
    stale.refresh_dictionaries(NOW).await.unwrap();
    let with_stale = Fixture {
        store: stale,
        owner: fixture.owner.clone(),
        postgres: fixture.postgres,
        folder: fixture.folder,
    };
    sqlx::query("delete from dictionaries")
        .execute(&with_stale.owner)
        .await
        .unwrap();
    let forever: fn(&mut NewEntry<'_>) = |entry| entry.expires = Expiry::Never;
    let refused = with_stale.store_bodies(&packed_with_it, 20, forever).await;
    assert!(
        matches!(refused, Err(StoreError::DictionaryDeleted)),
        "{refused:?}"
    );
    // Sent again, it is packed without.
    let again = with_stale.store_bodies(&packed_with_it, 20, forever).await;
    assert_eq!(again.unwrap(), InsertOutcome::Inserted);
    fixture.store.close().await;
    with_stale.stop().await;
}

/// As `compress: false` stores them.
#[tokio::test]
async fn incompressible_bodies_are_not_training_samples() {
    let fixture = Fixture::start().await;
    let as_it_came: fn(&mut NewEntry<'_>) = |entry| {
        if let NewBody::Stored(body) = &mut entry.body {
            body.codec = Codec::Identity;
            body.data = Cow::Owned("shipped to the customer ".repeat(20).into_bytes());
        }
    };
    fixture.fill(20, 300, as_it_came).await;
    train(&fixture.store, NOW).await.unwrap();
    assert_eq!(fixture.number(ALL).await, 0);
    fixture.stop().await;
}

#[tokio::test]
async fn long_bodies_train_no_dictionary() {
    let fixture = Fixture::start().await;
    let long: fn(&mut NewEntry<'_>) = |entry| {
        if let NewBody::Stored(body) = &mut entry.body {
            body.codec = Codec::Identity;
            body.data = Cow::Owned(vec![b'x'; 8 * 1024 + 1]);
        }
    };
    fixture.fill(20, 300, long).await;
    assert_eq!(fixture.targets(NOW).await, Vec::<String>::new());
    fixture.stop().await;
}

#[tokio::test]
async fn dictionaries_in_use_are_bounded_but_renewable() {
    let fixture = Fixture::start().await;
    fixture.fill(20, 300, unchanged).await;
    train(&fixture.store, NOW).await.unwrap();
    let copy = "insert into dictionaries (endpoint, half, created_at, needed_until, ratio, checked_at, data)
                select '/api/other/' || n, half, created_at, needed_until, ratio, checked_at, data
                from dictionaries, generate_series(1, 23) n";
    sqlx::query(copy).execute(&fixture.owner).await.unwrap();
    let new: fn(&mut NewEntry<'_>) = |entry| entry.endpoint = Cow::Borrowed("/api/new");
    fixture.fill(20, 300, new).await;
    let later = NOW + Duration::hours(2);
    assert_eq!(fixture.targets(later).await, [ENDPOINT]);

    sqlx::query("update dictionaries set retired_at = created_at where endpoint = '/api/other/7'")
        .execute(&fixture.owner)
        .await
        .unwrap();
    assert_eq!(fixture.targets(later).await, ["/api/new", ENDPOINT]);
    fixture.stop().await;
}

#[tokio::test]
async fn one_collector_trains_at_a_time() {
    let fixture = Fixture::start().await;
    fixture.fill(20, 300, unchanged).await;
    let lock = fixture.store.lock_training().await.unwrap().unwrap();
    train(&fixture.store, NOW).await.unwrap();
    assert_eq!(fixture.number(ALL).await, 0);
    lock.release().await.unwrap();
    train(&fixture.store, NOW).await.unwrap();
    assert_eq!(fixture.number(ALL).await, 1);
    fixture.stop().await;
}

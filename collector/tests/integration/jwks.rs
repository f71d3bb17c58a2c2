//! The keys of token signers against a whole collector: its HTTP, a private Postgres, and a provider
//! that publishes keys over HTTP, withdraws them and goes away. The clock is the test's.

#[path = "../../src/auth/signer.rs"]
mod signer;

use std::future::{Ready, ready};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use dossier_collector::model::clock::Clock;
use dossier_collector::model::retention::RetentionPeriods;
use dossier_collector::postgres::PrivatePostgres;
use dossier_collector::server;
use dossier_collector::settings::access::{AccessSettings, JwtKeys, JwtSettings};
use dossier_collector::settings::clients::ClientSettings;
use dossier_collector::settings::retention::RetentionSettings;
use dossier_collector::settings::{ReloadSettings, ServiceSettings};
use dossier_collector::store::Store;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::signer::{Signer, published};

const SECONDS: Duration = Duration::from_secs(1);
const MINUTES: Duration = Duration::from_mins(1);
/// In 2100.
const LATE: i64 = 4_102_444_800;
const BEGIN: i64 = 1_780_000_000;

static NOW: AtomicI64 = AtomicI64::new(BEGIN);

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW.load(Ordering::Relaxed)).unwrap()
}

fn pass(time: Duration) {
    let seconds = i64::try_from(time.as_secs()).unwrap();
    NOW.fetch_add(seconds, Ordering::Relaxed);
}

/// Publishes a set of keys, or nothing while it is away.
#[derive(Clone, Default)]
struct Provider {
    document: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start() -> (Self, String) {
        let provider = Self::default();
        let router = Router::new()
            .route("/keys", get(Self::answer))
            .with_state(provider.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (provider, url)
    }

    fn answer(State(provider): State<Self>) -> Ready<Result<String, StatusCode>> {
        provider.asked.fetch_add(1, Ordering::Relaxed);
        let document = provider.document.lock().unwrap().clone();
        ready(document.ok_or(StatusCode::SERVICE_UNAVAILABLE))
    }

    fn publish(&self, signers: &[&Signer]) {
        *self.document.lock().unwrap() = Some(published(signers));
    }

    fn leave(&self) {
        *self.document.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

struct Collector {
    url: String,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
    postgres: PrivatePostgres,
    _folder: TempDir,
}

impl Collector {
    async fn start(keys: JwtKeys) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, Postgres runs as another user, who must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
        let store = Store::new(postgres.options(), 4);
        store.migrate().await.unwrap();
        let access = AccessSettings {
            jwt: Some(JwtSettings {
                keys,
                role_claim: "role".to_owned(),
                audience: Vec::new(),
                issuer: None,
            }),
            rate: None,
            certificate_for_batches: false,
        };
        let clients = ClientSettings {
            max_clients: 1024,
            client_timeout: MINUTES,
            request_timeout: MINUTES,
        };
        let retention = RetentionSettings {
            keep: RetentionPeriods {
                ledger: time::Duration::WEEK,
                audit: None,
            },
            interval: MINUTES,
        };
        let settings = ServiceSettings {
            access,
            clients,
            retention,
            reload: ReloadSettings {
                interval: MINUTES,
                database: None,
            },
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/storage/query", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let clock = Clock::new(now);
        let server = tokio::spawn(server::serve(
            store, None, clock, settings, None, listener, stopped,
        ));
        Self {
            url,
            http: reqwest::Client::new(),
            stop,
            server,
            postgres,
            _folder: folder,
        }
    }

    /// What a query with a token of this signer's is answered.
    async fn ask(&self, signer: &Signer) -> (u16, String) {
        let token = signer.token(&json!({"sub": "alice", "exp": LATE}));
        let asked = self.http.post(&self.url).bearer_auth(token);
        let answer = asked.json(&json!({})).send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        let code = answer["error"]["code"].as_str();
        (status, code.unwrap_or_default().to_owned())
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        drop(self.http);
        self.server.await.unwrap().unwrap();
        self.postgres.stop().await;
    }
}

fn good() -> (u16, String) {
    (200, String::new())
}

fn refused() -> (u16, String) {
    (401, "AUTH_INVALID_TOKEN".to_owned())
}

fn nobody_can_tell() -> (u16, String) {
    (503, "AUTH_KEYS_UNAVAILABLE".to_owned())
}

/// One test, since there is one clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_over_http() {
    let (provider, url) = Provider::start().await;
    let (old, new) = (Signer::ec("old"), Signer::rsa("new"));
    let collector = Collector::start(JwtKeys::Url(url.parse().unwrap())).await;
    provider.publish(&[&old]);
    assert_eq!(collector.ask(&old).await, good());
    assert_eq!(collector.ask(&new).await, refused());
    assert_eq!(provider.asked(), 1, "asked a moment ago");

    // The keys rotate. A token with the new one has the set read again.
    provider.publish(&[&new]);
    pass(29 * SECONDS);
    assert_eq!(collector.ask(&new).await, refused());
    pass(SECONDS);
    assert_eq!(collector.ask(&new).await, good());
    assert_eq!(collector.ask(&old).await, refused(), "it is withdrawn");
    assert_eq!(provider.asked(), 2);

    // A storm of tokens with keys that nobody has.
    for _ in 0..3 {
        let strangers: Vec<_> = ["a", "b", "c", "d"].map(Signer::ec).into();
        let asked = (0..100).map(|n| collector.ask(&strangers[n % 4]));
        for answer in join_all(asked).await {
            assert_eq!(answer, refused());
        }
    }
    assert_eq!(provider.asked(), 2, "not asked within half a minute");
    pass(30 * SECONDS);
    let stranger = Signer::ec("stranger");
    let asked = (0..100).map(|_| collector.ask(&stranger));
    assert!(join_all(asked).await.iter().all(|it| *it == refused()));
    assert_eq!(provider.asked(), 3, "asked once for all of them");
    forged(&collector, &new).await;

    // A key that is withdrawn while nothing unknown comes is refused within five minutes.
    let other = Signer::ec("other");
    provider.publish(&[&other]);
    pass(4 * MINUTES + 59 * SECONDS);
    assert_eq!(collector.ask(&new).await, good(), "still fresh");
    pass(SECONDS);
    assert_eq!(collector.ask(&new).await, refused());
    assert_eq!(collector.ask(&other).await, good());

    // The provider is away: the last keys hold for an hour and no longer.
    provider.leave();
    pass(59 * MINUTES);
    assert_eq!(collector.ask(&other).await, good());
    assert_eq!(collector.ask(&new).await, refused());
    pass(MINUTES);
    assert_eq!(collector.ask(&other).await, nobody_can_tell());
    provider.publish(&[&other]);
    pass(30 * SECONDS);
    assert_eq!(collector.ask(&other).await, good());
    collector.stop().await;
}

/// Nobody can sign with what is published.
async fn forged(collector: &Collector, published: &Signer) {
    let with_public_key = Signer::secret(&published.public().to_string());
    assert_eq!(collector.ask(&with_public_key).await, refused());
    let same_name = Signer::rsa(published.id);
    assert_eq!(collector.ask(&same_name).await, refused());
}

//! Who is let in: keys from the command line, tokens of an identity provider, and how often.

use std::time::Duration;

use dossier_tests::clock::minutes_ago;
use dossier_tests::collector::CommandOutput;
use dossier_tests::identity_provider::ALICE_TOKEN;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use dossier_tests::wait;
use futures_util::future::join_all;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{TIMEOUT, store};

/// The key that has signed [`ALICE_TOKEN`].
const SECRET: &str = "the tests' own key, known to all";
/// In 2100.
const LATE: i64 = 4_102_444_800;

async fn start(environment: &[(&str, &str)]) -> TestBackend {
    TestBackend::start_with_env(environment).await.unwrap()
}

async fn dossier(backend: &TestBackend, arguments: &[&str]) -> CommandOutput {
    backend.collector.run(arguments).await.unwrap()
}

/// What a query of everything is answered with this key or token.
async fn verdict(backend: &TestBackend, key: &str) -> (u16, String) {
    let answer = backend.client.query(key, &json!({})).await.unwrap();
    (answer.status, answer.error_code().to_owned())
}

fn refused() -> (u16, String) {
    (401, "AUTH_INVALID_TOKEN".to_owned())
}

fn token(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), claims, &key).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_key_fails_at_once() {
    let backend = TestBackend::start().await.unwrap();
    let people = &backend.keys.users;
    let second = backend.collector.create_key("alice", "readonly", "").await;
    let second = second.unwrap();
    for key in [&people.alice, &second, &people.bob] {
        assert_eq!(verdict(&backend, key).await.0, 200);
    }
    let output = dossier(&backend, &["keys", "revoke", "--user", "alice"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout.matches("is revoked").count(), 2, "{output:?}");
    for key in [&people.alice, &second] {
        assert_eq!(verdict(&backend, key).await, refused());
    }
    assert_eq!(verdict(&backend, &people.bob).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_revokes_keys_by_id() {
    let backend = TestBackend::start().await.unwrap();
    let people = &backend.keys.users;
    assert_eq!(verdict(&backend, &people.alice).await.0, 200);
    let line = wait::until("the use to be noted", TIMEOUT, async || {
        let output = dossier(&backend, &["keys", "list", "--user", "alice"]).await;
        let lines: Vec<_> = output.stdout.lines().map(str::to_owned).collect();
        match lines.as_slice() {
            // It was made just now and never expires; so the one "never" is about that.
            [_, key] if key.matches("never").count() == 1 => Ok(key.clone()),
            _ => Err(output.stdout),
        }
    });
    let line = line.await.unwrap();
    assert!(
        line.contains("alice") && line.contains("user") && line.contains("valid"),
        "{line}"
    );
    let all = dossier(&backend, &["keys", "list"]).await.stdout;
    for key in [
        &people.alice,
        &people.bob,
        &people.admin,
        &backend.keys.ingest,
    ] {
        assert!(!all.contains(key.as_str()), "a key is shown only once");
    }
    assert_eq!(all.lines().count(), 5, "{all}");

    let id = line.split(' ').next().unwrap();
    let output = dossier(&backend, &["keys", "revoke", id]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(verdict(&backend, &people.alice).await, refused());
    let listed = dossier(&backend, &["keys", "list", "--user", "alice"]).await;
    assert!(listed.stdout.contains("revoked"), "{listed:?}");

    for arguments in [
        ["keys", "revoke", "00000000-0000-0000-0000-000000000000"].as_slice(),
        &["keys", "revoke", "--user", "nobody"],
        &["keys", "revoke"],
        &["keys", "revoke", "--user", "alice", id],
    ] {
        let output = dossier(&backend, arguments).await;
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_request_is_no_authentication_failure() {
    let backend = TestBackend::start().await.unwrap();
    let (client, keys) = (&backend.client, &backend.keys);
    let wrong = json!({"page": 0, "nonsense": 1});
    for (key, status, code) in [
        (Some(&keys.users.alice), 422, "VAL_CONSTRAINT_VIOLATION"),
        (Some(&keys.ingest), 403, "AUTH_INSUFFICIENT_PERMISSIONS"),
        (None, 401, "AUTH_MISSING_TOKEN"),
    ] {
        let answer = client
            .post("/storage/query", key.map(String::as_str), &wrong)
            .await
            .unwrap();
        assert_eq!((answer.status, answer.error_code()), (status, code));
    }
    let large = json!({"endpoint": "x".repeat(1024 * 1024)});
    let answer = client.query(&keys.users.alice, &large).await.unwrap();
    assert_eq!(
        (answer.status, answer.error_code()),
        (413, "PAYLOAD_TOO_LARGE")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_grants_access_of_its_role() {
    let backend = start(&[
        ("DOSSIER_JWT_SECRET", SECRET),
        ("DOSSIER_JWT_ISSUER", "https://identity.example.com"),
        ("DOSSIER_JWT_AUDIENCE", "example-api,another"),
        ("DOSSIER_JWT_ROLE_CLAIM", "dossier_role"),
    ])
    .await;
    let of = |user| Sample::request(user, "/api/x", minutes_ago(1), "{}");
    store(&backend, &[of("alice"), of("alice"), of("bob")]).await;
    let count = async |token: &str| backend.client.count(token, &json!({})).await.unwrap();
    assert_eq!(count(ALICE_TOKEN).await, 2);

    let claims = |user: &str, role: &str, expires: i64| {
        json!({"sub": user, "dossier_role": role, "exp": expires,
               "iss": "https://identity.example.com", "aud": ["another"]})
    };
    assert_eq!(
        count(&token(SECRET, &claims("bob", "readonly", LATE))).await,
        1
    );
    assert_eq!(
        count(&token(SECRET, &claims("root", "admin", LATE))).await,
        3
    );
    assert_eq!(
        count(&token(SECRET, &claims("carol", "user", LATE))).await,
        0
    );
    let ingest = verdict(&backend, &token(SECRET, &claims("proxy", "ingest", LATE))).await;
    assert_eq!(ingest.0, 403);
    let mut elsewhere = claims("bob", "user", LATE);
    elsewhere["aud"] = json!("elsewhere");
    for wrong in [
        token(SECRET, &claims("bob", "user", 1)),
        token(SECRET, &claims("bob", "root", LATE)),
        token(SECRET, &elsewhere),
        token(
            "some other key, of somebody else",
            &claims("bob", "user", LATE),
        ),
    ] {
        assert_eq!(verdict(&backend, &wrong).await, refused());
    }
    assert_eq!(
        count(&backend.keys.users.bob).await,
        1,
        "keys work beside tokens"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_token_without_configured_keys() {
    let backend = TestBackend::start().await.unwrap();
    assert_eq!(verdict(&backend, ALICE_TOKEN).await, refused());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limit_affects_one_caller_only() {
    let backend = start(&[
        ("DOSSIER_RATE_LIMIT", "1"),
        ("DOSSIER_RATE_LIMIT_BURST", "3"),
    ])
    .await;
    let (client, people) = (&backend.client, &backend.keys.users);
    let filters = json!({});
    let asked = join_all((0..30).map(|_| client.query(&people.alice, &filters))).await;
    let asked: Vec<_> = asked.into_iter().map(Result::unwrap).collect();
    assert!(asked.iter().filter(|answer| answer.status == 200).count() >= 3);
    let limited: Vec<_> = asked.iter().filter(|answer| answer.status == 429).collect();
    assert!(!limited.is_empty());
    for answer in limited {
        assert_eq!(answer.error_code(), "RATE_LIMITED");
        assert_eq!(answer.retry_after.as_deref(), Some("1"));
    }
    assert_eq!(verdict(&backend, &people.bob).await.0, 200);
    let again = wait::until("alice to be answered again", TIMEOUT, async || {
        let answer = client.query(&people.alice, &filters).await;
        match answer.map_err(|error| error.to_string())?.status {
            200 => Ok(()),
            status => Err(format!("{status}")),
        }
    });
    again.await.unwrap();
    // Batches are not counted.
    for _ in 0..10 {
        let sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
        store(&backend, &[sample]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_repeats_request_id() {
    let backend = TestBackend::start().await.unwrap();
    let url = format!("http://{}/storage/query", backend.collector.address);
    let http = reqwest::Client::new();
    for (id, taken) in [("audit-7", true), ("not a sane one", false)] {
        let asked = http.post(&url).header("x-request-id", id).json(&json!({}));
        let answer = asked.timeout(Duration::from_secs(30)).send().await.unwrap();
        let echoed = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let json: Value = answer.json().await.unwrap();
        assert_eq!(json["metadata"]["request_id"], json!(echoed));
        assert_eq!(echoed == id, taken);
    }
}

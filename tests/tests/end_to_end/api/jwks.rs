//! Keys of token signers that rotate while the collector runs: behind a URL and in a file.
//!
//! The times within which that happens are tested in the collector's `tests/integration/jwks.rs`, where the clock is
//! the test's. Here the program itself, as it is started.

#[path = "../../../../collector/src/auth/signer.rs"]
#[allow(dead_code, reason = "some of it is for the collector's own tests")]
mod signer;

use std::path::Path;

use dossier_tests::identity_provider::KeyServer;
use dossier_tests::testing::TestBackend;
use dossier_tests::wait;
use futures_util::future::join_all;
use serde_json::json;

use self::signer::{Signer, published};
use crate::support::TIMEOUT;

/// In 2100.
const LATE: i64 = 4_102_444_800;

async fn start(setting: &str, value: String) -> TestBackend {
    // The storm below is not what is limited here.
    let environment = [(setting, value.as_str()), ("DOSSIER_RATE_LIMIT", "0")];
    TestBackend::start_with_env(&environment).await.unwrap()
}

async fn status(backend: &TestBackend, signer: &Signer) -> u16 {
    let token = signer.token(&json!({"sub": "alice", "exp": LATE}));
    let answer = backend.client.query(&token, &json!({})).await.unwrap();
    answer.status
}

/// The set may have been read a moment ago, and is read again half a minute later.
async fn wait_until_accepted(backend: &TestBackend, signer: &Signer) {
    let accepted = wait::until(
        "the new key to be accepted",
        TIMEOUT,
        async || match status(backend, signer).await {
            200 => Ok(()),
            status => Err(format!("{status}")),
        },
    );
    accepted.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_from_url_rotate() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let server = KeyServer::start(published(&[&old])).await.unwrap();
    let backend = start("DOSSIER_JWT_JWKS_URL", server.url()).await;
    assert_eq!(status(&backend, &old).await, 200);
    assert_eq!(server.request_count(), 1);

    server.publish(published(&[&new]));
    let unknown = Signer::ec("unknown");
    let storm = join_all((0..200).map(|_| status(&backend, &unknown))).await;
    assert_eq!(storm, [401; 200]);
    // More than twice cannot be unless more than half a minute has passed.
    assert!(
        server.request_count() <= 2,
        "asked {} times",
        server.request_count()
    );

    wait_until_accepted(&backend, &new).await;
    assert_eq!(status(&backend, &old).await, 401, "the old one is refused");
    server.stop().await;
    assert_eq!(status(&backend, &new).await, 200, "kept while it is away");
    assert_eq!(status(&backend, &old).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_from_file_rotate() {
    let (old, new) = (Signer::ec("old"), Signer::rsa("new"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    publish(&path, &old);
    let backend = start("DOSSIER_JWT_JWKS_FILE", path.display().to_string()).await;
    assert_eq!(status(&backend, &old).await, 200);

    publish(&path, &new);
    wait_until_accepted(&backend, &new).await;
    assert_eq!(status(&backend, &old).await, 401, "the old one is refused");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(status(&backend, &new).await, 200, "kept while it is away");
}

/// By a rename, as a mounted secret changes.
fn publish(path: &Path, signer: &Signer) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, published(&[signer])).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}

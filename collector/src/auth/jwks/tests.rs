//! Keys that are added, withdrawn, and temporarily unavailable.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use futures_util::future::join_all;
use tempfile::TempDir;
use time::macros::datetime;
use tokio::net::TcpListener;

use super::*;
use crate::auth::signer::{Signer, published};

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

fn in_file(signers: &[&Signer]) -> (Jwks, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), signers);
    let jwks = Jwks::new(Source::File(folder.path().join("keys.json")));
    (jwks, folder)
}

fn publish(folder: &Path, signers: &[&Signer]) {
    std::fs::write(folder.join("keys.json"), published(signers)).unwrap();
}

async fn has(jwks: &Jwks, signer: &Signer, now: OffsetDateTime) -> bool {
    match jwks.key(Some(signer.id), Algorithm::ES256, now).await {
        Ok(_) => true,
        Err(AuthError::InvalidToken(TokenError::Signature)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn finds_new_key_after_min_read_interval() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let (jwks, folder) = in_file(&[&old]);
    assert!(has(&jwks, &old, NOW).await);
    publish(folder.path(), &[&old, &new]);
    assert!(!has(&jwks, &new, NOW + Duration::seconds(29)).await);
    assert!(has(&jwks, &new, NOW + Duration::seconds(30)).await);
    assert!(has(&jwks, &old, NOW + Duration::seconds(30)).await);
}

#[tokio::test]
async fn rejects_withdrawn_key_after_refresh() {
    let (withdrawn, other) = (Signer::ec("withdrawn"), Signer::ec("other"));
    let (jwks, folder) = in_file(&[&withdrawn, &other]);
    assert!(has(&jwks, &withdrawn, NOW).await);
    publish(folder.path(), &[&other]);
    let stale = NOW + REFRESH_AFTER;
    assert!(has(&jwks, &withdrawn, stale - Duration::seconds(1)).await);
    assert!(!has(&jwks, &withdrawn, stale).await);
    assert!(has(&jwks, &other, stale).await);
}

#[tokio::test]
async fn trusts_keys_for_max_age_without_source() {
    let signer = Signer::ec("a");
    let (jwks, folder) = in_file(&[&signer]);
    assert!(has(&jwks, &signer, NOW).await);
    std::fs::remove_file(folder.path().join("keys.json")).unwrap();
    let end = NOW + MAX_AGE;
    assert!(has(&jwks, &signer, end - Duration::seconds(60)).await);
    let late = jwks.key(Some("a"), Algorithm::ES256, end).await;
    assert!(matches!(late, Err(AuthError::JwksUnavailable)));
    publish(folder.path(), &[&signer]);
    assert!(has(&jwks, &signer, end + MIN_READ_INTERVAL).await);
}

#[tokio::test]
async fn without_keys_reports_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = Jwks::new(Source::File(folder.path().join("none")));
    let key = jwks.key(Some("a"), Algorithm::ES256, NOW).await;
    assert!(matches!(key, Err(AuthError::JwksUnavailable)));
}

#[tokio::test]
async fn concurrent_tokens_read_source_once() {
    static READS: AtomicUsize = AtomicUsize::new(0);
    let signer = Signer::ec("a");
    let document = published(&[&signer]);
    let answer = move || async move {
        READS.fetch_add(1, Ordering::Relaxed);
        document
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let jwks = Jwks::new(Source::Url(url.parse().unwrap()));
    let found = join_all((0..50).map(|_| has(&jwks, &signer, NOW))).await;
    assert_eq!(found, [true; 50]);
    let unknown = Signer::ec("unknown");
    let found = join_all((0..50).map(|_| has(&jwks, &unknown, NOW))).await;
    assert_eq!(found, [false; 50]);
    assert_eq!(READS.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn refreshes_keys_after_clock_set_back() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let (jwks, folder) = in_file(&[&old]);
    assert!(has(&jwks, &old, NOW).await);
    publish(folder.path(), &[&new]);
    assert!(!has(&jwks, &old, NOW - Duration::hours(1)).await);
}

#[tokio::test]
async fn reload_replaces_keys_only_if_file_valid() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let (jwks, folder) = in_file(&[&old]);
    assert!(has(&jwks, &old, NOW).await);
    std::fs::write(folder.path().join("keys.json"), "{}").unwrap();
    jwks.reload_file(NOW).unwrap_err();
    assert!(has(&jwks, &old, NOW).await);
    publish(folder.path(), &[&new]);
    jwks.reload_file(NOW).unwrap();
    assert!(has(&jwks, &new, NOW).await);
    assert!(!has(&jwks, &old, NOW).await);
}

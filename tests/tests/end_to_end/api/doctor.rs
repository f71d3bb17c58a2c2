//! `dossier doctor` beside a collector that runs, and where there is nothing.

use std::num::NonZeroU32;

use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;

use crate::support::store;

/// The word before each thing that was looked at.
fn verdicts(output: &str) -> Vec<(&str, &str)> {
    output
        .lines()
        .filter_map(|line| line.split_once(':')?.0.split_once("  "))
        .map(|(word, what)| (word, what.trim()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_collector_passes() {
    let backend = TestBackend::start().await.unwrap();
    let output = backend.collector.run(&["doctor"]).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let all = [
        "data folder",
        "database",
        "clock",
        "migrations",
        "partitions",
        "isolation",
        "spool",
    ];
    assert_eq!(
        verdicts(&output.stdout),
        all.map(|what| ("ok", what)),
        "{}",
        output.stdout
    );

    let mut sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
    sample.record.ttl_days = NonZeroU32::new(30);
    store(&backend, &[sample]).await;
    let output = backend.collector.run(&["doctor"]).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        verdicts(&output.stdout).contains(&("ok", "partitions")),
        "{}",
        output.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_missing_parts_without_creating_them() {
    let backend = TestBackend::start().await.unwrap();
    let nowhere = backend.folder().join("nowhere");
    let arguments = ["doctor", "--data-dir", nowhere.to_str().unwrap()];
    let output = backend.collector.run(&arguments).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        verdicts(&output.stdout),
        [
            ("fail", "data folder"),
            ("fail", "database"),
            ("warn", "spool")
        ]
    );
    assert!(!nowhere.exists());

    let url = "postgres://dossier:hunter2@127.0.0.1:1/dossier";
    let output = backend
        .collector
        .run(&["doctor", "--database-url", url])
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        verdicts(&output.stdout),
        [("fail", "database"), ("ok", "spool")]
    );
    assert!(output.stdout.contains("refused"), "{}", output.stdout);
    assert!(!output.stdout.contains("hunter2") && !output.stderr.contains("hunter2"));
}

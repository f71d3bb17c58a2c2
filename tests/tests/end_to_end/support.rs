//! Helpers that several tests share.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_tests::envoy::Envoy;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::stack::{Backend, Stack};
use dossier_tests::{HarnessError, wait};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

/// The memory limit of a collector under any load.
pub const MAX_MEMORY: u64 = 150 << 20;

/// Long enough for a loaded machine.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// Waits until the filter has recorded exactly so many halves and all of them are acknowledged.
pub async fn wait_for_records(envoy: &Envoy, records: u64) {
    let waited = wait::until("the filter to record all it should", TIMEOUT, async || {
        let recorded = envoy.stat("dossier.records_captured").await;
        let recorded = recorded.map_err(|error| error.to_string())?;
        if recorded >= records {
            Ok(())
        } else {
            Err(format!("{recorded} of {records}"))
        }
    });
    waited.await.unwrap();
    envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    let recorded = envoy.stat("dossier.records_captured").await.unwrap();
    assert_eq!(recorded, records, "more was recorded than should be");
}

/// Stores samples in one batch.
pub async fn store(backend: &Backend, samples: &[Sample]) {
    let key = Some(backend.keys.ingest.as_str());
    let answer = backend
        .client
        .ingest(key, Uuid::now_v7(), encode_batch(samples).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert_eq!(answer.json["data"]["rejected"], 0, "{}", answer.json);
}

/// A connection to the collector's private Postgres, as its owner.
pub async fn owner(backend: &Backend) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(backend.collector.data().join("postgres/socket"))
        .username("dossier")
        .database("dossier");
    PgConnection::connect_with(&options).await.unwrap()
}

/// Lets the harness's connections go. One that was idle for as long as the collector keeps it may be closed
/// just when the next request is sent on it.
pub fn reconnect(backend: &mut Backend) {
    backend.client = backend.collector.client().unwrap();
}

/// The sum of a counter over its labels.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters count whole things"
)]
pub async fn metric(backend: &Backend, name: &str) -> Result<u64, HarnessError> {
    let metrics = backend.client.metrics().await?;
    let is_meant = |series: &str| series.split('{').next() == Some(name);
    let samples = metrics.iter().filter(|(series, _)| is_meant(series));
    Ok(samples.map(|(_, value)| *value as u64).sum())
}

/// A text field of an entry.
pub fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text {field} in {entry}"))
}

/// What the filter says when it ends too early, between the words before and after the number.
pub const UNSENT: &str = "dossier: the VM ends with ";

/// The records that the filter says it held when it ended, of all VMs.
pub fn unsent_records(log: &str) -> usize {
    let numbers = log.split(UNSENT).skip(1);
    numbers
        .map(|rest| rest.split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

/// Checks that both halves of all but so many exchanges of alice's are there, and none twice.
pub async fn expect_stored(stack: &Stack, answered: &[String], lost_at_most: usize) {
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let entries = client.query_all(alice, &json!({})).await.unwrap();
    let halves: BTreeSet<_> = entries
        .iter()
        .map(|entry| (text(entry, "path"), text(entry, "type")))
        .collect();
    assert_eq!(halves.len(), entries.len(), "each half once");
    let missing = answered
        .iter()
        .flat_map(|path| [(path.as_str(), "request"), (path.as_str(), "response")])
        .filter(|half| !halves.contains(half))
        .count();
    let sent = 2 * answered.len();
    assert!(
        missing <= lost_at_most,
        "{missing} of {sent} are missing, at most {lost_at_most} may be"
    );
}

/// How an entry should show its body.
#[derive(Debug, PartialEq, Eq)]
pub struct ExpectedBody {
    pub form: &'static str,
    pub raw: String,
}

/// As the API promises: JSON as it is, events one by one, text as a string, all else in base64.
pub fn expected_body(content_type: &str, body: &[u8]) -> ExpectedBody {
    if body.is_empty() {
        return ExpectedBody {
            form: "empty",
            raw: "null".to_owned(),
        };
    }
    if content_type == "application/json" {
        return ExpectedBody {
            form: "json",
            raw: String::from_utf8(body.to_vec()).unwrap(),
        };
    }
    if content_type == "text/event-stream" {
        let events: Vec<_> = std::str::from_utf8(body)
            .unwrap()
            .split_terminator("\n\n")
            .map(|event| format!(r#"{{"data":{}}}"#, event.strip_prefix("data: ").unwrap()))
            .collect();
        return ExpectedBody {
            form: "events",
            raw: format!(r#"{{"events":[{}]}}"#, events.join(",")),
        };
    }
    if content_type.starts_with("text/") {
        return ExpectedBody {
            form: "text",
            raw: json!(std::str::from_utf8(body).unwrap()).to_string(),
        };
    }
    ExpectedBody {
        form: "binary",
        raw: json!(STANDARD.encode(body)).to_string(),
    }
}

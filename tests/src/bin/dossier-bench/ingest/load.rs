//! Batches, encoded before the clock starts, and posted over several connections until all are committed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dossier_tests::HarnessError;
use dossier_tests::producer::encode_batch;
use dossier_wire::{BATCH_ID_HEADER, CONTENT_TYPE, Compression, INGEST_PATH, StorageCompression};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::recorder::Recorder;
use crate::storage::bodies::Kind;

/// A batch ends at the first of these, as the filter's do.
const MAX_BATCH_RECORDS: usize = 512;
const MAX_BATCH_BYTES: usize = 1 << 20;
/// About the size of a record without its body.
const HEADER_BYTES: usize = 600;
const LIMIT: Duration = Duration::from_mins(1);

/// A batch ready to send.
pub(super) struct EncodedBatch {
    id: Uuid,
    bytes: Vec<u8>,
}

/// Connections to one collector.
pub(super) struct Connections {
    each: Vec<reqwest::Client>,
    url: String,
    key: String,
}

/// Batches of at least this many records in all, with bodies of this size.
pub(super) fn encode_batches(
    recorder: &mut Recorder,
    endpoint: &str,
    bytes: usize,
    records: usize,
) -> Result<(Vec<EncodedBatch>, usize), HarnessError> {
    let batch_records = MAX_BATCH_RECORDS
        .min(MAX_BATCH_BYTES / (bytes + HEADER_BYTES))
        .max(2);
    let (mut batches, mut encoded) = (Vec::new(), 0);
    while encoded < records {
        let mut samples = Vec::new();
        while samples.len() + 1 < batch_records {
            samples.extend(recorder.exchange(
                Kind::Orders,
                bytes,
                endpoint,
                StorageCompression::Auto,
            ));
        }
        encoded += samples.len();
        batches.push(EncodedBatch {
            id: Uuid::now_v7(),
            bytes: Compression::Fast.compress(&encode_batch(&samples)?),
        });
    }
    Ok((batches, encoded))
}

impl Connections {
    /// Each connection is opened by its first batch.
    pub(super) fn new(
        collector: SocketAddr,
        key: &str,
        connections: usize,
    ) -> Result<Self, HarnessError> {
        let client = || {
            let builder = reqwest::Client::builder().no_proxy().tcp_nodelay(true);
            let client = builder.http1_only().timeout(LIMIT).build();
            client.map_err(HarnessError::http("make a client"))
        };
        Ok(Self {
            each: (0..connections)
                .map(|_| client())
                .collect::<Result<_, _>>()?,
            url: format!("http://{collector}{INGEST_PATH}"),
            key: key.to_owned(),
        })
    }

    /// Posts each batch on the next free connection, and returns when all are committed.
    pub(super) async fn post(&self, batches: Vec<EncodedBatch>) -> Result<(), HarnessError> {
        let waiting = Arc::new(Mutex::new(batches.into_iter()));
        let mut posting = JoinSet::new();
        for client in &self.each {
            let (client, waiting) = (client.clone(), Arc::clone(&waiting));
            let (url, key) = (self.url.clone(), self.key.clone());
            posting.spawn(async move {
                loop {
                    let Some(encoded) = waiting.lock().await.next() else {
                        return Ok(());
                    };
                    post_one(&client, &url, &key, encoded).await?;
                }
            });
        }
        while let Some(ended) = posting.join_next().await {
            ended.map_err(|error| HarnessError::Unexpected {
                doing: "post batches".to_owned(),
                answer: error.to_string(),
            })??;
        }
        Ok(())
    }
}

async fn post_one(
    client: &reqwest::Client,
    url: &str,
    key: &str,
    encoded: EncodedBatch,
) -> Result<(), HarnessError> {
    let request = client
        .post(url)
        .bearer_auth(key)
        .header("content-type", CONTENT_TYPE)
        .header("content-encoding", "deflate")
        .header(BATCH_ID_HEADER, encoded.id.to_string());
    let answer = request.body(encoded.bytes).send().await;
    let answer = answer.map_err(HarnessError::http("post a batch"))?;
    let status = answer.status();
    let text = answer.bytes().await;
    let text = text.map_err(HarnessError::http("read the answer to a batch"))?;
    let json: Value = serde_json::from_slice(&text).unwrap_or_default();
    let is = |field, value| json.pointer(field).and_then(Value::as_bool) == Some(value);
    let is_clean = json.pointer("/data/rejected").and_then(Value::as_u64) == Some(0);
    // What waits in the spool is not in the tables.
    if status == 200 && is("/data/duplicate", false) && is("/data/spooled", false) && is_clean {
        return Ok(());
    }
    Err(HarnessError::Unexpected {
        doing: "commit a batch".to_owned(),
        answer: format!("{status} {json}"),
    })
}

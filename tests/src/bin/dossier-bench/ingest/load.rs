//! Batches, sealed before the clock runs, and posted over several connections until all are committed.

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

/// A batch is sealed at the first of these, as the filter does.
const MOST_RECORDS: usize = 512;
const MOST_BYTES: usize = 1 << 20;
/// About what a record takes beside its body.
const HEADER_BYTES: usize = 600;
const LIMIT: Duration = Duration::from_mins(1);

/// A batch as it is sent.
pub(super) struct Sealed {
    id: Uuid,
    bytes: Vec<u8>,
}

/// Connections to one collector.
pub(super) struct Connections {
    each: Vec<reqwest::Client>,
    url: String,
    key: String,
}

/// Batches of at least so many records, with bodies of that size.
pub(super) fn seal(
    recorder: &mut Recorder,
    endpoint: &str,
    bytes: usize,
    records: usize,
) -> Result<(Vec<Sealed>, usize), HarnessError> {
    let of_a_batch = MOST_RECORDS.min(MOST_BYTES / (bytes + HEADER_BYTES)).max(2);
    let (mut batches, mut sealed) = (Vec::new(), 0);
    while sealed < records {
        let mut samples = Vec::new();
        while samples.len() + 1 < of_a_batch {
            samples.extend(recorder.exchange(
                Kind::Orders,
                bytes,
                endpoint,
                StorageCompression::Auto,
            ));
        }
        sealed += samples.len();
        batches.push(Sealed {
            id: Uuid::now_v7(),
            bytes: Compression::Fast.compress(&encode_batch(&samples)?),
        });
    }
    Ok((batches, sealed))
}

impl Connections {
    /// So many. Each is opened by its first batch.
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

    /// Posts all, each on the connection that is free first, and returns when all are committed.
    pub(super) async fn post(&self, batches: Vec<Sealed>) -> Result<(), HarnessError> {
        let waiting = Arc::new(Mutex::new(batches.into_iter()));
        let mut posting = JoinSet::new();
        for client in &self.each {
            let (client, waiting) = (client.clone(), Arc::clone(&waiting));
            let (url, key) = (self.url.clone(), self.key.clone());
            posting.spawn(async move {
                loop {
                    let Some(sealed) = waiting.lock().await.next() else {
                        return Ok(());
                    };
                    post_one(&client, &url, &key, sealed).await?;
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
    sealed: Sealed,
) -> Result<(), HarnessError> {
    let request = client
        .post(url)
        .bearer_auth(key)
        .header("content-type", CONTENT_TYPE)
        .header("content-encoding", "deflate")
        .header(BATCH_ID_HEADER, sealed.id.to_string());
    let answer = request.body(sealed.bytes).send().await;
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

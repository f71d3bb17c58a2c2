//! A collector with generated exchanges of many users, for the measurements of storage, ingest and retention.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use dossier_tests::HarnessError;
use dossier_tests::client::CollectorClient;
use dossier_tests::clock::now_micros;
use dossier_tests::collector::Collector;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::wait;
use dossier_wire::{Half, StorageCompression};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use crate::query::dataset::failed;
use crate::query::{options, start};
use crate::storage::bodies::{Kind, generate_body};

pub(crate) const USERS: u64 = 200;
/// Exchanges from which dictionaries are trained.
const TRAINING_EXCHANGES: u64 = 5000;
const BATCH: u64 = 100;
/// Of batches before compression. At a higher rate the collector would compress bodies with less effort.
const BYTES_PER_SECOND: u64 = 3 << 20;
/// Collectors look for new dictionaries twice a minute.
const DICTIONARY_LIMIT: Duration = Duration::from_secs(90);

/// A collector, its database and a generator of exchanges.
pub(crate) struct Recorder {
    pub(crate) collector: Collector,
    pub(crate) client: CollectorClient,
    pub(crate) database: PgConnection,
    /// A key for batches.
    pub(crate) ingest: String,
    rng: SmallRng,
    now: u64,
}

impl Recorder {
    /// Starts a collector with its data here.
    pub(crate) async fn start(folder: &Path) -> Result<Self, HarnessError> {
        let collector = start(folder).await?;
        Ok(Self {
            client: CollectorClient::new(collector.address)?,
            database: PgConnection::connect_with(&options(folder))
                .await
                .map_err(failed("reach the collector's Postgres"))?,
            ingest: collector.create_key("bench", "ingest", "bench").await?,
            collector,
            rng: SmallRng::seed_from_u64(42),
            now: now_micros() - 3_600_000_000,
        })
    }

    /// Sends exchanges, has dictionaries trained from them, and waits until bodies are compressed with them.
    pub(crate) async fn train_dictionaries(
        &mut self,
        kind: Kind,
        bytes: usize,
        endpoint: &str,
    ) -> Result<(), HarnessError> {
        let auto = StorageCompression::Auto;
        self.send(kind, bytes, endpoint, TRAINING_EXCHANGES, auto)
            .await?;
        self.make_dictionaries(kind, bytes, endpoint).await
    }

    /// Sends exchanges in batches, at a moderate rate.
    pub(crate) async fn send(
        &mut self,
        kind: Kind,
        bytes: usize,
        endpoint: &str,
        exchanges: u64,
        compress: StorageCompression,
    ) -> Result<(), HarnessError> {
        let mut sent = 0;
        while sent < exchanges {
            let mut samples = Vec::new();
            for _ in 0..BATCH.min(exchanges - sent) {
                samples.extend(self.exchange(kind, bytes, endpoint, compress));
                sent += 1;
            }
            let raw = encode_batch(&samples)?;
            let pause = Duration::from_micros(raw.len() as u64 * 1_000_000 / BYTES_PER_SECOND);
            let sending = self.client.ingest(Some(&self.ingest), Uuid::now_v7(), raw);
            let (answer, ()) = tokio::join!(sending, sleep(pause));
            let answer = answer?;
            if answer.status != 200 {
                return Err(HarnessError::Unexpected {
                    doing: "store a batch".to_owned(),
                    answer: answer.json.to_string(),
                });
            }
        }
        Ok(())
    }

    /// The time of the next exchange, in microseconds since the Unix epoch.
    pub(crate) const fn next_time(&self) -> u64 {
        self.now + 10_000
    }

    /// Generates an exchange, 10 ms after the last one.
    pub(crate) fn exchange(
        &mut self,
        kind: Kind,
        bytes: usize,
        endpoint: &str,
        compress: StorageCompression,
    ) -> [Sample; 2] {
        let user = self.rng.random_range(0..USERS);
        self.now += 10_000;
        let request = generate_body(kind, bytes, user, &mut self.rng);
        let mut request = Sample::request(&format!("user-{user}"), endpoint, self.now, &request)
            .with_session_timeout(30);
        let record = &mut request.record;
        record.compress = compress;
        record.method = Cow::Borrowed("POST");
        record.host = Some(Cow::Borrowed("api.example.com"));
        record.route = Some(Cow::Borrowed("ai"));
        record.request_id = Some(Cow::Owned(Uuid::now_v7().to_string()));
        record.ttl_days = NonZeroU32::new(30);
        record.metadata.insert("model".to_owned(), json!("gpt-4"));
        let response = request.response(&generate_body(kind, bytes, user, &mut self.rng));
        [request, response]
    }

    /// Has dictionaries trained, and waits until the collector compresses with them.
    async fn make_dictionaries(
        &mut self,
        kind: Kind,
        bytes: usize,
        endpoint: &str,
    ) -> Result<(), HarnessError> {
        let what = format!("dictionaries for {endpoint}");
        // The collector may be making one of them by itself just then.
        wait::until(&what, DICTIONARY_LIMIT, async || {
            let making = self.collector.run(&["dictionaries", "--make"]).await;
            let output = making.map_err(|error| error.to_string())?;
            let lacks = [Half::Request, Half::Response].into_iter().find(|half| {
                let mut lines = output.stdout.lines();
                !lines.any(|line| line.contains(<&str>::from(half)) && line.ends_with(endpoint))
            });
            match lacks {
                Some(half) => Err(format!(
                    "none for {half:?}: {}{}",
                    output.stdout, output.stderr
                )),
                None => Ok(()),
            }
        })
        .await?;
        let what = format!("a body of {endpoint} packed with its dictionary");
        wait::until(&what, DICTIONARY_LIMIT, async || {
            let sent = self.send(kind, bytes, endpoint, 1, StorageCompression::Auto);
            sent.await.map_err(|error| error.to_string())?;
            let packed = self.fetch_count(                "select count(dictionary_id) from (select dictionary_id from entries order by id desc limit 2) e",
            );
            match packed.await.map_err(|error| error.to_string())? {
                2 => Ok(()),
                others => Err(format!("{others} of 2")),
            }
        })
        .await
    }

    /// The number that a query returns.
    pub(crate) async fn fetch_count(&mut self, query: &'static str) -> Result<i64, HarnessError> {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.database)
            .await
            .map_err(failed("count"))
    }
}

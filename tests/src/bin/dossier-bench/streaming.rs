//! Server-sent events: capture must not make a stream wait. Both Envoys stand before the same
//! service; the one without the filter is the same configuration less the filter.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, UPSTREAM_CLUSTER};
use dossier_tests::envoy::{DRAIN_TIME, Envoy, EnvoyPlan, WORKERS};
use dossier_tests::place;
use dossier_tests::testing::TestStack;

use crate::rounds::Paired;

/// Streams in each half of a round.
const STREAMS: usize = 30;
/// Events of a stream; the service sends them three milliseconds apart.
const EVENTS: usize = 20;

/// When the parts of one stream came, since its request was sent.
struct Arrivals {
    first: Duration,
    last: Duration,
}

/// Measures, and returns a Markdown table.
pub(crate) async fn run(rounds: usize) -> Result<String, HarnessError> {
    let stack = TestStack::start().await?;
    let without = without_filter(&stack).await?;
    let http = reqwest::Client::new();
    let url = |envoy: &Envoy| format!("http://{}/api/v1/ai/stream?stream={EVENTS}", envoy.address);
    let urls = [url(&without), url(&stack.envoy)];
    // The first requests open connections and load what is loaded lazily.
    for url in &urls {
        burst(&http, url).await?;
    }
    let (mut first, mut last) = (Paired::default(), Paired::default());
    for round in 0..rounds {
        let mut measured = [Vec::new(), Vec::new()];
        // Who is first would otherwise always meet the machine as the other left it.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            if let (Some(url), Some(arrivals)) = (urls.get(which), measured.get_mut(which)) {
                *arrivals = burst(&http, url).await?;
            }
        }
        let [without, with] = measured;
        let of = |arrivals: &[Arrivals], when: fn(&Arrivals) -> Duration| -> Vec<_> {
            arrivals.iter().map(when).collect()
        };
        first.add(&of(&without, |it| it.first), &of(&with, |it| it.first));
        last.add(&of(&without, |it| it.last), &of(&with, |it| it.last));
    }
    Ok(format!(
        "{rounds} rounds of {STREAMS} streams of {EVENTS} events; medians, and in brackets the quarters\n\n\
         | | without the filter | with capture | later by | ratio |\n|---|---|---|---|---|\n{}{}",
        first.row("first event"),
        last.row("last event"),
    ))
}

async fn without_filter(stack: &TestStack) -> Result<Envoy, HarnessError> {
    let folder = stack.folder().join("without");
    std::fs::create_dir_all(&folder).map_err(HarnessError::io("make a folder"))?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut bootstrap = Bootstrap::read(&place::example_bootstrap())?;
    bootstrap.set_listener(any_port)?;
    bootstrap.set_admin(any_port);
    bootstrap.set_cluster(UPSTREAM_CLUSTER, stack.upstream.address)?;
    bootstrap.remove_filter()?;
    Envoy::start(EnvoyPlan {
        bootstrap,
        workers: WORKERS,
        drain_time: DRAIN_TIME,
        log: folder.join("envoy.log"),
        folder,
        ingest_token: String::new(),
    })
    .await
}

/// Streams one after the other.
async fn burst(http: &reqwest::Client, url: &str) -> Result<Vec<Arrivals>, HarnessError> {
    let mut arrivals = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        arrivals.push(stream(http, url).await?);
    }
    Ok(arrivals)
}

async fn stream(http: &reqwest::Client, url: &str) -> Result<Arrivals, HarnessError> {
    let doing = || HarnessError::http(format!("read {url}"));
    let sent = Instant::now();
    let mut response = http.get(url).send().await.map_err(doing())?;
    let (mut first, mut last, mut bytes) = (None, sent.elapsed(), 0);
    while let Some(chunk) = response.chunk().await.map_err(doing())? {
        last = sent.elapsed();
        first.get_or_insert(last);
        bytes += chunk.len();
    }
    let first = first.filter(|_| response.status() == 200 && bytes > EVENTS);
    first
        .map(|first| Arrivals { first, last })
        .ok_or_else(|| HarnessError::Unexpected {
            doing: format!("read {url}"),
            answer: format!("{} with {bytes} bytes", response.status()),
        })
}

//! Do events reach the client as soon with the filter as without it?

mod service;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER};
use dossier_tests::envoy::{DRAIN_TIME, Envoy, EnvoyPlan};
use dossier_tests::paths;
use dossier_tests::stub_collector::StubCollector;
use dossier_tests::testing::TestFolder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::arguments::StreamingArgs;
use crate::bare_filter::BareFilter;
use crate::statistics::{median, quantile};
use service::{EVENTS, Service, sent};

/// The shipped configuration records it.
const PATH: &str = "/api/v1/stream";
/// For the records of the last round to leave the filter.
const FLUSH_LIMIT: Duration = Duration::from_mins(1);
const STREAM_LIMIT: Duration = Duration::from_secs(30);
/// When a stream ends its records are made. A client that asks again within that moment would measure
/// this, not how its own stream is passed on; what it costs is in the figures for each request.
const BETWEEN_STREAMS: Duration = Duration::from_millis(5);
/// How a body sent in chunks ends.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// Microseconds that one Envoy took in one turn, in the middle.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    /// From the request to the first event.
    first: f64,
    /// From the service to the client, over all events.
    delay: f64,
}

/// One round: each Envoy had a turn. They stand in the order of [`NAMES`].
type Round = [Turn; 3];

/// What is compared: Envoy alone, with a filter that does nothing, and with ours.
const NAMES: [&str; 3] = ["without a filter", "with an empty one", "with ours"];

/// Measures, and returns a table.
pub(crate) async fn run(arguments: StreamingArgs) -> Result<String, HarnessError> {
    let origin = Instant::now();
    let (service, stub_collector) = (Service::start(origin).await?, StubCollector::start().await?);
    let folders = [
        TestFolder::create()?,
        TestFolder::create()?,
        TestFolder::create()?,
    ];
    let [first, second, third] = &folders;
    let envoys = [
        envoy(
            first.path(),
            &service,
            &stub_collector,
            Bootstrap::remove_filter,
        )
        .await?,
        envoy(second.path(), &service, &stub_collector, |bootstrap| {
            BareFilter::Empty.install(bootstrap, second.path())
        })
        .await?,
        envoy(third.path(), &service, &stub_collector, |_| Ok(())).await?,
    ];
    let turn = async |envoy: &Envoy| take_turn(envoy.address, origin, arguments.streams).await;
    // The first streams open connections and fill caches.
    for envoy in &envoys {
        turn(envoy).await?;
    }
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        let mut round = Round::default();
        // Whoever goes first would have the advantage of a pause, so they take turns in that too.
        for index in (0..envoys.len()).map(|index| (index + number) % envoys.len()) {
            if let (Some(envoy), Some(place)) = (envoys.get(index), round.get_mut(index)) {
                *place = turn(envoy).await?;
            }
        }
        rounds.push(round);
    }
    expect_records(&stub_collector, (arguments.rounds + 1) * arguments.streams).await?;
    Ok(table(arguments, &rounds))
}

async fn envoy(
    folder: &Path,
    service: &Service,
    stub_collector: &StubCollector,
    change: impl FnOnce(&mut Bootstrap) -> Result<(), HarnessError>,
) -> Result<Envoy, HarnessError> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut bootstrap = Bootstrap::read(&paths::find_example_config()?)?;
    bootstrap.set_listener(any_port)?;
    bootstrap.set_admin(any_port);
    bootstrap.set_cluster(UPSTREAM_CLUSTER, service.address)?;
    bootstrap.set_cluster(COLLECTOR_CLUSTER, stub_collector.address)?;
    bootstrap.set_wasm(&paths::find_filter()?)?;
    change(&mut bootstrap)?;
    let plan = EnvoyPlan {
        bootstrap,
        workers: 1,
        drain_time: DRAIN_TIME,
        folder: folder.to_owned(),
        log: folder.join("envoy.log"),
        ingest_token: "dsk_none".to_owned(),
    };
    Envoy::start(plan).await
}

/// Streams one after the other on one connection.
async fn take_turn(
    envoy: SocketAddr,
    origin: Instant,
    streams: usize,
) -> Result<Turn, HarnessError> {
    let connecting = async {
        let connection = TcpStream::connect(envoy).await?;
        connection.set_nodelay(true)?;
        Ok(connection)
    };
    let mut connection = connecting.await.map_err(HarnessError::io("reach Envoy"))?;
    let (mut firsts, mut delays) = (Vec::new(), Vec::new());
    for _ in 0..streams {
        tokio::time::sleep(BETWEEN_STREAMS).await;
        let stream = stream(&mut connection, origin);
        let limit = tokio::time::timeout(STREAM_LIMIT, stream).await;
        let events = limit
            .map_err(|_| unexpected("it did not end"))?
            .map_err(HarnessError::io("read a stream"))?;
        if events.delays.len() != EVENTS as usize {
            return Err(unexpected(&format!("{} events", events.delays.len())));
        }
        firsts.push(events.first);
        delays.extend(events.delays);
    }
    Ok(Turn {
        first: median(&firsts),
        delay: median(&delays),
    })
}

/// Microseconds of one stream.
#[derive(Debug, Default)]
struct Events {
    first: f64,
    delays: Vec<f64>,
}

async fn stream(connection: &mut TcpStream, origin: Instant) -> std::io::Result<Events> {
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: bench\r\nx-user-id: bench\r\n\r\n");
    let mut events = Events::default();
    let mut read = Vec::new();
    let started = origin.elapsed();
    connection.write_all(request.as_bytes()).await?;
    while !read.ends_with(LAST_CHUNK) && connection.read_buf(&mut read).await? > 0 {
        let now = origin.elapsed();
        let text = String::from_utf8_lossy(&read);
        // Only those that this reading has brought.
        for sent in whole_events(&text).skip(events.delays.len()) {
            if events.delays.is_empty() {
                events.first = micros(now.saturating_sub(started));
            }
            let delay = now.saturating_sub(Duration::from_nanos(sent));
            events.delays.push(micros(delay));
        }
    }
    Ok(events)
}

/// When each event that has come as a whole was sent.
fn whole_events(read: &str) -> impl Iterator<Item = u64> {
    let whole = read.rfind("\n\n").and_then(|end| read.get(..end));
    whole.unwrap_or_default().lines().filter_map(sent)
}

/// The comparison would be worth nothing if the filter had not recorded.
async fn expect_records(
    stub_collector: &StubCollector,
    streams: usize,
) -> Result<(), HarnessError> {
    let halves = stub_collector
        .halves(PATH, 2 * streams, FLUSH_LIMIT)
        .await?;
    let whole = |body: &[u8]| {
        let text = String::from_utf8_lossy(body);
        text.lines().filter_map(sent).count() == EVENTS as usize
    };
    let recorded = halves.iter().filter(|half| whole(&half.body)).count();
    if recorded != streams {
        return Err(unexpected(&format!("{recorded} of {streams} recorded")));
    }
    Ok(())
}

fn table(arguments: StreamingArgs, rounds: &[Round]) -> String {
    let StreamingArgs {
        rounds: count,
        streams,
    } = arguments;
    let mut table = format!(
        "{count} rounds of {streams} streams of {EVENTS} events for each Envoy.\n\n\
         | | | time | more than without | ratio | middle half of the rounds | all rounds |\n\
         |---|---|---:|---:|---:|---:|---:|\n"
    );
    for (what, of) in [
        (
            "request to first event",
            (|turn| turn.first) as fn(&Turn) -> f64,
        ),
        ("event, from service to client", |turn| turn.delay),
    ] {
        for (index, name) in NAMES.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "| {what} | {name} | {} |",
                compared(rounds, index, of)
            );
        }
    }
    table
}

/// One Envoy's median, and how it stands to the first Envoy's in the same rounds.
fn compared(rounds: &[Round], index: usize, of: fn(&Turn) -> f64) -> String {
    let pairs: Vec<_> = rounds
        .iter()
        .filter_map(|round| Some((of(round.get(index)?), of(round.first()?))))
        .collect();
    let paired = |compare: fn(&(f64, f64)) -> f64| pairs.iter().map(compare).collect::<Vec<_>>();
    let ratios = paired(|(ours, theirs)| ours / theirs);
    let at = |share| quantile(&ratios, share);
    format!(
        "{:.0} µs | {:.0} µs | {:.2} | {:.2} to {:.2} | {:.2} to {:.2}",
        median(&paired(|(ours, _)| *ours)),
        median(&paired(|(ours, theirs)| ours - theirs)),
        at(0.5),
        at(0.25),
        at(0.75),
        at(0.0),
        at(1.0),
    )
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn unexpected(answer: &str) -> HarnessError {
    HarnessError::Unexpected {
        doing: "measure streams".to_owned(),
        answer: answer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_events_count() {
        let read = "HTTP/1.1 200 OK\r\n\r\n20\r\ndata: {\"sent\":5,\"text\":\"\"}\n\n\r\n20\r\ndata: {\"sent\":7,";
        assert_eq!(whole_events(read).collect::<Vec<_>>(), [5]);
        assert_eq!(whole_events("data: {\"sent\":5,").count(), 0);
    }

    #[test]
    fn table_shows_median_of_ratios() {
        let turn = |first| Turn {
            first,
            delay: 100.0,
        };
        let round = |without, with| [turn(without), turn(without), turn(with)];
        let rounds = [
            round(100.0, 110.0),
            round(200.0, 200.0),
            round(100.0, 300.0),
        ];
        let table = table(
            StreamingArgs {
                rounds: 3,
                streams: 1,
            },
            &rounds,
        );
        assert!(
            table.contains(
                "| request to first event | with ours | 200 µs | 10 µs | 1.10 | 1.10 to 3.00 | 1.00 to 3.00 |"
            ),
            "{table}"
        );
    }
}

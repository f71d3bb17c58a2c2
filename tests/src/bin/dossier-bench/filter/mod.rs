//! Measures what recording costs each request: the same load on Envoys without a filter, with minimal
//! filters, with Dossier in several configurations, and with what Envoy itself offers.

mod load;
mod process;
mod report;
mod servers;
pub(crate) mod soak;
mod traffic;
mod variant;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{COLLECTOR_CLUSTER, UPSTREAM_CLUSTER};
use dossier_tests::envoy::{DRAIN_TIME, Envoy, EnvoyPlan};
use dossier_tests::testing::TestFolder;

use crate::arguments::FilterArgs;
use crate::bare_filter::BareFilter;
use load::Clients;
use report::{Cell, Reading};
use servers::Servers;
use traffic::Bodies;
use variant::Addresses;

pub(crate) use load::Protocol;
pub(crate) use variant::Variant;

/// How long a turn's load lasts.
const TURN: Duration = Duration::from_millis(400);
/// Time for the last batches of a turn, whose cost belongs to the turn.
const FLUSH_TIME: Duration = Duration::from_millis(180);

/// An Envoy that is measured.
#[derive(Debug)]
struct Subject {
    variant: Variant,
    envoy: Envoy,
    folder: TestFolder,
}

/// Measures everything, and writes the tables.
pub(crate) async fn run(arguments: &FilterArgs) -> Result<String, HarnessError> {
    let bodies: Vec<_> = arguments
        .sizes
        .iter()
        .map(|size| (*size, Arc::new(Bodies::generate(*size))))
        .collect();
    let servers = Servers::start(bodies.clone()).await?;
    let (mut cells, mut tables) = (Vec::new(), String::new());
    for workers in &arguments.workers {
        let subjects = start_all(arguments, *workers, &servers).await?;
        for protocol in &arguments.protocols {
            for (size, bodies) in &bodies {
                eprintln!("{workers} worker(s), {}, {size} bytes", protocol.name());
                let at = (*workers, *protocol, *size);
                cells.push(measure(arguments, &subjects, at, bodies).await?);
                // Written after each cell, so that an interrupted run leaves its results.
                tables = report::write(arguments, &cells)?;
            }
        }
    }
    Ok(tables)
}

async fn start_all(
    arguments: &FilterArgs,
    workers: u16,
    servers: &Servers,
) -> Result<Vec<Subject>, HarnessError> {
    let mut subjects = Vec::new();
    for variant in &arguments.compared_variants() {
        subjects.push(start_one(*variant, workers, servers).await?);
    }
    Ok(subjects)
}

async fn start_one(
    variant: Variant,
    workers: u16,
    servers: &Servers,
) -> Result<Subject, HarnessError> {
    let addresses = Addresses {
        service: servers.service,
        collector: servers.collector,
        // The discard port, on which nothing listens.
        unreachable: SocketAddr::from(([127, 0, 0, 1], 9)),
    };
    let folder = TestFolder::create()?;
    let plan = EnvoyPlan {
        bootstrap: variant.bootstrap(folder.path(), addresses)?,
        workers,
        drain_time: DRAIN_TIME,
        folder: folder.path().to_owned(),
        log: folder.path().join("envoy.log"),
        ingest_token: "dsk_none".to_owned(),
    };
    Ok(Subject {
        variant,
        envoy: Envoy::start(plan).await?,
        folder,
    })
}

/// All variants in turns, for one kind of load.
async fn measure(
    arguments: &FilterArgs,
    subjects: &[Subject],
    at: (u16, Protocol, usize),
    bodies: &Arc<Bodies>,
) -> Result<Cell, HarnessError> {
    let (workers, protocol, size) = at;
    let posted = PostCounts::read(subjects).await?;
    let mut clients = Vec::new();
    for subject in subjects {
        let subject_clients =
            Clients::new(subject.envoy.address, protocol, size, Arc::clone(bodies))?;
        // The first requests open connections, fill caches and have the filter's code optimised.
        for _ in 0..3 {
            subject_clients.send_at_full_speed(TURN).await?;
        }
        clients.push(subject_clients);
    }
    let mut cell = Cell::new(
        workers,
        protocol,
        size,
        subjects.iter().map(|subject| subject.variant),
    );
    for number in 0..arguments.rounds {
        for index in rotate_order(number, subjects.len()) {
            if let (Some(subject), Some(clients)) = (subjects.get(index), clients.get(index)) {
                let reading = measure_turn(subject, clients).await?;
                cell.add(subject.variant, reading);
            }
        }
    }
    let rate = cell
        .throughput(Variant::Plain)
        .map(|capacity| capacity / 2.0);
    for number in 0..arguments.rounds {
        for index in rotate_order(number, subjects.len()) {
            if let (Some(subject), Some(clients), Some(rate)) =
                (subjects.get(index), clients.get(index), rate)
            {
                let latencies = clients.send_at_rate(rate, TURN).await?;
                cell.add_latencies(subject.variant, &latencies);
                remove_tap_files(subject)?;
            }
        }
    }
    for subject in subjects {
        cell.set_memory(subject.variant, subject.envoy.resident_bytes()?);
    }
    let after = PostCounts::read(subjects).await?;
    after.check(posted, workers, size)?;
    Ok(cell)
}

/// Each round starts with another variant: the one after a pause has an advantage.
fn rotate_order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| (index + round) % count)
}

async fn measure_turn(subject: &Subject, clients: &Clients) -> Result<Reading, HarnessError> {
    let process = subject.envoy.process.id();
    let counted = FilterCounts::read(subject).await?;
    let began = process::cpu_time(process)?;
    let answered = clients.send_at_full_speed(TURN).await?;
    tokio::time::sleep(FLUSH_TIME).await;
    let spent = process::cpu_time(process)?.saturating_sub(began);
    let counted = FilterCounts::read(subject).await?.since(counted);
    let expected = answered * subject.variant.records();
    if counted.captured + counted.records_lost != expected {
        return Err(HarnessError::Unexpected {
            doing: format!("record as \"{}\"", subject.variant.name()),
            answer: format!("{counted:?} instead of {expected} records"),
        });
    }
    remove_tap_files(subject)?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    Ok(Reading {
        cpu_micros: spent.as_secs_f64() * 1e6 / answered.max(1) as f64,
        throughput: answered as f64 / TURN.as_secs_f64(),
        lost: (counted.records_lost + counted.bodies_lost) as f64 / expected.max(1) as f64,
    })
}

/// The filter's counters, to check that it has recorded everything.
#[derive(Debug, Clone, Copy, Default)]
struct FilterCounts {
    captured: u64,
    /// Dropped because the buffer is full.
    records_lost: u64,
    bodies_lost: u64,
}

impl FilterCounts {
    async fn read(subject: &Subject) -> Result<Self, HarnessError> {
        if subject.variant.records() == 0 {
            return Ok(Self::default());
        }
        let counters = subject.envoy.stats("dossier.").await?;
        let sum = |part: &str| {
            let meant = counters.iter().filter(|(name, _)| name.contains(part));
            meant.map(|(_, count)| count).sum()
        };
        Ok(Self {
            captured: sum("records_captured"),
            records_lost: sum("records_dropped"),
            bodies_lost: sum("bodies_dropped"),
        })
    }

    const fn since(self, before: Self) -> Self {
        Self {
            captured: self.captured - before.captured,
            records_lost: self.records_lost - before.records_lost,
            bodies_lost: self.bodies_lost - before.bodies_lost,
        }
    }
}

/// What a minimal filter has posted, to check that it has posted everything.
#[derive(Debug, Clone, Copy, Default)]
struct PostCounts {
    requests: u64,
    posts: u64,
    accepted: u64,
    bytes: u64,
}

impl PostCounts {
    async fn read(subjects: &[Subject]) -> Result<Self, HarnessError> {
        let posts = Variant::Bare(BareFilter::PostsBodies);
        let Some(subject) = subjects.iter().find(|subject| subject.variant == posts) else {
            return Ok(Self::default());
        };
        let stats = subject.envoy.stats("cluster.").await?;
        let count = |cluster: &str, what: &str| {
            let name = format!("cluster.{cluster}.upstream_{what}");
            stats.get(&name).copied().unwrap_or(0)
        };
        Ok(Self {
            requests: count(UPSTREAM_CLUSTER, "rq_total"),
            posts: count(COLLECTOR_CLUSTER, "rq_total"),
            accepted: count(COLLECTOR_CLUSTER, "rq_2xx"),
            bytes: count(COLLECTOR_CLUSTER, "cx_tx_bytes_total"),
        })
    }

    /// Fails unless the bodies of all requests were posted and accepted. One post of each worker may be in
    /// flight, and one batch not yet posted.
    fn check(self, before: Self, workers: u16, size: usize) -> Result<(), HarnessError> {
        let posts = self.posts - before.posts;
        let accepted = self.accepted - before.accepted + u64::from(workers);
        let bodies = (self.requests - before.requests) * 2 * size.min(64 << 10) as u64;
        let sent = self.bytes - before.bytes + (u64::from(workers) << 22);
        if accepted >= posts && sent >= bodies {
            return Ok(());
        }
        Err(HarnessError::Unexpected {
            doing: "post what a bare filter has read".to_owned(),
            answer: format!("{before:?} became {self:?}"),
        })
    }
}

/// The tap writes a file for each request.
fn remove_tap_files(subject: &Subject) -> Result<(), HarnessError> {
    if subject.variant != Variant::Tap {
        return Ok(());
    }
    let folder = variant::tap_folder(subject.folder.path());
    let emptying = || {
        for file in std::fs::read_dir(&folder)? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("tap") {
                std::fs::remove_file(file.path())?;
            }
        }
        Ok(())
    };
    emptying().map_err(HarnessError::io("remove what was tapped"))
}

impl Drop for Subject {
    fn drop(&mut self) {
        if self.variant == Variant::Tap {
            let _ = std::fs::remove_dir_all(variant::tap_folder(self.folder.path()));
        }
    }
}

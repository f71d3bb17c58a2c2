//! Chaos: collectors are killed, Postgres is stopped and stays away, connections are cut, disks are full
//! and clocks are wrong, all under load. Afterwards everything that was acknowledged is there once, byte
//! for byte, in its session, and everything else is reported as lost.
//!
//! A minute of it with all tests; all of it with `make chaos`. See `docs/development.md`.

mod faults;
mod figures;
mod harness;
mod losses;
mod producers;
mod profile;
mod record;
mod stored;
mod traffic;

use std::time::{Duration, Instant};

use dossier_tests::load::LoadGenerator;
use dossier_tests::wait;

use self::faults::{FaultCounts, Faults};
use self::figures::Figures;
use self::harness::ChaosHarness;
use self::losses::Losses;
use self::producers::Producers;
use self::profile::Profile;
use self::stored::Stored;
use crate::support::MAX_MEMORY;

/// For what has to wait until a fault is over.
const FAULT_TIMEOUT: Duration = Duration::from_mins(5);
const SESSION_MINUTES: u32 = 30;
const CLIENTS: usize = 8;
/// What each client waits between two requests.
const PAUSE: Duration = Duration::from_millis(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_and_losses_are_reported() {
    let profile = Profile::from_environment();
    eprintln!("chaos with {profile}");
    let harness = ChaosHarness::start().await;
    let load = LoadGenerator::start_script(&harness.traffic(), CLIENTS, PAUSE, traffic::exchange);
    let addresses: Vec<_> = harness.members.iter().map(|it| it.proxy.address).collect();
    let producers = Producers::start(&addresses, &harness.keys.ingest, profile.seed);
    load.wait_for_answers(50, FAULT_TIMEOUT).await.unwrap();
    let faults = Faults {
        harness: &harness,
        producers: &producers,
        profile,
        counts: FaultCounts::default(),
        began: Instant::now(),
    };
    faults.inject_all().await;
    load.wait_for_answers(50, FAULT_TIMEOUT).await.unwrap();
    let took = faults.began.elapsed();
    let counts = faults.counts;

    let outcome = load.stop().await;
    assert_eq!(
        outcome.failed,
        Vec::<String>::new(),
        "clients notice nothing"
    );
    let (batches, repeated) = (producers.acknowledged(), producers.repeated());
    let produced = producers.stop().await;
    let answered = outcome.answered;
    let losses = wait_until_settled(&harness, 2 * (answered.len() + produced.len()) as u64).await;

    let (client, admin) = (harness.client().await, &harness.keys.users.admin);
    let stored = Stored::read(&client, admin, produced).await;
    let missing = stored.missing(&answered);
    let sessions = stored.check_sessions(&client, admin).await;
    let mut connection = harness.connect().await.unwrap();
    let duplicates = losses::count_duplicates(&mut connection).await.unwrap();
    let figures = Figures {
        took,
        requests: answered.len() as u64,
        captured: harness.stat("records_captured").await,
        batches_sent: harness.stat("batches_sent").await,
        batches_retried: harness.stat("batches_retried").await,
        batches_refused: harness.stat("batches_failed").await,
        produced_batches: batches,
        produced_repeated: repeated,
        produced_records: stored.produced_entries(),
        stored: stored.entries(),
        duplicates,
        dropped_bodies: stored.dropped_bodies,
        sessions,
        peak: harness.peak().await,
        losses,
        counts,
    };
    eprintln!("{figures}");

    assert_eq!(duplicates, 0);
    let losses = &figures.losses;
    assert_eq!(
        losses.records(),
        2 * missing,
        "exactly what is missing is reported"
    );
    assert_eq!(losses.bytes("body_dropped"), stored.dropped_bytes);
    let refused = harness.stat("records_dropped.batch_refused").await;
    let from_envoy = figures.stored - figures.produced_records;
    assert_eq!(
        figures.captured,
        from_envoy + refused,
        "all captured is stored"
    );
    assert!(figures.peak <= MAX_MEMORY, "{} bytes", figures.peak);
}

/// Waits until nothing is on the way any more: of the filter's records, of its accounts of losses, and
/// of the spools' batches.
async fn wait_until_settled(harness: &ChaosHarness, sent: u64) -> Losses {
    harness
        .envoy
        .wait_for_empty_outbox(FAULT_TIMEOUT)
        .await
        .unwrap();
    harness.wait_for_empty_spools().await;
    let waited = wait::until(
        "stored and lost to make up all",
        FAULT_TIMEOUT,
        async || {
            let look = async {
                let mut connection = harness.connect().await?;
                let stored = losses::count_entries(&mut connection).await?;
                Ok::<_, sqlx::Error>((stored, Losses::read(&mut connection).await?))
            };
            let (stored, losses) = look.await.map_err(|error| error.to_string())?;
            let lost = losses.records();
            (stored + lost >= sent)
                .then_some(losses)
                .ok_or_else(|| format!("{stored} stored and {lost} lost of {sent}"))
        },
    );
    waited.await.unwrap()
}

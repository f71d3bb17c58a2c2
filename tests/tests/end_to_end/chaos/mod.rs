//! Chaos: collectors are killed, Postgres is stopped and stays away, connections are cut, disks are full
//! and clocks are wrong, all under load. Afterwards everything that was acknowledged is there once, byte
//! for byte, in its session, and everything else is told as lost.
//!
//! A minute of it with all tests; all of it with `make chaos`. See `docs/development.md`.

mod faults;
mod feeder;
mod figures;
mod losses;
mod profile;
mod record;
mod scene;
mod stored;
mod traffic;

use std::time::{Duration, Instant};

use dossier_tests::load::LoadGenerator;
use dossier_tests::wait;

use self::faults::{Done, Faults};
use self::feeder::Feeders;
use self::figures::Figures;
use self::losses::Losses;
use self::profile::Profile;
use self::scene::Scene;
use self::stored::Stored;
use crate::support::MOST_MEMORY;

/// For what has to wait until a fault is over.
const LONG_WHILE: Duration = Duration::from_mins(5);
const SESSION_MINUTES: u32 = 30;
const CLIENTS: usize = 8;
/// What each client waits between two requests.
const PAUSE: Duration = Duration::from_millis(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_and_losses_are_reported() {
    let profile = Profile::from_environment();
    eprintln!("chaos with {profile}");
    let scene = Scene::start().await;
    let load = LoadGenerator::start_script(&scene.traffic(), CLIENTS, PAUSE, traffic::exchange);
    let addresses: Vec<_> = scene.members.iter().map(|it| it.proxy.address).collect();
    let feeders = Feeders::start(&addresses, &scene.keys.ingest, profile.seed);
    load.wait_for_answers(50, LONG_WHILE).await.unwrap();
    let faults = Faults {
        scene: &scene,
        feeders: &feeders,
        profile,
        done: Done::default(),
        began: Instant::now(),
    };
    faults.do_all().await;
    load.wait_for_answers(50, LONG_WHILE).await.unwrap();
    let took = faults.began.elapsed();
    let done = faults.done;

    let outcome = load.stop().await;
    assert_eq!(
        outcome.failed,
        Vec::<String>::new(),
        "clients notice nothing"
    );
    let (batches, repeated) = (feeders.acknowledged(), feeders.repeated());
    let fed = feeders.stop().await;
    let answered = outcome.answered;
    let losses = settle(&scene, 2 * (answered.len() + fed.len()) as u64).await;

    let (client, admin) = (scene.client().await, &scene.keys.users.admin);
    let stored = Stored::read(&client, admin, fed).await;
    let missing = stored.missing(&answered);
    let sessions = stored.check_sessions(&client, admin).await;
    let mut connection = scene.connect().await.unwrap();
    let duplicates = losses::count_duplicates(&mut connection).await.unwrap();
    let figures = Figures {
        took,
        requests: answered.len() as u64,
        captured: scene.stat("records_captured").await,
        batches_sent: scene.stat("batches_sent").await,
        batches_retried: scene.stat("batches_retried").await,
        batches_refused: scene.stat("batches_failed").await,
        fed_batches: batches,
        fed_repeated: repeated,
        fed_records: stored.fed_entries(),
        stored: stored.entries(),
        duplicates,
        dropped_bodies: stored.dropped_bodies,
        sessions,
        peak: scene.peak().await,
        losses,
        done,
    };
    eprintln!("{figures}");

    assert_eq!(duplicates, 0);
    let losses = &figures.losses;
    assert_eq!(
        losses.records(),
        2 * missing,
        "exactly what is missing is told"
    );
    assert_eq!(losses.bytes("body_dropped"), stored.dropped_bytes);
    let refused = scene.stat("records_dropped.batch_refused").await;
    let from_envoy = figures.stored - figures.fed_records;
    assert_eq!(
        figures.captured,
        from_envoy + refused,
        "all captured is stored"
    );
    assert!(figures.peak <= MOST_MEMORY, "{} bytes", figures.peak);
}

/// Waits until nothing is on the way any more: of the filter's records, of its accounts of losses, and
/// of the spools' batches.
async fn settle(scene: &Scene, sent: u64) -> Losses {
    scene.envoy.wait_for_empty_outbox(LONG_WHILE).await.unwrap();
    scene.wait_for_empty_spools().await;
    let waited = wait::until("stored and lost to make up all", LONG_WHILE, async || {
        let look = async {
            let mut connection = scene.connect().await?;
            let stored = losses::count_entries(&mut connection).await?;
            Ok::<_, sqlx::Error>((stored, Losses::read(&mut connection).await?))
        };
        let (stored, losses) = look.await.map_err(|error| error.to_string())?;
        let lost = losses.records();
        (stored + lost >= sent)
            .then_some(losses)
            .ok_or_else(|| format!("{stored} stored and {lost} lost of {sent}"))
    });
    waited.await.unwrap()
}

//! Injects faults: three tasks at once, each in an order and with pauses drawn from the seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dossier_tests::wait;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::MutexGuard;
use tokio::time::sleep;

use super::FAULT_TIMEOUT;
use super::harness::{COLLECTORS, ChaosHarness};
use super::producers::Producers;
use super::profile::Profile;

/// An hour ahead, right, an hour behind.
const CLOCKS: [i64; 3] = [60, 0, -60];

/// How many faults were injected.
#[derive(Debug, Default)]
pub struct FaultCounts {
    pub kills: AtomicU64,
    pub stops: AtomicU64,
    pub away_millis: AtomicU64,
    pub cuts: AtomicU64,
    pub full_disks: AtomicU64,
    pub clock_steps: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum CollectorFault {
    Kill,
    Cut,
}

#[derive(Debug, Clone, Copy)]
enum PostgresFault {
    Stop,
    Leave,
    FillDisks,
}

/// Injects the faults.
pub struct Faults<'a> {
    pub harness: &'a ChaosHarness,
    pub producers: &'a Producers,
    pub profile: Profile,
    pub counts: FaultCounts,
    pub began: Instant,
}

impl Faults<'_> {
    /// Returns when all is done, and everything runs again.
    pub async fn inject_all(&self) {
        tokio::join!(
            self.disrupt_collectors(),
            self.disrupt_postgres(),
            self.shift_clocks()
        );
    }

    async fn disrupt_collectors(&self) {
        let mut rng = SmallRng::seed_from_u64(self.profile.seed);
        let kinds = [
            (self.profile.kills, CollectorFault::Kill),
            (self.profile.cuts, CollectorFault::Cut),
        ];
        for fault in shuffled(&kinds, &mut rng) {
            sleep(Duration::from_millis(rng.random_range(200..4000))).await;
            let number = rng.random_range(0..COLLECTORS);
            match fault {
                CollectorFault::Kill => {
                    let down = Duration::from_millis(rng.random_range(0..1500));
                    self.kill(number, down).await;
                }
                CollectorFault::Cut => self.cut(number, rng.random_range(400..60_400)).await,
            }
        }
    }

    async fn disrupt_postgres(&self) {
        let mut rng = SmallRng::seed_from_u64(!self.profile.seed);
        let leaves = u64::from(!self.profile.away.is_zero());
        let kinds = [
            (self.profile.stops, PostgresFault::Stop),
            (leaves, PostgresFault::Leave),
            (self.profile.full_disks, PostgresFault::FillDisks),
        ];
        for fault in shuffled(&kinds, &mut rng) {
            sleep(Duration::from_millis(rng.random_range(1000..6000))).await;
            match fault {
                PostgresFault::Stop => {
                    self.report("Postgres is stopped at once, and started");
                    self.without_postgres(sleep(Duration::from_millis(rng.random_range(0..2000))))
                        .await;
                    count(&self.counts.stops);
                }
                PostgresFault::Leave => {
                    self.report(&format!("Postgres is away for {:?}", self.profile.away));
                    self.without_postgres(sleep(self.profile.away)).await;
                }
                PostgresFault::FillDisks => self.fill_disks().await,
            }
        }
    }

    async fn shift_clocks(&self) {
        let mut rng = SmallRng::seed_from_u64(self.profile.seed.rotate_left(32));
        for step in 1..=self.profile.clock_steps {
            sleep(Duration::from_millis(rng.random_range(200..2000))).await;
            let clock = usize::try_from(step).unwrap_or(0) % CLOCKS.len();
            self.producers.set_clock(CLOCKS[clock]).await;
            count(&self.counts.clock_steps);
        }
        self.producers.set_clock(0).await;
    }

    async fn kill(&self, number: usize, down: Duration) {
        let member = &self.harness.members[number];
        let _guard = member.lock_for_fault().await;
        self.report(&format!("collector {number} is killed, and started"));
        member.kill().await;
        sleep(down).await;
        member.restart().await;
        count(&self.counts.kills);
    }

    async fn cut(&self, number: usize, after: u64) {
        let member = &self.harness.members[number];
        let _guard = member.lock_for_fault().await;
        self.report(&format!(
            "a connection to collector {number} is cut after {after} bytes"
        ));
        member.cut(after).await;
        count(&self.counts.cuts);
    }

    /// Postgres is away and no spool takes anything, until the filter has lost records by that.
    async fn fill_disks(&self) {
        // No collector is started meanwhile: its disk would not be full.
        let mut guards: Vec<MutexGuard<'_, ()>> = Vec::new();
        for member in &self.harness.members {
            guards.push(member.lock_for_fault().await);
        }
        self.report("Postgres is away, and no disk takes anything, until records are lost");
        let lost = async || {
            let lost = self
                .harness
                .envoy
                .stat("dossier.records_dropped.buffer_full");
            lost.await.map_err(|error| error.to_string())
        };
        let before = lost().await.unwrap();
        let until_lost = async {
            for member in &self.harness.members {
                member.limit_files("40").await;
            }
            let waited = wait::until("records to be lost", FAULT_TIMEOUT, async || {
                let more = lost().await? - before;
                (more > 0).then_some(()).ok_or("none yet".to_owned())
            });
            waited.await.unwrap();
            for member in &self.harness.members {
                member.limit_files("unlimited").await;
            }
        };
        self.without_postgres(until_lost).await;
        count(&self.counts.full_disks);
    }

    /// An immediate shutdown, after which Postgres must recover.
    async fn without_postgres(&self, meanwhile: impl Future<Output = ()>) {
        let since = Instant::now();
        let mut database = self.harness.database.lock().await;
        tokio::task::block_in_place(|| database.stop());
        meanwhile.await;
        database.restart().await.unwrap();
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.counts.away_millis.fetch_add(millis, Ordering::Relaxed);
    }

    fn report(&self, what: &str) {
        eprintln!("{:7.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

fn shuffled<T: Copy>(kinds: &[(u64, T)], rng: &mut SmallRng) -> Vec<T> {
    let each = kinds
        .iter()
        .map(|(times, fault)| (0..*times).map(|_| *fault));
    let mut faults: Vec<_> = each.flatten().collect();
    faults.shuffle(rng);
    faults
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

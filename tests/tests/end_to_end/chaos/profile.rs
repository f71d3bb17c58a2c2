//! How much chaos: a little for every test run, or all of it with `make chaos`.

use std::fmt;
use std::time::Duration;

use dossier_tests::clock;

/// What is done to the parts, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Of the random number generators.
    pub seed: u64,
    /// Kills of a collector.
    pub kills: u64,
    /// Immediate stops of Postgres, which comes back at once.
    pub stops: u64,
    /// How long Postgres is away for once.
    pub away: Duration,
    /// Connections to a collector that are cut in the middle of a body.
    pub cuts: u64,
    /// Times at which the disk of both spools takes nothing.
    pub full_disks: u64,
    /// Steps of a producer's clock, by an hour.
    pub clock_steps: u64,
}

impl Profile {
    /// The long one where `DOSSIER_CHAOS` is `long`, with what other variables change of it.
    pub fn from_environment() -> Self {
        let preset = match std::env::var("DOSSIER_CHAOS").as_deref() {
            Ok("long") => LONG,
            Err(_) | Ok("short") => SHORT,
            Ok(other) => panic!("DOSSIER_CHAOS={other:?}: expected short or long"),
        };
        let seconds = number("AWAY_SECONDS", preset.away.as_secs());
        Self {
            seed: number("SEED", clock::now_micros()),
            kills: number("KILLS", preset.kills),
            stops: number("STOPS", preset.stops),
            away: Duration::from_secs(seconds),
            cuts: number("CUTS", preset.cuts),
            full_disks: number("FULL_DISKS", preset.full_disks),
            clock_steps: number("CLOCK_STEPS", preset.clock_steps),
        }
    }
}

/// Each kind of fault, in about half a minute.
const SHORT: Profile = Profile {
    seed: 0,
    kills: 4,
    stops: 1,
    away: Duration::from_secs(8),
    cuts: 4,
    full_disks: 1,
    clock_steps: 6,
};

const LONG: Profile = Profile {
    seed: 0,
    kills: 24,
    stops: 6,
    away: Duration::from_mins(2),
    cuts: 24,
    full_disks: 3,
    clock_steps: 60,
};

fn number(name: &str, absent: u64) -> u64 {
    let name = format!("DOSSIER_CHAOS_{name}");
    match std::env::var(&name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text:?}: expected a whole number")),
        Err(_) => absent,
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "seed {}: {} kills, {} stops of Postgres, {:?} without it, {} cuts, {} full disks, {} clock steps",
            self.seed,
            self.kills,
            self.stops,
            self.away,
            self.cuts,
            self.full_disks,
            self.clock_steps
        )
    }
}

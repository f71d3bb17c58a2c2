//! What programs have used of the processor and written to the log, as Linux and Postgres tell it.

use std::collections::HashMap;

use dossier_tests::HarnessError;

use crate::query::dataset::failed;
use crate::recorder::Recorder;

/// Linux counts in hundredths of a second, whatever its own clock is. In microseconds.
const TICK: f64 = 10_000.0;
/// Fields of `/proc/PID/stat` behind the name of the program, from 0.
const PARENT: usize = 1;
const OWN: std::ops::Range<usize> = 11..13;
const OF_ENDED_CHILDREN: std::ops::Range<usize> = 13..15;

/// CPU time in microseconds, and bytes of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    /// This program, and the `psql` that have ended.
    pub(super) sender: f64,
    pub(super) collector: f64,
    /// With all its processes.
    pub(super) postgres: f64,
    pub(super) log: f64,
}

impl Spent {
    /// By this collector and its Postgres, so far.
    pub(super) async fn of(recorder: &mut Recorder) -> Result<Self, HarnessError> {
        let mut postgres = 0.0;
        for process in recorder.collector.postgres_pids() {
            postgres += of_postgres(u32::try_from(process).unwrap_or_default())?;
        }
        let collector = match recorder.collector.process() {
            Some(process) => of_process(process.id())?,
            None => 0.0,
        };
        let log = sqlx::query_scalar(
            "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8",
        );
        let log = log.fetch_one(&mut recorder.database).await;
        Ok(Self {
            sender: of_process(std::process::id())?,
            collector,
            postgres,
            log: log.map_err(failed("ask how long the log is"))?,
        })
    }

    /// Since that.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            sender: self.sender - before.sender,
            collector: self.collector - before.collector,
            postgres: self.postgres - before.postgres,
            log: self.log - before.log,
        }
    }
}

/// Of a process, and of those of its children that have ended.
fn of_process(process: u32) -> Result<f64, HarnessError> {
    let fields = fields(process)?;
    Ok(ticks(&fields, OWN) + ticks(&fields, OF_ENDED_CHILDREN))
}

/// Of a Postgres: its first process, and all that serve or served.
fn of_postgres(first: u32) -> Result<f64, HarnessError> {
    let mut spent = of_process(first)?;
    let listing = std::fs::read_dir("/proc").map_err(HarnessError::io("list processes"))?;
    let numbers = listing.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    for process in numbers {
        // Others may end meanwhile.
        let Ok(fields) = fields(process) else {
            continue;
        };
        if fields.get(&PARENT).copied() == Some(u64::from(first)) {
            spent += ticks(&fields, OWN);
        }
    }
    Ok(spent)
}

fn fields(process: u32) -> Result<HashMap<usize, u64>, HarnessError> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).map_err(HarnessError::io(format!("read {path}")))?;
    // The name may hold anything, and ends at the last bracket.
    let behind = text.rsplit_once(") ").map_or("", |(_, behind)| behind);
    let numbers = behind.split(' ').enumerate();
    Ok(numbers
        .filter_map(|(place, field)| Some((place, field.parse().ok()?)))
        .collect())
}

fn ticks(fields: &HashMap<usize, u64>, places: std::ops::Range<usize>) -> f64 {
    let ticks: u64 = places.filter_map(|place| fields.get(&place)).sum();
    f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) * TICK
}

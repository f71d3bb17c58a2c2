//! The CPU time of programs, and the WAL that Postgres has written.

use std::collections::HashMap;

use dossier_tests::HarnessError;

use crate::query::dataset::failed;
use crate::recorder::Recorder;

/// Linux counts in hundredths of a second, whatever its own clock is. In microseconds.
const TICK: f64 = 10_000.0;
/// Fields of `/proc/PID/stat` behind the name of the program, from 0.
const PARENT: usize = 1;
const OWN_TIMES: std::ops::Range<usize> = 11..13;
const CHILDREN_TIMES: std::ops::Range<usize> = 13..15;

/// CPU time in microseconds, and bytes of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourceUsage {
    /// This program, and the `psql` that have ended.
    pub(super) sender: f64,
    pub(super) collector: f64,
    /// With all its processes.
    pub(super) postgres: f64,
    pub(super) log: f64,
}

impl ResourceUsage {
    /// By this collector and its Postgres, so far.
    pub(super) async fn read(recorder: &mut Recorder) -> Result<Self, HarnessError> {
        let mut postgres = 0.0;
        for process in recorder.collector.postgres_pids() {
            postgres += postgres_micros(u32::try_from(process).unwrap_or_default())?;
        }
        let collector = match recorder.collector.process() {
            Some(process) => process_micros(process.id())?,
            None => 0.0,
        };
        let log = sqlx::query_scalar(
            "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8",
        );
        let log = log.fetch_one(&mut recorder.database).await;
        Ok(Self {
            sender: process_micros(std::process::id())?,
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
fn process_micros(process: u32) -> Result<f64, HarnessError> {
    let fields = read_stat(process)?;
    Ok(ticks(&fields, OWN_TIMES) + ticks(&fields, CHILDREN_TIMES))
}

/// Of a Postgres: its first process, and all that serve or served.
fn postgres_micros(first: u32) -> Result<f64, HarnessError> {
    let mut usage = process_micros(first)?;
    let listing = std::fs::read_dir("/proc").map_err(HarnessError::io("list processes"))?;
    let numbers = listing.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    for process in numbers {
        // Others may end meanwhile.
        let Ok(fields) = read_stat(process) else {
            continue;
        };
        if fields.get(&PARENT).copied() == Some(u64::from(first)) {
            usage += ticks(&fields, OWN_TIMES);
        }
    }
    Ok(usage)
}

fn read_stat(process: u32) -> Result<HashMap<usize, u64>, HarnessError> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).map_err(HarnessError::io(format!("read {path}")))?;
    // The name may hold anything, and ends at the last bracket.
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let numbers = rest.split(' ').enumerate();
    Ok(numbers
        .filter_map(|(index, field)| Some((index, field.parse().ok()?)))
        .collect())
}

fn ticks(fields: &HashMap<usize, u64>, indexes: std::ops::Range<usize>) -> f64 {
    let ticks: u64 = indexes.filter_map(|index| fields.get(&index)).sum();
    f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) * TICK
}

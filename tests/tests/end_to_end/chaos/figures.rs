//! The results of a run, as a table.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::faults::FaultCounts;
use super::losses::Losses;

/// The results of a run.
pub struct Figures {
    pub took: Duration,
    pub requests: u64,
    pub captured: u64,
    pub batches_sent: u64,
    pub batches_retried: u64,
    pub batches_refused: u64,
    pub produced_batches: u64,
    pub produced_repeated: u64,
    pub produced_records: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dropped_bodies: u64,
    pub sessions: usize,
    pub peak: u64,
    pub losses: Losses,
    pub counts: FaultCounts,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
        let away = self.counts.away_millis.load(Ordering::Relaxed) / 1000;
        let mut rows = vec![
            ("under load", format!("{} s", self.took.as_secs())),
            ("collectors killed", done(&self.counts.kills)),
            ("Postgres stopped at once", done(&self.counts.stops)),
            ("Postgres away, in all", format!("{away} s")),
            ("connections cut within a body", done(&self.counts.cuts)),
            (
                "times that all disks were full",
                done(&self.counts.full_disks),
            ),
            ("clock steps of an hour", done(&self.counts.clock_steps)),
            (
                "requests through Envoy, all answered",
                self.requests.to_string(),
            ),
            ("records captured by the filter", self.captured.to_string()),
            ("its batches acknowledged", self.batches_sent.to_string()),
            (
                "its calls that had to be repeated",
                self.batches_retried.to_string(),
            ),
            ("its batches refused", self.batches_refused.to_string()),
            (
                "batches of other producers acknowledged",
                self.produced_batches.to_string(),
            ),
            (
                "of these sent once more",
                self.produced_repeated.to_string(),
            ),
            ("their records", self.produced_records.to_string()),
            ("records stored", self.stored.to_string()),
            ("stored more than once", self.duplicates.to_string()),
            ("sessions, all whole", self.sessions.to_string()),
        ];
        let lost = self.losses.by_reason();
        let lost: Vec<_> = lost
            .map(|(reason, records, bytes)| {
                let what = format!("reported as lost: {reason}");
                (what, format!("{records} records, {bytes} bytes of bodies"))
            })
            .collect();
        rows.extend(
            lost.iter()
                .map(|(what, much)| (what.as_str(), much.clone())),
        );
        rows.push((
            "records stored without their body",
            self.dropped_bodies.to_string(),
        ));
        let peak = format!("{} MiB", self.peak >> 20);
        rows.push(("peak memory of a collector", peak));
        for (what, much) in rows {
            writeln!(f, "{what:<42} {much}")?;
        }
        Ok(())
    }
}

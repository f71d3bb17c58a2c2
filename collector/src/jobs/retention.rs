//! Retention: partitions are made ahead, what has expired goes, old records of the collector's own go.

use tracing::{debug, info, warn};

use crate::app::App;
use crate::metrics::{RetentionMetrics, RunOutcome};
use crate::model::retention::RetentionPeriods;
use crate::settings::retention::RetentionSettings;
use crate::store::{
    AgedTable, DropOutcome, DropReport, RetentionLock, SessionPruneCursor, StoreError,
};

/// What the log and the metrics call the table of sessions.
const SESSIONS: &str = "sessions";

/// Does it again and again, until it is dropped.
pub(super) async fn run(app: &App, settings: RetentionSettings) {
    let metrics = &app.metrics.retention;
    let mut place = SessionPruneCursor::default();
    loop {
        let outcome = match once(app, settings.keep, &mut place).await {
            Ok(outcome) => outcome,
            Err(error) => {
                warn!(%error, "expired data was not dropped; the next run tries again");
                RunOutcome::failed
            }
        };
        metrics.record_run(outcome, app.clock.now());
        tokio::time::sleep(settings.interval).await;
    }
}

async fn once(
    app: &App,
    keep: RetentionPeriods,
    place: &mut SessionPruneCursor,
) -> Result<RunOutcome, StoreError> {
    let metrics = &app.metrics.retention;
    // Each collector knows what its own batches need.
    let days = app.store.create_partitions_ahead().await?;
    metrics.days_ahead.inc_by(days as u64);
    let Some(mut retention) = app.store.lock_retention(app.clock.now()).await? else {
        debug!("another collector drops expired data");
        return Ok(RunOutcome::elsewhere);
    };
    let mut outcome = RunOutcome::done;
    for report in retention.drop_partitions().await? {
        outcome = worse(outcome, tell(metrics, &report));
    }
    prune(&mut retention, metrics, keep, place).await?;
    retention.release().await?;
    Ok(outcome)
}

fn tell(metrics: &RetentionMetrics, report: &DropReport) -> RunOutcome {
    let partition = report.partition.name.as_str();
    match &report.outcome {
        DropOutcome::Dropped => {
            let bytes = report.partition.bytes;
            metrics.dropped_partitions.inc();
            let freed = u64::try_from(bytes).unwrap_or_default();
            metrics.freed_bytes.inc_by(freed);
            let took = report.elapsed;
            info!(partition, bytes, ?took, "expired data is gone");
            RunOutcome::done
        }
        DropOutcome::InUse => {
            info!(
                partition,
                "expired data is in use; the next run tries again"
            );
            RunOutcome::postponed
        }
        DropOutcome::Failed(error) => {
            warn!(partition, %error, "expired data was not dropped; the next run tries again");
            RunOutcome::failed
        }
    }
}

const fn worse(a: RunOutcome, b: RunOutcome) -> RunOutcome {
    match (a, b) {
        (RunOutcome::failed, _) | (_, RunOutcome::failed) => RunOutcome::failed,
        (RunOutcome::postponed, _) => RunOutcome::postponed,
        (_, b) => b,
    }
}

async fn prune(
    retention: &mut RetentionLock,
    metrics: &RetentionMetrics,
    keep: RetentionPeriods,
    place: &mut SessionPruneCursor,
) -> Result<(), StoreError> {
    for table in AgedTable::ALL {
        let rows = retention.prune(table, keep).await?;
        tell_pruned(metrics, table.as_str(), rows);
    }
    let rows = retention.prune_sessions(place).await?;
    tell_pruned(metrics, SESSIONS, rows);
    Ok(())
}

fn tell_pruned(metrics: &RetentionMetrics, table: &'static str, rows: u64) {
    metrics.count_pruned(table, rows);
    if rows > 0 {
        info!(table, rows, "old rows are gone");
    }
}

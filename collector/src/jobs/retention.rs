//! Retention: creates partitions ahead, drops expired ones, and deletes the collector's own old records.

use strum::VariantArray;
use tracing::{debug, info, instrument, warn};

use crate::app::App;
use crate::metrics::{RetentionMetrics, RunOutcome};
use crate::model::retention::RetentionPeriods;
use crate::settings::retention::RetentionSettings;
use crate::store::{
    AgedTable, DropOutcome, DropReport, RetentionLock, SessionPruneCursor, StoreError,
};

/// The table of sessions in the log and the metrics.
const SESSIONS: &str = "sessions";

/// Runs until it is dropped.
pub(super) async fn run(app: &App, settings: RetentionSettings) {
    let metrics = &app.metrics.retention;
    let mut cursor = SessionPruneCursor::default();
    loop {
        let outcome = match run_once(app, settings.keep, &mut cursor).await {
            Ok(outcome) => outcome,
            Err(error) => {
                warn!(%error, "retention failed; will retry at the next run");
                RunOutcome::failed
            }
        };
        metrics.record_run(outcome, app.clock.now());
        tokio::time::sleep(settings.interval).await;
    }
}

#[instrument(name = "retention.run", parent = None, skip_all, err(level = "debug"))]
async fn run_once(
    app: &App,
    periods: RetentionPeriods,
    cursor: &mut SessionPruneCursor,
) -> Result<RunOutcome, StoreError> {
    let metrics = &app.metrics.retention;
    // Not under the lock: each collector creates what its own batches need.
    let days = app.store.create_partitions_ahead().await?;
    metrics.days_ahead.inc_by(days as u64);
    let Some(mut retention) = app.store.lock_retention(app.clock.now()).await? else {
        debug!("another collector runs retention");
        return Ok(RunOutcome::elsewhere);
    };
    let mut outcome = RunOutcome::done;
    for report in retention.drop_partitions().await? {
        outcome = worse_of(outcome, record_drop(metrics, &report));
    }
    prune(&mut retention, metrics, periods, cursor).await?;
    retention.release().await?;
    Ok(outcome)
}

/// Adds a drop to the metrics and the log.
fn record_drop(metrics: &RetentionMetrics, report: &DropReport) -> RunOutcome {
    let partition = report.partition.name.as_str();
    match &report.outcome {
        DropOutcome::Dropped => {
            let bytes = report.partition.bytes;
            metrics.dropped_partitions.inc();
            let freed = u64::try_from(bytes).unwrap_or_default();
            metrics.freed_bytes.inc_by(freed);
            let elapsed = report.elapsed;
            info!(partition, bytes, ?elapsed, "expired partition dropped");
            RunOutcome::done
        }
        DropOutcome::InUse => {
            info!(
                partition,
                "expired partition is in use; will retry at the next run"
            );
            RunOutcome::postponed
        }
        DropOutcome::Failed(error) => {
            warn!(partition, %error, "expired partition not dropped; will retry at the next run");
            RunOutcome::failed
        }
    }
}

const fn worse_of(a: RunOutcome, b: RunOutcome) -> RunOutcome {
    match (a, b) {
        (RunOutcome::failed, _) | (_, RunOutcome::failed) => RunOutcome::failed,
        (RunOutcome::postponed, _) => RunOutcome::postponed,
        (_, b) => b,
    }
}

async fn prune(
    retention: &mut RetentionLock,
    metrics: &RetentionMetrics,
    periods: RetentionPeriods,
    cursor: &mut SessionPruneCursor,
) -> Result<(), StoreError> {
    for &table in AgedTable::VARIANTS {
        let rows = retention.prune(table, periods).await?;
        record_pruned(metrics, table.into(), rows);
    }
    let rows = retention.prune_sessions(cursor).await?;
    record_pruned(metrics, SESSIONS, rows);
    Ok(())
}

fn record_pruned(metrics: &RetentionMetrics, table: &'static str, rows: u64) {
    metrics.count_pruned(table, rows);
    if rows > 0 {
        info!(table, rows, "old rows deleted");
    }
}

//! `dossier retention`: shows when data is dropped, or drops now what has expired.

use std::io;
use std::process::ExitCode;
use strum::VariantArray;

use clap::{Args, Subcommand};
use time::OffsetDateTime;

use super::columns::{self, minute};
use super::{CliError, CommandDatabase, out};
use crate::model::clock::Clock;
use crate::model::retention::RetentionPeriods;
use crate::settings::DatabaseArgs;
use crate::settings::retention::RetentionPeriodArgs;
use crate::store::{
    AgedTable, DropOutcome, DropReport, Partition, PartitionKind, RowCount, SessionPruneCursor,
    Store,
};

/// Arguments of `dossier retention`.
#[derive(Debug, Args)]
pub(super) struct Retention {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show when each partition is dropped, with its day, entries and size
    Plan(Common),
    /// Drop now what has expired, as collectors do by themselves
    #[command(after_help = "\
The exit code is 0 if nothing is left to do. It is 1 if something is in use or has failed, or if a collector
is doing the same: try again, or leave it to the collector.")]
    Apply(Common),
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    periods: RetentionPeriodArgs,
}

impl Retention {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let (Command::Plan(common) | Command::Apply(common)) = &self.command;
        let periods = common.periods.into();
        let database = common.database.clone().resolve()?;
        let now = Clock::system().now();
        let database = CommandDatabase::open(database).await?;
        let result = match self.command {
            Command::Plan(_) => plan(&database.store, periods, now).await,
            Command::Apply(_) => apply(&database.store, periods, now).await,
        };
        database.close().await;
        result
    }
}

async fn plan(
    store: &Store,
    periods: RetentionPeriods,
    now: OffsetDateTime,
) -> Result<ExitCode, CliError> {
    store.migrate().await?;
    let mut lines = Vec::new();
    for partition in store.partitions().await? {
        let rows = store.rows_of(&partition).await?;
        lines.push(line(&partition, rows, now));
    }
    for &table in AgedTable::VARIANTS {
        let rows = store.aged_rows(table, periods, now).await?;
        let kept = table.retention(periods).map_or_else(
            || "kept forever".to_owned(),
            |kept| format!("older than {} days", kept.whole_days()),
        );
        lines.push([
            if rows > 0 { "now" } else { "-" }.to_owned(),
            <&str>::from(table).to_owned(),
            kept,
            rows.to_string(),
            "-".to_owned(),
        ]);
    }
    let head = ["DROPPED", "TABLE", "DAY", "ENTRIES", "BYTES"];
    out::text(columns::table(head, lines))?;
    Ok(ExitCode::SUCCESS)
}

fn line(partition: &Partition, rows: RowCount, now: OffsetDateTime) -> [String; 5] {
    [
        if partition.is_due(now) {
            "now".to_owned()
        } else {
            minute(partition.drop_due_at())
        },
        partition.name.clone(),
        match partition.kind {
            PartitionKind::Day(day) => day.to_string(),
            PartitionKind::Forever => "-".to_owned(),
        },
        match rows {
            RowCount::Exact(rows) => rows.to_string(),
            RowCount::Estimated(rows) => format!("~{rows}"),
            RowCount::Unknown => "not counted yet".to_owned(),
        },
        partition.bytes.to_string(),
    ]
}

async fn apply(
    store: &Store,
    periods: RetentionPeriods,
    now: OffsetDateTime,
) -> Result<ExitCode, CliError> {
    store.migrate().await?;
    let Some(mut retention) = store.lock_retention(now).await? else {
        eprintln!("dossier: a collector is dropping expired data: try again later");
        return Ok(ExitCode::FAILURE);
    };
    let reports = retention.drop_partitions().await?;
    let mut is_empty = reports.is_empty();
    for report in &reports {
        out::line(outcome(report))?;
    }
    for &table in AgedTable::VARIANTS {
        let rows = retention.prune(table, periods).await?;
        is_empty &= !print_pruned(table.into(), rows)?;
    }
    let mut cursor = SessionPruneCursor::default();
    let mut sessions = 0;
    loop {
        sessions += retention.prune_sessions(&mut cursor).await?;
        if cursor == SessionPruneCursor::default() {
            break;
        }
    }
    is_empty &= !print_pruned("sessions", sessions)?;
    retention.release().await?;
    if is_empty {
        out::line("Nothing has expired.")?;
    }
    let all_dropped = reports
        .iter()
        .all(|it| matches!(it.outcome, DropOutcome::Dropped));
    Ok(ExitCode::from(u8::from(!all_dropped)))
}

/// Returns whether rows were deleted.
fn print_pruned(table: &str, rows: u64) -> io::Result<bool> {
    if rows > 0 {
        out::line(format_args!("{table}: {rows} old rows deleted"))?;
    }
    Ok(rows > 0)
}

fn outcome(report: &DropReport) -> String {
    let Partition { name, bytes, .. } = &report.partition;
    match &report.outcome {
        DropOutcome::Dropped => {
            let took = report.elapsed.as_millis();
            format!("{name}: dropped, {bytes} bytes freed, in {took} ms")
        }
        DropOutcome::InUse => format!("{name}: in use, try again later"),
        DropOutcome::Failed(error) => format!("{name}: {error}"),
    }
}

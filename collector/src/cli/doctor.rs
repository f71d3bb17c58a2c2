//! `dossier doctor`: looks for what is wrong with the database and its surroundings. It changes
//! nothing, and says of each fault what to do.

mod finding;
mod folder;
mod spool;
mod tls;

use std::process::ExitCode;

use clap::Args;
use time::{Duration, OffsetDateTime};

use self::finding::{Finding, Verdict};
use super::{CliError, ShortUse, out};
use crate::model::clock::Clock;
use crate::postgres;
use crate::settings::spool::SpoolArgs;
use crate::settings::tls::TlsArgs;
use crate::settings::{Database, DatabaseArgs};
use crate::store::{self, MigrationName, PartitionState, Schema, Server, Store, StoreError};

/// The oldest Postgres that has what is needed.
const MIN_VERSION: i32 = 140_000;
const SKEW_TO_WARN: Duration = Duration::seconds(1);
const SKEW_TO_FAIL: Duration = Duration::minutes(1);

/// Arguments of `dossier doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line says ok, warn or fail, and of what is not ok, what to do. The exit code is 1 if anything fails.")]
pub(super) struct Doctor {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    spool: SpoolArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let spool = self.spool.resolve(&self.database)?;
        let tls = self.tls.settings();
        let mut findings = examine(self.database.resolve()?).await;
        findings.push(Finding::new("spool", spool::examine(spool.as_ref())));
        if let Some(tls) = tls {
            findings.push(Finding::new("tls", tls::examine(tls)));
        }
        for finding in &findings {
            out::line(finding)?;
        }
        let failed = findings.iter().any(Finding::is_failure);
        Ok(ExitCode::from(u8::from(failed)))
    }
}

async fn examine(database: Database) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Database::Private(folder) = &database {
        findings.push(Finding::new("data folder", folder::examine(folder)));
        if postgres::home(folder).is_none() {
            let verdict = Verdict::fail(
                "there is no private Postgres yet",
                "start dossier serve once, or name a database with --database-url",
            );
            findings.push(Finding::new("database", verdict));
            return findings;
        }
    }
    if let Database::Given { options, .. } = &database
        && let Err(error) = store::check_connection(options).await
    {
        findings.push(Finding::new("database", unreachable(&error)));
        return findings;
    }
    match ShortUse::open(database).await {
        Ok(opened) => {
            findings.extend(examine_store(&opened.store, &Clock::system()).await);
            opened.close().await;
        }
        Err(error) => findings.push(Finding::new("database", unreachable(&error))),
    }
    findings
}

async fn examine_store(store: &Store, clock: &Clock) -> Vec<Finding> {
    let before = clock.now();
    let server = match store.server().await {
        Ok(server) => server,
        Err(error) => return vec![Finding::new("database", unreachable(&error))],
    };
    let skew = skew(before, server.now, clock.now());
    let mut findings = vec![
        Finding::new("database", of_server(&server)),
        Finding::new("clock", of_skew(skew)),
    ];
    let schema = store.schema().await;
    let complete = matches!(&schema, Ok(schema) if schema.pending.is_empty());
    let verdict = schema.map_or_else(|error| of_error(&error), |schema| of_schema(&schema));
    findings.push(Finding::new("migrations", verdict));
    // What this program knows of is not all there yet.
    if complete {
        let state = store.partition_state(server.now).await;
        let verdict = state.map_or_else(|error| of_error(&error), |state| of_partitions(&state));
        findings.push(Finding::new("partitions", verdict));
        let verdict = of_isolation(store.check_isolation().await);
        findings.push(Finding::new("isolation", verdict));
    }
    findings
}

fn unreachable(error: &dyn std::error::Error) -> Verdict {
    Verdict::fail(
        &error.to_string(),
        "see that Postgres runs, that the URL and its password are right, and that it may be reached from here",
    )
}

fn of_error(error: &StoreError) -> Verdict {
    Verdict::fail(&error.to_string(), "see Postgres's own log for more")
}

fn of_server(server: &Server) -> Verdict {
    let version = server.version / 10_000;
    if server.version < MIN_VERSION {
        Verdict::fail(
            &format!("Postgres {version} answers"),
            "use Postgres 14 or newer",
        )
    } else if server.is_replica {
        Verdict::fail(
            &format!("Postgres {version} answers, but takes no writes: it is a replica"),
            "name the primary in the database URL",
        )
    } else {
        Verdict::ok(&format!("Postgres {version} answers"))
    }
}

/// How far Postgres's clock is off, at least: it was read at some time between the two of ours.
fn skew(before: OffsetDateTime, theirs: OffsetDateTime, after: OffsetDateTime) -> Duration {
    (before - theirs).max(theirs - after).max(Duration::ZERO)
}

fn of_skew(skew: Duration) -> Verdict {
    let told = format!(
        "this machine and Postgres differ by {:.1} s",
        skew.as_seconds_f64()
    );
    let advice =
        "let both machines keep their time by NTP: entries expire, and sessions end, by it";
    if skew >= SKEW_TO_FAIL {
        Verdict::fail(&told, advice)
    } else if skew >= SKEW_TO_WARN {
        Verdict::warn(&told, advice)
    } else {
        Verdict::ok("this machine and Postgres agree on the time")
    }
}

fn of_schema(schema: &Schema) -> Verdict {
    if let Some(MigrationName { version, .. }) = schema.altered.first() {
        return Verdict::fail(
            &format!("migration {version} was made by a dossier that was built otherwise"),
            "use a released version, on a database of its own",
        );
    }
    match (schema.pending.len(), schema.unknown.len()) {
        (0, 0) => Verdict::ok("the schema is up to date"),
        (0, unknown) => Verdict::warn(
            &format!("a newer dossier has made {unknown} migrations that this one does not know"),
            "use that version here, too; dossier migrate --check names them",
        ),
        (pending, _) => Verdict::fail(
            &format!("the schema lacks {pending} migrations"),
            "run dossier migrate, or start dossier serve, which does it too",
        ),
    }
}

fn of_partitions(state: &PartitionState) -> Verdict {
    if let Some(name) = state.missing.first() {
        return Verdict::fail(
            &format!("the partition {name} is gone"),
            "restore it from a backup: batches that need it are refused, or their entries lose their bodies",
        );
    }
    match (state.days, state.overdue.as_slice()) {
        (0, _) => Verdict::ok("no entry expires yet"),
        (days, []) => Verdict::ok(&format!("{days} days, none is overdue")),
        (days, [first, ..]) => Verdict::warn(
            &format!(
                "{days} days, but {} partitions should have been dropped long ago, the first is {first}",
                state.overdue.len()
            ),
            "run dossier retention apply and see what it says; see, too, that a collector runs: it does so every hour",
        ),
    }
}

fn of_isolation(checked: Result<(), StoreError>) -> Verdict {
    match checked {
        Ok(()) => Verdict::ok("Postgres keeps users apart"),
        Err(StoreError::Isolation(fault)) => {
            let text = fault.to_string();
            let (told, advice) = text
                .split_once(": ")
                .unwrap_or((&text, "see docs/operations.md"));
            Verdict::fail(told, advice)
        }
        Err(error) => of_error(&error),
    }
}

#[cfg(test)]
mod tests;

//! `dossier doctor`: diagnoses the database and its surroundings. It changes nothing, and says what to do about each
//! problem.

mod finding;
mod folder;
mod spool;
mod tls;

use std::process::ExitCode;

use clap::Args;
use time::{Duration, OffsetDateTime};

use self::finding::{Finding, Verdict};
use super::{CliError, CommandDatabase, out};
use crate::model::clock::Clock;
use crate::postgres;
use crate::settings::spool::SpoolArgs;
use crate::settings::tls::TlsArgs;
use crate::settings::{Database, DatabaseArgs};
use crate::store::{self, MigrationName, PartitionState, Schema, Server, Store, StoreError};

/// The oldest Postgres that has what is needed.
const MIN_VERSION: i32 = 140_000;
const MAX_UNNOTICED_SKEW: Duration = Duration::seconds(1);
const MAX_SKEW: Duration = Duration::minutes(1);

/// Arguments of `dossier doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line is ok, warn or fail; the last two say what to do. The exit code is 1 if anything fails.")]
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
                "the private Postgres does not exist yet",
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
    match CommandDatabase::open(database).await {
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
        Finding::new("database", check_server(&server)),
        Finding::new("clock", check_skew(skew)),
    ];
    let schema = store.schema().await;
    let is_complete = matches!(&schema, Ok(schema) if schema.pending.is_empty());
    let verdict = schema.map_or_else(|error| failure(&error), |schema| check_schema(&schema));
    findings.push(Finding::new("migrations", verdict));
    // These need all migrations.
    if is_complete {
        let state = store.partition_state(server.now).await;
        let verdict = state.map_or_else(|error| failure(&error), |state| check_partitions(&state));
        findings.push(Finding::new("partitions", verdict));
        let verdict = check_isolation(store.check_isolation().await);
        findings.push(Finding::new("isolation", verdict));
    }
    findings
}

fn unreachable(error: &dyn std::error::Error) -> Verdict {
    Verdict::fail(
        &error.to_string(),
        "check that Postgres runs, that the URL and its password are correct, and that this machine can reach it",
    )
}

fn failure(error: &StoreError) -> Verdict {
    Verdict::fail(&error.to_string(), "see the log of Postgres")
}

fn check_server(server: &Server) -> Verdict {
    let version = server.version / 10_000;
    if server.version < MIN_VERSION {
        Verdict::fail(
            &format!("Postgres {version} answers"),
            "use Postgres 14 or newer",
        )
    } else if server.is_replica {
        Verdict::fail(
            &format!("Postgres {version} answers, but is a read-only replica"),
            "name the primary in the database URL",
        )
    } else {
        Verdict::ok(&format!("Postgres {version} answers"))
    }
}

/// The minimum difference of the clocks: Postgres's was read between the two readings of this machine's.
fn skew(before: OffsetDateTime, theirs: OffsetDateTime, after: OffsetDateTime) -> Duration {
    (before - theirs).max(theirs - after).max(Duration::ZERO)
}

fn check_skew(skew: Duration) -> Verdict {
    let state = format!(
        "this machine and Postgres differ by {:.1} s",
        skew.as_seconds_f64()
    );
    let advice = "synchronize both clocks by NTP: expiry and sessions depend on them";
    if skew >= MAX_SKEW {
        Verdict::fail(&state, advice)
    } else if skew >= MAX_UNNOTICED_SKEW {
        Verdict::warn(&state, advice)
    } else {
        Verdict::ok("this machine and Postgres agree on the time")
    }
}

fn check_schema(schema: &Schema) -> Verdict {
    if let Some(MigrationName { version, .. }) = schema.altered.first() {
        return Verdict::fail(
            &format!("migration {version} differs from the one that was applied"),
            "use a released version, and a database that no other program has migrated",
        );
    }
    match (schema.pending.len(), schema.unknown.len()) {
        (0, 0) => Verdict::ok("the schema is up to date"),
        (0, unknown) => Verdict::warn(
            &format!(
                "a newer dossier has applied {unknown} migrations that this one does not know"
            ),
            "use that version here as well; dossier migrate --check lists them",
        ),
        (pending, _) => Verdict::fail(
            &format!("{pending} migrations are pending"),
            "run dossier migrate, or start dossier serve, which applies them",
        ),
    }
}

fn check_partitions(state: &PartitionState) -> Verdict {
    if let Some(name) = state.missing.first() {
        return Verdict::fail(
            &format!("the partition {name} is missing"),
            "restore it from a backup: batches that need it are refused, or lose their bodies",
        );
    }
    match (state.days, state.overdue.as_slice()) {
        (0, _) => Verdict::ok("no entry expires yet"),
        (days, []) => Verdict::ok(&format!("{days} days, none overdue")),
        (days, [first, ..]) => Verdict::warn(
            &format!(
                "{days} days, {} partitions overdue to be dropped, first {first}",
                state.overdue.len()
            ),
            "run dossier retention apply and read its output; check that a collector runs, which drops them every hour",
        ),
    }
}

fn check_isolation(checked: Result<(), StoreError>) -> Verdict {
    match checked {
        Ok(()) => Verdict::ok("Postgres isolates users"),
        Err(StoreError::Isolation(error)) => {
            let text = error.to_string();
            let (state, advice) = text
                .split_once(": ")
                .unwrap_or((&text, "see docs/operations.md"));
            Verdict::fail(state, advice)
        }
        Err(error) => failure(&error),
    }
}

#[cfg(test)]
mod tests;

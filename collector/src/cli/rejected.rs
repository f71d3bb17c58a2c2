//! `dossier rejected`: lists, shows, stores after all, and deletes records that were rejected.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::columns::{in_one_line, minute, table};
use super::{CliError, CommandDatabase, out};
use crate::ingest::{self, RetryError};
use crate::model::clock::Clock;
use crate::model::ids::RejectedId;
use crate::settings::DatabaseArgs;
use crate::store::{RejectedSummary, Store, StoredRejected};

/// Arguments of `dossier rejected`.
#[derive(Debug, Args)]
pub(super) struct Rejected {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the latest rejected records, and why each was rejected
    List(List),
    /// Print a rejected record: the reason, its header and its body
    Show(Show),
    /// Store rejected records after what was wrong is mended
    #[command(after_help = "The exit code is 1 if a record is rejected again; it stays then.")]
    Retry(Selection),
    /// Delete rejected records
    Delete(Selection),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    database: DatabaseArgs,

    /// How many of the latest to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..))]
    limit: u8,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Its id, as `dossier rejected list` shows it
    #[arg(value_name = "ID")]
    id: RejectedId,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
struct Selection {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Ids, as `dossier rejected list` shows them
    #[arg(value_name = "ID", group = "which")]
    ids: Vec<RejectedId>,

    /// All that were rejected
    #[arg(long, group = "which")]
    all: bool,
}

/// What is done with each record of a selection.
#[derive(Debug, Clone, Copy)]
enum Action {
    Retry,
    Delete,
}

/// Records in a page of a selection.
const PAGE: u8 = 100;

impl Rejected {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        match self.command {
            Command::List(list) => list.run().await,
            Command::Show(show) => show.run().await,
            Command::Retry(selection) => selection.run(Action::Retry).await,
            Command::Delete(selection) => selection.run(Action::Delete).await,
        }
    }
}

impl List {
    async fn run(self) -> Result<ExitCode, CliError> {
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let listed = async {
            database.store.migrate().await?;
            database.store.list_rejected(None, self.limit).await
        };
        let listed = listed.await;
        database.close().await;
        let records = listed?;
        let rows = records.iter().take(self.limit.into()).map(|record| {
            [
                record.id.to_string(),
                minute(Some(record.received_at)),
                record.body_bytes.to_string(),
                if record.truncated { "truncated" } else { "" }.to_owned(),
                record.reason.clone(),
            ]
        });
        out::text(table(["ID", "RECEIVED", "BODY BYTES", "", "REASON"], rows))?;
        if records.len() > self.limit.into() {
            eprintln!("There are more: select more with --limit.");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    async fn run(self) -> Result<ExitCode, CliError> {
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let found = database.store.rejected(self.id).await;
        database.close().await;
        let Some(record) = found? else {
            return Ok(not_found(self.id));
        };
        out::line(format_args!(
            "reason: {}",
            in_one_line(&record.summary.reason)
        ))?;
        out::line(format_args!("header: {}", printable(&record.header)))?;
        out::line(format_args!("body: {}", printable(&record.body)))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Selection {
    async fn run(self, action: Action) -> Result<ExitCode, CliError> {
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let done = async {
            database.store.migrate().await?;
            if self.all {
                act_on_all(&database.store, action).await
            } else {
                act_on(&database.store, action, &self.ids).await
            }
        };
        let done = done.await;
        database.close().await;
        done
    }
}

/// Page by page, so that memory is bounded. A record that stays does not come again.
async fn act_on_all(store: &Store, action: Action) -> Result<ExitCode, CliError> {
    let (mut after, mut code) = (None, ExitCode::SUCCESS);
    loop {
        let page = store.list_rejected(after, PAGE).await?;
        let ids: Vec<_> = page.iter().map(|record| record.id).collect();
        let Some(last) = page.last().and_then(RejectedSummary::cursor) else {
            return Ok(code);
        };
        if act_on(store, action, &ids).await? != ExitCode::SUCCESS {
            code = ExitCode::FAILURE;
        }
        after = Some(last);
    }
}

async fn act_on(store: &Store, action: Action, ids: &[RejectedId]) -> Result<ExitCode, CliError> {
    let mut code = ExitCode::SUCCESS;
    for &id in ids {
        let Some(record) = store.rejected(id).await? else {
            code = not_found(id);
            continue;
        };
        match action {
            Action::Delete => {
                store.delete_rejected(id).await?;
                out::line(format_args!("{id} deleted"))?;
            }
            Action::Retry => match retry(store, &record).await {
                Ok(()) => out::line(format_args!("{id} stored"))?,
                Err(RetryError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    eprintln!("{id} stays: {error}");
                    code = ExitCode::FAILURE;
                }
            },
        }
    }
    Ok(code)
}

async fn retry(store: &Store, record: &StoredRejected) -> Result<(), RetryError> {
    ingest::retry(store, record, Clock::system().now())?.await
}

fn not_found(id: RejectedId) -> ExitCode {
    eprintln!("{id}: there is no such rejected record");
    ExitCode::FAILURE
}

/// Records come from traffic: none may send control characters to a terminal.
fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => in_one_line(text),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

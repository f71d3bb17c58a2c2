//! `dossier gaps`: shows losses that producers reported.

use std::process::ExitCode;

use clap::Args;

use super::columns::{minute, table};
use super::{CliError, CommandDatabase, out};
use crate::settings::DatabaseArgs;

/// Arguments of `dossier gaps`.
#[derive(Debug, Args)]
pub(super) struct Gaps {
    #[command(flatten)]
    database: DatabaseArgs,

    /// How many of the latest to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..))]
    limit: u8,
}

impl Gaps {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let listed = async {
            database.store.migrate().await?;
            database.store.list_gaps(None, self.limit).await
        };
        let listed = listed.await;
        database.close().await;
        let gaps = listed?;
        let rows = gaps.iter().take(self.limit.into()).map(|gap| {
            [
                minute(Some(gap.first_at)),
                minute(Some(gap.last_at)),
                <&str>::from(gap.reason).to_owned(),
                gap.records.to_string(),
                gap.bytes.to_string(),
            ]
        });
        out::text(table(["FROM", "TO", "REASON", "RECORDS", "BYTES"], rows))?;
        if gaps.len() > self.limit.into() {
            eprintln!("There are more gaps: select more with --limit.");
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! `dossier dictionaries`: lists compression dictionaries and their ratios.

use clap::Args;

use super::{CliError, CommandDatabase, out};
use crate::jobs;
use crate::model::clock::Clock;
use crate::settings::DatabaseArgs;
use crate::store::DictionaryRecord;

/// Arguments of `dossier dictionaries`.
#[derive(Debug, Args)]
pub(super) struct Dictionaries {
    /// First train missing or outdated ones, as collectors do by themselves every few minutes
    #[arg(long)]
    make: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Dictionaries {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let listed = async {
            if self.make {
                jobs::dictionaries::train(&database.store, Clock::system().now()).await?;
            }
            database.store.list_dictionaries().await
        };
        let listed = listed.await;
        database.close().await;
        for line in lines(&listed?) {
            out::line(line)?;
        }
        Ok(())
    }
}

fn lines(records: &[DictionaryRecord]) -> impl Iterator<Item = String> {
    let head = "RATIO  STATE    MADE        HALF      ENDPOINT".to_owned();
    let line = |record: &DictionaryRecord| {
        let state = if record.retired { "retired" } else { "in use" };
        format!(
            "{:<5.3}  {state:<7}  {}  {:<8}  {}",
            record.ratio,
            record.created_at.date(),
            <&str>::from(record.half),
            record.endpoint
        )
    };
    std::iter::once(head).chain(records.iter().map(line))
}

//! `dossier migrate`: brings the schema up to date, or lists pending migrations.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::{CliError, CommandDatabase, out};
use crate::settings::DatabaseArgs;
use crate::store::{MigrationName, Schema};

const PENDING: u8 = 3;
const NEWER: u8 = 4;
const ALTERED: u8 = 5;

/// Arguments of `dossier migrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes of --check:
  0  the schema is what this program expects
  1  unknown, for example because the database cannot be reached
  3  migrations are pending: dossier migrate applies them
  4  a newer dossier has applied migrations that this one does not know; it works with them
  5  a migration differs from the one that was applied: this dossier will not start")]
pub(super) struct Migrate {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Change nothing, only say which migrations are pending or unknown
    #[arg(long)]
    check: bool,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        if self.check {
            let schema = database.store.schema().await;
            database.close().await;
            let schema = schema?;
            out::text(report(&schema))?;
            return Ok(ExitCode::from(exit_code(&schema)));
        }
        let migrated = database.store.migrate().await;
        database.close().await;
        migrated?;
        eprintln!("The database is up to date.");
        Ok(ExitCode::SUCCESS)
    }
}

/// The exit code of the most severe difference.
const fn exit_code(schema: &Schema) -> u8 {
    if !schema.altered.is_empty() {
        ALTERED
    } else if !schema.pending.is_empty() {
        PENDING
    } else if !schema.unknown.is_empty() {
        NEWER
    } else {
        0
    }
}

/// A line for each migration that differs.
fn report(schema: &Schema) -> String {
    if schema.is_current() {
        return "The database is up to date.\n".to_owned();
    }
    let groups = [
        ("pending", &schema.pending),
        ("unknown", &schema.unknown),
        ("altered", &schema.altered),
    ];
    let lines = groups
        .into_iter()
        .flat_map(|(word, names)| names.iter().map(move |name| (word, name)));
    lines.fold(String::new(), |mut text, (word, name)| {
        let MigrationName {
            version,
            description,
        } = name;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}  {version:04} {description}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_each_migration_with_most_severe_status() {
        let name = |version, description: &str| MigrationName {
            version,
            description: description.to_owned(),
        };
        let mut schema = Schema::default();
        assert_eq!(report(&schema), "The database is up to date.\n");
        assert_eq!(exit_code(&schema), 0);
        schema.unknown = vec![name(12, "later")];
        assert_eq!(exit_code(&schema), NEWER);
        schema.pending = vec![name(3, "by number"), name(4, "isolation")];
        assert_eq!(exit_code(&schema), PENDING);
        assert_eq!(
            report(&schema),
            "pending  0003 by number\npending  0004 isolation\nunknown  0012 later\n"
        );
        schema.altered = vec![name(1, "initial")];
        assert_eq!(exit_code(&schema), ALTERED);
    }
}

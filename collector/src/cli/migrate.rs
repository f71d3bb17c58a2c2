//! `dossier migrate`: brings the schema up to date, or says what it lacks.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::{CliError, ShortUse, out};
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
  1  it cannot be told, for example because the database cannot be reached
  3  migrations are pending: dossier migrate makes them
  4  a newer dossier has made migrations that this one does not know; it can work with them
  5  a migration was made by a dossier that was built otherwise: this one will not start")]
pub(super) struct Migrate {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Change nothing, only say which migrations are pending or unknown
    #[arg(long)]
    check: bool,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let database = ShortUse::open(self.database.resolve()?).await?;
        if self.check {
            let schema = database.store.schema().await;
            database.close().await;
            let schema = schema?;
            out::text(told(&schema))?;
            return Ok(ExitCode::from(code(&schema)));
        }
        let migrated = database.store.migrate().await;
        database.close().await;
        migrated?;
        eprintln!("The database is up to date.");
        Ok(ExitCode::SUCCESS)
    }
}

/// The gravest.
const fn code(schema: &Schema) -> u8 {
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

/// A line for each migration that is not as it should be.
fn told(schema: &Schema) -> String {
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
    fn each_migration_has_a_line_and_the_gravest_decides() {
        let name = |version, description: &str| MigrationName {
            version,
            description: description.to_owned(),
        };
        let mut schema = Schema::default();
        assert_eq!(told(&schema), "The database is up to date.\n");
        assert_eq!(code(&schema), 0);
        schema.unknown = vec![name(12, "later")];
        assert_eq!(code(&schema), NEWER);
        schema.pending = vec![name(3, "by number"), name(4, "isolation")];
        assert_eq!(code(&schema), PENDING);
        assert_eq!(
            told(&schema),
            "pending  0003 by number\npending  0004 isolation\nunknown  0012 later\n"
        );
        schema.altered = vec![name(1, "initial")];
        assert_eq!(code(&schema), ALTERED);
    }
}

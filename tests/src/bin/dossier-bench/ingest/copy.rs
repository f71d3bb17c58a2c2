//! Writes the rows of ingested batches to files, and copies them into the same tables by `psql`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use dossier_tests::HarnessError;
use tokio::process::Command;

/// Tables, with the condition for rows after the entry `$id`, or later than `$since`. Sessions that existed
/// before cannot be copied.
const TABLES: [(&str, &str); 4] = [
    ("entries", "id > $id order by id"),
    ("bodies", "entry_id > $id order by entry_id"),
    (
        "sessions",
        "created_at >= (select min(started_at) from entries where id > $id)",
    ),
    ("ingest_ledger", "received_at >= '$since'"),
];
/// The table whose rows several `psql` share; the first of them has the others to itself.
const SHARED: &str = "entries";

/// A cluster that `psql` reaches.
pub(super) struct Cluster {
    socket: PathBuf,
}

/// Rows in files of one folder.
pub(super) struct Rows {
    /// For each `psql` its own.
    files: Vec<Vec<(&'static str, PathBuf)>>,
    entries: usize,
}

impl Rows {
    /// How many entries they are.
    pub(super) const fn entries(&self) -> usize {
        self.entries
    }
}

impl Cluster {
    /// That of the collector with its data here.
    pub(super) fn of(data: &Path) -> Self {
        Self {
            socket: data.join("postgres/socket"),
        }
    }

    /// Writes the rows that came rest this entry and moment, for so many `psql`.
    pub(super) async fn dump(
        &self,
        folder: &Path,
        (id, since): &(i64, String),
        processes: usize,
    ) -> Result<Rows, HarnessError> {
        let mut entries = 0;
        let mut files = Vec::new();
        for process in 0..processes {
            let mut of_copy = Vec::new();
            for (table, rows) in TABLES {
                if process > 0 && table != SHARED {
                    continue;
                }
                let rows = rows
                    .replace("$id", &id.to_string())
                    .replace("$since", since);
                let rows = if table == SHARED {
                    format!("id % {processes} = {process} and {rows}")
                } else {
                    rows
                };
                let file = folder.join(format!("{table}-{process}"));
                let command = format!(
                    "\\copy (select * from {table} where {rows}) to '{}' (format binary)",
                    file.display()
                );
                let written = self.psql(&[command]).await?;
                entries += if table == SHARED { written } else { 0 };
                of_copy.push((table, file));
            }
            files.push(of_copy);
        }
        Ok(Rows { files, entries })
    }

    /// Copies rows in. Each `psql` is one transaction. Returns how many rows it was in all.
    pub(super) async fn copy(&self, rows: &Rows) -> Result<usize, HarnessError> {
        let running = rows.files.iter().map(async |files| {
            let commands: Vec<_> = files
                .iter()
                .map(|(table, file)| {
                    format!("\\copy {table} from '{}' (format binary)", file.display())
                })
                .collect();
            self.psql(&commands).await
        });
        let copied = futures_util::future::try_join_all(running).await?;
        Ok(copied.into_iter().sum())
    }

    /// Returns how many rows were copied.
    async fn psql(&self, commands: &[String]) -> Result<usize, HarnessError> {
        let mut command = Command::new(program());
        command
            .args(["--no-psqlrc", "--single-transaction"])
            .args(["--set", "ON_ERROR_STOP=1"])
            .args(["--username", "dossier", "--dbname", "dossier", "--host"])
            .arg(&self.socket);
        for each in commands {
            command.arg("--command").arg(each);
        }
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = output.await.map_err(HarnessError::io("run psql"))?;
        if output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            let counts = said.lines().filter_map(|line| line.strip_prefix("COPY "));
            return Ok(counts.filter_map(|count| count.parse::<usize>().ok()).sum());
        }
        Err(HarnessError::CommandFailed {
            command: format!("psql: {}", commands.join("; ")),
            status: output.status,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Debian's own `psql` is a script that looks for the real one first.
fn program() -> PathBuf {
    let folder = std::env::var_os("DOSSIER_PG_BIN").map(PathBuf::from);
    folder.unwrap_or_default().join("psql")
}

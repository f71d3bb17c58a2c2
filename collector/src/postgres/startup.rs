//! Waits until Postgres accepts connections, and creates the database.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use super::error::PostgresError;
use super::layout::{DATABASE, Layout};
use super::parameters::{POLL_INTERVAL, START_TIMEOUT};

/// How much of the end of Postgres's log is searched for the last error.
const MAX_LOG_TAIL_BYTES: u64 = 4096;

pub(super) async fn wait_until_ready(
    layout: &Layout,
    child: &mut Child,
) -> Result<(), PostgresError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Ok(connection) = PgConnection::connect_with(&layout.options("postgres")).await {
            connection.close().await?;
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(PostgresError::Failed {
                program: "postgres",
                status,
                reason: last_error(&layout.log()),
                log: layout.log(),
            });
        }
        if Instant::now() > deadline {
            return Err(PostgresError::Silent { log: layout.log() });
        }
        sleep(POLL_INTERVAL).await;
    }
}

pub(super) async fn create_database(layout: &Layout) -> Result<(), PostgresError> {
    let mut connection = PgConnection::connect_with(&layout.options("postgres")).await?;
    let exists: bool = sqlx::query("select exists (select from pg_database where datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?
        .try_get(0)?;
    if !exists {
        sqlx::query("create database dossier")
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

/// The last fatal error in Postgres's log, after a separator.
pub(super) fn last_error(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_LOG_TAIL_BYTES)))?;
        let mut end = Vec::new();
        file.take(MAX_LOG_TAIL_BYTES).read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    };
    let end = read().unwrap_or_default();
    end.lines()
        .rev()
        .find_map(|line| line.split_once("FATAL:"))
        .map(|(_, reason)| format!("; {}", reason.trim()))
        .unwrap_or_default()
}

//! A group's transaction holds its users' locks until it ends, and the log's sync would be the end of it. So the
//! group is committed without waiting for the sync, the next one begins, and the sync is waited for apart.
//! Nobody is told before.

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::batches::Stored;
use super::{Store, StoreError, give_up};

/// The log is durable up to here once a transaction behind it is. This one writes a message that nobody reads, so
/// that there is something to commit.
const SYNC: &str = "select from pg_logical_emit_message(true, 'dossier', '')";

/// When what a transaction wrote is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// When its commit returns.
    AtCommit,
    /// After the next [`Store::sync`].
    Later,
}

/// Who waits for what became of a batch.
pub(super) type Outcome = oneshot::Sender<Result<Stored, StoreError>>;

/// A group that is committed and may not be durable yet.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) stored: Vec<Stored>,
    pub(super) deadline: Instant,
}

impl Committed {
    /// Makes it durable, then tells everybody. If that fails, they are told to ask again: the ledger knows
    /// their batches, if they are still there.
    pub(super) async fn make_durable(self, store: Store) {
        let synced = store.sync(self.deadline).await;
        tell(self.outcomes, synced.map(|()| self.stored));
    }
}

/// Tells each what became of its batch, or all of them the same error.
pub(super) fn tell(mut outcomes: Vec<Outcome>, stored: Result<Vec<Stored>, StoreError>) {
    // Who does not wait any more will ask again.
    match stored {
        Ok(stored) => {
            for (outcome, stored) in outcomes.into_iter().zip(stored) {
                let _ = outcome.send(Ok(stored));
            }
        }
        Err(error) => {
            let last = outcomes.pop();
            for outcome in outcomes {
                let _ = outcome.send(Err(error.told_again()));
            }
            let _ = last.map(|outcome| outcome.send(Err(error)));
        }
    }
}

impl Store {
    /// Returns when all that was committed before is durable.
    async fn sync(&self, deadline: Instant) -> Result<(), StoreError> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let mut connection = self.connection(patience).await?;
        let syncing = sqlx::query(SYNC).execute(&mut *connection);
        match timeout_at(deadline, syncing).await {
            Ok(synced) => Ok(synced.map(drop)?),
            Err(_) => Err(give_up(connection, patience)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::{Connection, PgConnection};

    use super::super::batches::begin;
    use super::super::testing::Database;
    use super::*;

    async fn ask(connection: &mut PgConnection, question: &'static str) -> String {
        let answer = sqlx::query_scalar(question).fetch_one(connection).await;
        answer.unwrap()
    }

    #[tokio::test]
    async fn what_was_committed_without_a_sync_is_durable_after_it() {
        let database = Database::start().await;
        let store = database.store();
        store.migrate().await.unwrap();
        let mut connection = store.pool.acquire().await.unwrap();
        for durable in [Durable::Later, Durable::AtCommit] {
            let mut transaction = connection.begin_with(begin(durable)).await.unwrap();
            let commit = ask(&mut transaction, "show synchronous_commit").await;
            assert_eq!(commit == "off", durable == Durable::Later);
            let note = "insert into ingest_ledger values (gen_random_uuid(), now(), 0)";
            sqlx::query(note).execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
            let written = ask(&mut connection, "select pg_current_wal_insert_lsn()::text").await;
            if durable == Durable::Later {
                let deadline = Instant::now() + Duration::from_secs(20);
                store.sync(deadline).await.unwrap();
            }
            let durable: bool =
                sqlx::query_scalar("select pg_current_wal_flush_lsn() >= $1::pg_lsn")
                    .bind(&written)
                    .fetch_one(&mut *connection)
                    .await
                    .unwrap();
            assert!(durable, "{written}");
        }
        drop(connection);
        database.stop([store]).await;
    }

    #[tokio::test]
    async fn what_could_not_be_made_durable_is_not_told_as_stored() {
        let database = Database::start().await;
        let store = database.store();
        let (outcomes, told): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
        let committed = Committed {
            outcomes,
            stored: vec![Stored::Now; 2],
            deadline: Instant::now(),
        };
        committed.make_durable(store.clone()).await;
        for told in told {
            assert!(matches!(told.await, Ok(Err(StoreError::NoAnswer(_)))));
        }
        database.stop([store]).await;
    }
}

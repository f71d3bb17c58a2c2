//! What can go wrong in the store, and whether the same call may succeed later.
//!
//! Errors are logged and become part of traces, so their texts must not contain stored values. Postgres puts
//! values into the details of an error, which are never shown, and, for some SQLSTATEs, into its message: see
//! [`Cause`].

use std::fmt;
use std::time::Duration;

use sqlx::error::DatabaseError;

use super::IsolationError;

/// `query_canceled`: the statement exceeded `statement_timeout`.
pub(super) const QUERY_CANCELED: &str = "57014";
/// `out_of_memory`: for example, the table of locks is full.
const OUT_OF_MEMORY: &str = "53200";
/// `check_violation`. Without the name of a constraint, it says that a partition is missing.
const CHECK_VIOLATION: &str = "23514";
/// `lock_not_available`: the statement exceeded `lock_timeout`.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";

/// SQLSTATE classes that are resolved without another statement: connections, a server that became a replica,
/// the password or database while it is restored, serialization, resources, shutdown, the server's disk.
const TRANSIENT: &[&str] = &["08", "25006", "28", "3D", "40", "53", "57", "58"];
/// SQLSTATE classes with which Postgres refuses values that it is given: data, constraints, views with check
/// options, limits of the program (as the size of an index's row).
const REFUSED: &[&str] = &["22", "23", "44", "54"];
/// The password or the database is wrong.
const AUTH_FAILURE: &[&str] = &["28", "3D"];
/// SQLSTATE classes whose messages name connections, objects and limits, and no values. Class 22, for example,
/// has "invalid input syntax for type uuid: …", with the value.
const WITHOUT_VALUES: &[&str] = &[
    "08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX",
];

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres is down or overloaded: transient.
    #[error("Postgres is unavailable: {}", Cause(.0))]
    Unavailable(#[source] sqlx::Error),
    /// Postgres did not answer in time: transient.
    #[error("Postgres did not answer within {0:?}")]
    Timeout(Duration),
    /// Since the start of this program the database could not be prepared yet: transient.
    #[error("the database is not ready: it has not been reached since the start")]
    NotReady,
    /// A read exceeded the statement timeout. It would do so again.
    #[error("the query exceeded the statement timeout")]
    ReadTimeout,
    /// A statement failed, and would fail again.
    #[error("a statement failed: {}", Cause(.0))]
    Database(#[source] sqlx::Error),
    /// The schema could not be migrated.
    #[error("the database could not be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Row-level security is not in force.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// A body was compressed with a dictionary that has been deleted meanwhile. Compressed again, it can be
    /// stored.
    #[error("a compression dictionary was deleted while in use; send the batch again")]
    DictionaryDeleted,
    /// A stored value is not one that the schema allows.
    #[error("unknown value in column {column}; a newer version may have written it")]
    UnknownValue {
        /// The column.
        column: &'static str,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            sqlx::Error::Database(database) if in_class(&**database, TRANSIENT) => {
                Self::Unavailable(error)
            }
            _ => Self::Database(error),
        }
    }
}

impl StoreError {
    /// Whether Postgres is down or busy, so that the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Timeout(_) | Self::NotReady
        )
    }

    /// Whether other writes would fail too.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.is_transient() && !self.is_resource_exhausted()
    }

    /// Whether a batch needs more of a resource, such as locks, than this Postgres has. Other batches may
    /// still succeed.
    #[must_use]
    pub fn is_resource_exhausted(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Database(error)) => {
                error.code().as_deref() == Some(OUT_OF_MEMORY)
            }
            _ => false,
        }
    }

    /// Why Postgres refuses what it was given, without any value of it. It would refuse it again.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Self::Database(cause @ sqlx::Error::Database(error))
                if in_class(&**error, REFUSED) && !self.is_missing_partition() =>
            {
                Some(format!("Postgres refuses it: {}", Cause(cause)))
            }
            _ => None,
        }
    }

    /// Whether a row had no partition: it may have been dropped since it was cached.
    pub(super) fn is_missing_partition(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().as_deref() == Some(CHECK_VIOLATION) && error.constraint().is_none()
            }
            _ => false,
        }
    }

    /// Whether a single batch of a group may be the cause.
    pub(super) fn is_batch_specific(&self) -> bool {
        matches!(self, Self::Database(_) | Self::DictionaryDeleted) || self.is_resource_exhausted()
    }

    /// Whether Postgres is up but refuses this program: an operator has to act.
    #[must_use]
    pub fn is_auth_failure(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Tls(_)) => true,
            Self::Unavailable(sqlx::Error::Database(error)) => in_class(&**error, AUTH_FAILURE),
            _ => false,
        }
    }

    /// The same error for a read: a write that exceeded the statement timeout may be tried again, a read
    /// would exceed it again.
    pub(super) fn for_read(self) -> Self {
        match &self {
            Self::Unavailable(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(QUERY_CANCELED) =>
            {
                Self::ReadTimeout
            }
            _ => self,
        }
    }

    /// The same error for another batch of the same transaction.
    pub(super) fn clone_for_batch(&self) -> Self {
        match self {
            Self::Timeout(timeout) => Self::Timeout(*timeout),
            Self::DictionaryDeleted => Self::DictionaryDeleted,
            Self::NotReady => Self::NotReady,
            Self::Unavailable(error) => {
                Self::Unavailable(sqlx::Error::Protocol(Cause(error).to_string()))
            }
            Self::Database(error) => {
                Self::Database(sqlx::Error::Protocol(Cause(error).to_string()))
            }
            other => Self::Database(sqlx::Error::Protocol(other.to_string())),
        }
    }
}

fn in_class(error: &dyn DatabaseError, classes: &[&str]) -> bool {
    error
        .code()
        .is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

/// An error of sqlx, displayed without stored values.
struct Cause<'a>(&'a sqlx::Error);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            sqlx::Error::Database(error) => write_database_error(f, &**error),
            // serde_json's errors, for one, quote what they could not read.
            sqlx::Error::ColumnDecode { index, .. } => write!(f, "cannot decode column {index}"),
            sqlx::Error::Decode(_) => f.write_str("cannot decode a value"),
            sqlx::Error::Encode(_) => f.write_str("cannot encode a value"),
            other => other.fmt(f),
        }
    }
}

fn write_database_error(f: &mut fmt::Formatter<'_>, error: &dyn DatabaseError) -> fmt::Result {
    let code = error.code().unwrap_or_default();
    if in_class(error, WITHOUT_VALUES) {
        return write!(f, "{} (SQLSTATE {code})", error.message());
    }
    write!(f, "SQLSTATE {code}")?;
    if let Some(constraint) = error.constraint() {
        write!(f, ", constraint {constraint}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Database;

    #[test]
    fn clone_for_batch_keeps_classification() {
        for error in [
            StoreError::Unavailable(sqlx::Error::PoolTimedOut),
            StoreError::Timeout(Duration::from_secs(4)),
            StoreError::NotReady,
            StoreError::DictionaryDeleted,
            StoreError::Database(sqlx::Error::RowNotFound),
        ] {
            let clone = error.clone_for_batch();
            let class = |it: &StoreError| {
                (
                    it.is_transient(),
                    it.is_batch_specific(),
                    it.is_auth_failure(),
                )
            };
            assert_eq!(class(&clone), class(&error), "{error}");
        }
    }

    #[tokio::test]
    async fn message_never_contains_values() {
        let database = Database::start().await;
        let statements = [
            ("select 'secret'::uuid", "SQLSTATE 22P02"),
            (
                "create table t (a text constraint only_short check (length(a) < 3)); insert into t values ('secret')",
                "SQLSTATE 23514, constraint only_short",
            ),
            (
                "create table u (a text constraint once unique); insert into u values ('secret'), ('secret')",
                "SQLSTATE 23505, constraint once",
            ),
            ("select '{\"secret'::jsonb", "SQLSTATE 22P02"),
            (
                "select from missing",
                "relation \"missing\" does not exist (SQLSTATE 42P01)",
            ),
        ];
        for (statement, expected) in statements {
            let failed = sqlx::raw_sql(statement).execute(&database.owner).await;
            let message = StoreError::from(failed.unwrap_err()).to_string();
            assert!(message.ends_with(expected), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        database.stop([]).await;
    }
}

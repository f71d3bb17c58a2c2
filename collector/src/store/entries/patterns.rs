//! Checks a regular expression with Postgres before it is used in a query.

use sqlx::error::DatabaseError;
use tracing::instrument;

use crate::store::{Store, StoreError};

/// Some short patterns compile to huge automata.
const LIMIT: &str = "begin read only; set local statement_timeout = '2s'";
/// `invalid_regular_expression`
const INVALID: &str = "2201B";

/// Why a regular expression is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// Postgres cannot parse it.
    Invalid,
    /// It takes too long to compile.
    TooExpensive,
}

impl Store {
    /// None: the regular expression is accepted.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.check_pattern", skip_all, err(level = "debug"))]
    pub async fn check_pattern(&self, pattern: &str) -> Result<Option<PatternError>, StoreError> {
        self.readiness.check()?;
        let mut transaction = self.pool.begin_with(LIMIT).await?;
        let result = sqlx::query("select '' ~ $1")
            .bind(pattern)
            .execute(&mut *transaction)
            .await;
        transaction.rollback().await?;
        let Err(error) = result else {
            return Ok(None);
        };
        let code = error.as_database_error().and_then(DatabaseError::code);
        if code.as_deref() == Some(INVALID) {
            return Ok(Some(PatternError::Invalid));
        }
        match StoreError::from(error).for_read() {
            StoreError::ReadTimeout => Ok(Some(PatternError::TooExpensive)),
            other => Err(other),
        }
    }
}

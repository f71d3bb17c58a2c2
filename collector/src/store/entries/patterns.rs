//! Asks Postgres whether it understands a regular expression, before rows are asked.

use sqlx::error::DatabaseError;

use crate::store::{Store, StoreError};

/// Some small patterns stand for huge automata.
const LIMIT: &str = "begin read only; set local statement_timeout = '2s'";
/// `invalid_regular_expression`
const INVALID: &str = "2201B";

/// Why a regular expression is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// Postgres does not understand it.
    Invalid,
    /// It takes too long even to read.
    TooExpensive,
}

impl Store {
    /// What is wrong with a regular expression, if anything.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn check_pattern(&self, pattern: &str) -> Result<Option<PatternError>, StoreError> {
        self.readiness.check()?;
        let mut reading = self.pool.begin_with(LIMIT).await?;
        let answer = sqlx::query("select '' ~ $1")
            .bind(pattern)
            .execute(&mut *reading)
            .await;
        reading.rollback().await?;
        let Err(error) = answer else {
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

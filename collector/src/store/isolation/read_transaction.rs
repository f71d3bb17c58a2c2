//! The transaction in which every read runs. It takes a role that is subject to row-level security, so that even a
//! statement that lacks its condition sees only the scope's rows.

use std::fmt::Write;

use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::{READ_ALL, READ_OWN};
use crate::model::scope::Scope;
use crate::store::{Store, StoreError};

impl Store {
    /// Begins a read: its statements see one snapshot of the database, and only the scope's rows of it. All
    /// of this is one message to Postgres, so that isolation costs no extra round trip.
    pub(in crate::store) async fn begin_read(
        &self,
        scope: &Scope,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.readiness.check()?;
        Ok(self.pool.begin_with(AssertSqlSafe(begin(scope))).await?)
    }
}

/// Plans are generic: with a partition a day, planning takes many times as long as finding a page, and a custom
/// plan would be made for each execution. A message of several statements cannot have parameters, so the user's
/// name is in hexadecimal digits, which need no quoting.
pub(super) fn begin(scope: &Scope) -> String {
    const BEGIN: &str = "begin isolation level repeatable read, read only; \
         set local plan_cache_mode = force_generic_plan; set local role ";
    match scope {
        Scope::Everyone => format!("{BEGIN}{READ_ALL}"),
        Scope::User(user) => {
            let name = hexadecimal(user.as_str());
            format!(
                "{BEGIN}{READ_OWN}; \
                 select set_config('dossier.user', convert_from(decode('{name}', 'hex'), 'UTF8'), true)"
            )
        }
    }
}

fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

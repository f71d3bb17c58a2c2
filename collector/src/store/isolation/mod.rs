//! What Postgres lets a read see. The transaction of a read takes a role that is bound by row-level
//! security, so that a statement which forgets its condition still sees the scope's rows alone.

use std::fmt::Write;

use sqlx::Row;

use super::{Store, StoreError};
use crate::model::scope::Scope;

/// Sees the rows of the user that the setting `dossier.user` names.
const READ_OWN: &str = "dossier_read_own";
/// Sees all rows.
const READ_ALL: &str = "dossier_read_all";
/// The tables whose rows are some user's.
const TABLES: [&str; 4] = ["entries", "bodies", "sessions", "deletion_audit"];

/// Why Postgres would not keep users apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// A role is gone, as after a restore into another cluster.
    #[error(
        "the database has no role {role}: let an administrator run \"create role {role} nologin; grant {role} to {user}\", \
         then, as {user}, \"select isolate('entries'), isolate('bodies'), isolate('sessions'), isolate('deletion_audit')\""
    )]
    NoRole {
        /// The role.
        role: String,
        /// Whom the collector connects as.
        user: String,
    },
    /// The role may not be taken.
    #[error("{user} may not read as {role}: let an administrator run \"grant {role} to {user}\"")]
    NotAllowed {
        /// The role.
        role: String,
        /// Whom the collector connects as.
        user: String,
    },
    /// Row-level security does not bind the role.
    #[error(
        "row-level security does not bind the role {0}: let an administrator run \"alter role {0} nosuperuser nobypassrls\""
    )]
    Unbound(String),
    /// A table shows its rows to all.
    #[error("the table {0} does not keep users apart: as its owner, run \"select isolate('{0}')\"")]
    Open(String),
}

impl Store {
    /// Checks that reads are bound by row-level security.
    ///
    /// # Errors
    /// [`StoreError::Isolation`] if they are not, or could not take place at all.
    pub async fn check_isolation(&self) -> Result<(), StoreError> {
        self.check_roles().await?;
        self.check_tables().await
    }

    async fn check_roles(&self) -> Result<(), StoreError> {
        // Since Postgres 16 a member may be forbidden to take the role.
        let rows = sqlx::query(
            "select wanted.role, current_user::text as user, oid is not null as exists,
                    coalesce(rolsuper or rolbypassrls, false) as unbound,
                    coalesce(pg_has_role(current_user, oid,
                        case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end), false) as allowed
             from unnest($1::text[]) as wanted(role) left join pg_roles on rolname = wanted.role",
        )
        .bind([READ_OWN, READ_ALL].as_slice())
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let (role, user): (String, String) = (row.try_get("role")?, row.try_get("user")?);
            if !row.try_get("exists")? {
                return Err(IsolationError::NoRole { role, user }.into());
            }
            if row.try_get("unbound")? {
                return Err(IsolationError::Unbound(role).into());
            }
            if !row.try_get("allowed")? {
                return Err(IsolationError::NotAllowed { role, user }.into());
            }
        }
        Ok(())
    }

    async fn check_tables(&self) -> Result<(), StoreError> {
        let open: Option<String> = sqlx::query_scalar(
            "select wanted.name from unnest($1::text[]) as wanted(name)
             join pg_class on pg_class.oid = to_regclass(wanted.name)
             where not relrowsecurity
                or (select count(*) from pg_policies p
                    where p.schemaname = relnamespace::regnamespace::text and p.tablename = relname
                      and p.policyname in ('read_own', 'read_all')) <> 2
             limit 1",
        )
        .bind(TABLES.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        open.map_or(Ok(()), |table| Err(IsolationError::Open(table).into()))
    }
}

/// The statements that begin a read. Plans are made once for all values: with a partition a day, planning
/// takes many times as long as finding a page, and for values that are known it would be done each time.
/// Several in one message cannot have parameters, so the user's name
/// goes as hexadecimal digits, in which nothing needs quoting.
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

#[cfg(test)]
mod tests;

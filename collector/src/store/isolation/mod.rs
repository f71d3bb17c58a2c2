//! Isolation of users by row-level security: checks that it is in force.
//!
//! - [`read_transaction`]: the transaction in which every read runs.

mod read_transaction;

use sqlx::Row;
use tracing::instrument;

use super::{Store, StoreError};

/// The role that sees the rows of the user in the setting `dossier.user`.
const READ_OWN: &str = "dossier_read_own";
/// The role that sees all rows.
const READ_ALL: &str = "dossier_read_all";
/// The tables whose rows belong to users.
const TABLES: [&str; 4] = ["entries", "bodies", "sessions", "deletion_audit"];

/// Why users are not isolated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// A role is missing, as after a restore into another cluster.
    #[error(
        "role {role} does not exist; as an administrator, run \"create role {role} nologin; grant {role} to {user}\", \
         then, as {user}, \"select isolate('entries'), isolate('bodies'), isolate('sessions'), isolate('deletion_audit')\""
    )]
    MissingRole {
        /// The role.
        role: String,
        /// The user as which the collector connects.
        user: String,
    },
    /// The role is not granted.
    #[error(
        "{user} is not allowed to set role {role}; as an administrator, run \"grant {role} to {user}\""
    )]
    RoleNotGranted {
        /// The role.
        role: String,
        /// The user as which the collector connects.
        user: String,
    },
    /// The role is not subject to row-level security.
    #[error(
        "role {0} bypasses row-level security; as an administrator, run \"alter role {0} nosuperuser nobypassrls\""
    )]
    RoleBypassesSecurity(String),
    /// A table has no row-level security, or not both policies.
    #[error("table {0} does not isolate users; as its owner, run \"select isolate('{0}')\"")]
    TableNotIsolated(String),
}

impl Store {
    /// Checks that reads are subject to row-level security.
    ///
    /// # Errors
    /// [`StoreError::Isolation`] if they are not, or would fail.
    #[instrument(name = "store.check_isolation", skip_all, err(level = "debug"))]
    pub async fn check_isolation(&self) -> Result<(), StoreError> {
        self.check_roles().await?;
        self.check_tables().await
    }

    async fn check_roles(&self) -> Result<(), StoreError> {
        // Since Postgres 16, members of a role need not be allowed to set it.
        let rows = sqlx::query(
            "select wanted.role, current_user::text as user, oid is not null as exists,
                    coalesce(rolsuper or rolbypassrls, false) as bypasses,
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
                return Err(IsolationError::MissingRole { role, user }.into());
            }
            if row.try_get("bypasses")? {
                return Err(IsolationError::RoleBypassesSecurity(role).into());
            }
            if !row.try_get("allowed")? {
                return Err(IsolationError::RoleNotGranted { role, user }.into());
            }
        }
        Ok(())
    }

    async fn check_tables(&self) -> Result<(), StoreError> {
        let not_isolated: Option<String> = sqlx::query_scalar(
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
        not_isolated.map_or(Ok(()), |table| {
            Err(IsolationError::TableNotIsolated(table).into())
        })
    }
}

#[cfg(test)]
mod tests;

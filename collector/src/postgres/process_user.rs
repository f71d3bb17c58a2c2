//! The operating-system user that Postgres runs as.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use nix::unistd::{Gid, Uid, User, chown};
use tokio::process::Command;

use super::error::{PostgresError, io_error};
use super::layout::{Layout, create_dir};

/// The current user, or `postgres` if that is root.
pub(super) struct ProcessUser {
    name: String,
    uid: Uid,
    gid: Gid,
    is_current: bool,
}

impl ProcessUser {
    pub(super) fn choose() -> Result<Self, PostgresError> {
        let me = Uid::effective();
        let user = if me.is_root() {
            User::from_name("postgres")
        } else {
            User::from_uid(me)
        };
        let user = user.ok().flatten();
        match user {
            Some(user) => Ok(Self {
                name: user.name,
                uid: user.uid,
                gid: user.gid,
                is_current: user.uid == me,
            }),
            None if me.is_root() => Err(PostgresError::NoUser),
            // In containers the user id may have no name; Postgres itself refuses only root.
            None => Ok(Self {
                name: me.to_string(),
                uid: me,
                gid: Gid::effective(),
                is_current: true,
            }),
        }
    }

    /// Creates the folders, and checks that this user has access to them.
    pub(super) fn create_dirs(&self, layout: &Layout) -> Result<(), PostgresError> {
        if !self.is_current {
            self.check_access(&layout.home)?;
        }
        for folder in [&layout.home, &layout.socket()] {
            create_dir(folder, 0o700)?;
            if !self.is_current {
                chown(folder, Some(self.uid), Some(self.gid))
                    .map_err(|e| io_error(folder, e.into()))?;
            }
        }
        Ok(())
    }

    fn check_access(&self, folder: &Path) -> Result<(), PostgresError> {
        for ancestor in folder.ancestors().skip(1) {
            let metadata = fs::metadata(ancestor).map_err(|source| io_error(ancestor, source))?;
            let mode = metadata.permissions().mode();
            let has_access = match () {
                () if metadata.uid() == self.uid.as_raw() => mode & 0o100 != 0,
                () if metadata.gid() == self.gid.as_raw() => mode & 0o010 != 0,
                () => mode & 0o001 != 0,
            };
            if !has_access {
                return Err(PostgresError::Unreachable {
                    user: self.name.clone(),
                    folder: ancestor.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// A command that runs as this user, in a process group of its own: Ctrl-C must reach only the collector,
    /// which stops Postgres after it has stored what it accepted.
    pub(super) fn command(
        &self,
        program: &Path,
        layout: &Layout,
    ) -> Result<Command, PostgresError> {
        let log = layout.log();
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| io_error(&log, e))?;
        let errors = output.try_clone().map_err(|e| io_error(&log, e))?;
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .current_dir("/")
            .process_group(0);
        command
            .env("LC_ALL", "C.UTF-8")
            .env_remove("PGDATA")
            .env_remove("PGOPTIONS");
        if !self.is_current {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        Ok(command)
    }
}

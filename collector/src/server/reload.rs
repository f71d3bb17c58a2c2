//! What is made of files is made anew when they change: certificates are renewed and passwords replaced
//! while the collector runs.
//!
//! The files are read every few seconds, and on SIGHUP, and compared by what they hold. That notices a
//! file that is written in place, one that is renamed, and the links that Kubernetes swaps in a mounted
//! Secret. What cannot be used changes nothing; it is tried again when the files change again.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::tls::{Tls, TlsError};
use crate::auth::{Authenticator, JwksError};
use crate::metrics::{Metrics, Reloaded};
use crate::model::sha256::sha256;
use crate::settings::access::{JwtKeys, JwtSecret};
use crate::settings::secret::read_bounded;
use crate::settings::{DatabaseAccess, SettingsError};
use crate::store::Store;

/// Why what the files hold cannot be used. It names the setting and the file.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("jwt_jwks_file: {path}: {error}")]
    Keys { path: PathBuf, error: JwksError },
}

type Fingerprint = [u8; 32];

/// Something that is made of files.
struct Watched {
    what: Reloaded,
    files: Vec<PathBuf>,
    seen: Option<Fingerprint>,
    make: Box<dyn Fn() -> Result<(), ReloadError> + Send>,
}

/// All that is made of files.
pub(super) struct Reload {
    watched: Vec<Watched>,
    metrics: Arc<Metrics>,
}

impl Reload {
    /// Nothing yet.
    pub(super) const fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            watched: Vec::new(),
            metrics,
        }
    }

    /// What TLS is served with.
    pub(super) fn tls(&mut self, tls: Arc<Tls>) {
        self.watch(Reloaded::tls, tls.files(), move || Ok(tls.reload()?));
    }

    /// How connections to Postgres are made.
    pub(super) fn database(&mut self, access: DatabaseAccess, store: Store) {
        self.watch(Reloaded::database, access.files(), move || {
            store.reconnect_with(access.options()?);
            Ok(())
        });
    }

    /// What tokens are verified by.
    pub(super) fn jwt(&mut self, keys: JwtKeys, authenticator: Authenticator) {
        match keys {
            JwtKeys::Secret(_, secret) => {
                let files = secret.file().map(|file| file.path.clone());
                self.watch(
                    Reloaded::jwt_secret,
                    files.into_iter().collect(),
                    move || {
                        authenticator.replace_jwt_secret(&JwtSecret::read(&secret)?);
                        Ok(())
                    },
                );
            }
            JwtKeys::File(path) => self.watch(Reloaded::jwks, vec![path.clone()], move || {
                let reloaded = authenticator.reload_jwks_file();
                reloaded.map_err(|error| ReloadError::Keys {
                    path: path.clone(),
                    error,
                })
            }),
            // It is asked again from time to time, and when a token names a key that is not known.
            JwtKeys::Url(_) => {}
        }
    }

    fn watch(
        &mut self,
        what: Reloaded,
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<(), ReloadError> + Send + 'static,
    ) {
        if !files.is_empty() {
            self.watched.push(Watched {
                what,
                files,
                seen: None,
                make: Box::new(make),
            });
        }
    }

    /// Goes on until it is dropped.
    pub(super) async fn run(mut self, every: Duration, mut hang_up: Signal) {
        let mut times = interval(every);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = times.tick() => false,
                _ = hang_up.recv() => true,
            };
            // Files may be on a network that hangs.
            match spawn_blocking(move || self.look(asked)).await {
                Ok(looked) => self = looked,
                Err(error) => {
                    warn!(%error, "changed files are no longer noticed: start the collector again");
                    return;
                }
            }
        }
    }

    fn look(mut self, asked: bool) -> Self {
        let changed = self
            .watched
            .iter_mut()
            .filter_map(|watched| watched.look(&self.metrics).then_some(()))
            .count();
        if asked && changed == 0 {
            info!(
                parts = self.watched.len(),
                "SIGHUP: no file of certificates or secrets has changed"
            );
        }
        self
    }
}

impl Watched {
    /// Returns whether the files have changed.
    fn look(&mut self, metrics: &Metrics) -> bool {
        // First the fingerprint: what changes after it is noticed the next time.
        let now = fingerprint(&self.files);
        let before = self.seen.replace(now);
        if before == Some(now) {
            return false;
        }
        let what = self.what;
        match ((self.make)(), before) {
            // What they held at the start is in force already.
            (Ok(()), None) => metrics.reload.is_current(what),
            (Ok(()), Some(_)) => {
                metrics.reload.done(what);
                info!(?what, "files have changed, and what they hold is in force");
            }
            (Err(error), _) => {
                metrics.reload.failed(what);
                warn!(?what, %error, "files have changed and cannot be used: what they held before stays in force");
            }
        }
        before.is_some()
    }
}

/// Of what the files hold, and of which cannot be read.
fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let each = files.iter().map(|file| match read_bounded(file) {
        Ok(content) => sha256([content.as_ref()]).to_vec(),
        Err(error) => error.kind().to_string().into_bytes(),
    });
    let each: Vec<_> = each.collect();
    sha256(each.iter().map(Vec::as_slice))
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.what).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Something that is made of a file which must hold a number.
    fn number(file: &Path) -> (Watched, Arc<AtomicU32>) {
        let in_force = Arc::new(AtomicU32::new(0));
        let (path, number) = (file.to_owned(), Arc::clone(&in_force));
        let make = move || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let held = text.parse().map_err(|_| SettingsError::NoDataDir)?;
            number.store(held, Ordering::Relaxed);
            Ok(())
        };
        let watched = Watched {
            what: Reloaded::tls,
            files: vec![file.to_owned()],
            seen: None,
            make: Box::new(make),
        };
        (watched, in_force)
    }

    fn shown(metrics: &Metrics) -> [String; 3] {
        let text = metrics.render();
        ["reloads_total", "reload_failures_total", "reload_outdated"].map(|name| {
            let series = format!("dossier_{name}{{what=\"tls\"}} ");
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(series.as_str()));
            value.unwrap_or("-").to_owned()
        })
    }

    #[test]
    fn what_has_changed_is_made_anew_and_what_is_broken_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let metrics = Metrics::new();
        fs::write(&file, "1").unwrap();
        let (mut watched, in_force) = number(&file);
        let mut look = || {
            let changed = watched.look(&metrics);
            (changed, in_force.load(Ordering::Relaxed))
        };
        assert_eq!(look(), (false, 1));
        assert_eq!(shown(&metrics), ["-", "-", "0"]);
        assert_eq!(look(), (false, 1));
        fs::write(&file, "2").unwrap();
        assert_eq!(look(), (true, 2));
        assert_eq!(shown(&metrics), ["1", "-", "0"]);
        // Told once, however often it is looked at.
        fs::write(&file, "x").unwrap();
        assert_eq!((look(), look()), ((true, 2), (false, 2)));
        assert_eq!(shown(&metrics), ["1", "1", "1"]);
        fs::remove_file(&file).unwrap();
        assert_eq!(look(), (true, 2));
        fs::write(&file, "2").unwrap();
        assert_eq!(look(), (true, 2));
        assert_eq!(shown(&metrics), ["2", "2", "0"]);
    }

    #[test]
    fn links_that_are_swapped_are_noticed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // As Kubernetes does: the file is a link into a folder that is a link.
        for (name, text) in [("first", "1"), ("second", "2")] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("number"), text).unwrap();
        }
        symlink("first", path("..data")).unwrap();
        symlink("..data/number", path("number")).unwrap();
        let (mut watched, in_force) = number(&path("number"));
        let metrics = Metrics::new();
        assert!(!watched.look(&metrics));
        symlink("second", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert!(watched.look(&metrics));
        assert_eq!(in_force.load(Ordering::Relaxed), 2);
    }
}

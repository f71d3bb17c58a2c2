//! Reloads certificates and secrets when their files change, while the collector runs.
//!
//! The files are read every few seconds, and on SIGHUP, and compared by what they hold. That notices a
//! file that is written in place, one that is renamed, and the links that Kubernetes swaps in a mounted
//! Secret. Content that cannot be used changes nothing; it is tried again when the files change again.

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
use crate::metrics::{Metrics, ReloadTarget};
use crate::model::sha256::sha256;
use crate::settings::access::{JwtKeys, JwtSecret};
use crate::settings::secret::read_bounded;
use crate::settings::{DatabaseAccess, SettingsError};
use crate::store::Store;

/// Why the files' content cannot be used. It names the setting and the file.
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

/// The files of one target, and how to apply their content.
struct WatchedFiles {
    what: ReloadTarget,
    files: Vec<PathBuf>,
    last_fingerprint: Option<Fingerprint>,
    apply: Box<dyn Fn() -> Result<(), ReloadError> + Send>,
}

/// Watches files and reloads what is read from them.
pub(super) struct Reloader {
    watched: Vec<WatchedFiles>,
    metrics: Arc<Metrics>,
}

impl Reloader {
    /// Watches nothing yet.
    pub(super) const fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            watched: Vec::new(),
            metrics,
        }
    }

    /// Watches the certificates that TLS is served with.
    pub(super) fn watch_tls(&mut self, tls: Arc<Tls>) {
        self.watch(ReloadTarget::tls, tls.files(), move || Ok(tls.reload()?));
    }

    /// Watches the files with the database's URL and password.
    pub(super) fn watch_database(&mut self, access: DatabaseAccess, store: Store) {
        self.watch(ReloadTarget::database, access.files(), move || {
            store.reconnect_with(access.options()?);
            Ok(())
        });
    }

    /// Watches the file with the keys that verify tokens.
    pub(super) fn watch_jwt_keys(&mut self, keys: JwtKeys, authenticator: Authenticator) {
        match keys {
            JwtKeys::Secret(_, secret) => {
                let files = secret.file().map(|file| file.path.clone());
                self.watch(
                    ReloadTarget::jwt_secret,
                    files.into_iter().collect(),
                    move || {
                        authenticator.replace_jwt_secret(&JwtSecret::read(&secret)?);
                        Ok(())
                    },
                );
            }
            JwtKeys::File(path) => self.watch(ReloadTarget::jwks, vec![path.clone()], move || {
                let reloaded = authenticator.reload_jwks_file();
                reloaded.map_err(|error| ReloadError::Keys {
                    path: path.clone(),
                    error,
                })
            }),
            // The URL is read again from time to time, and when a token names an unknown key.
            JwtKeys::Url(_) => {}
        }
    }

    fn watch(
        &mut self,
        what: ReloadTarget,
        files: Vec<PathBuf>,
        apply: impl Fn() -> Result<(), ReloadError> + Send + 'static,
    ) {
        if !files.is_empty() {
            self.watched.push(WatchedFiles {
                what,
                files,
                last_fingerprint: None,
                apply: Box::new(apply),
            });
        }
    }

    /// Checks the files at this interval and on SIGHUP, until it is dropped.
    pub(super) async fn run(mut self, every: Duration, mut sighup: Signal) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_signal = tokio::select! {
                _ = ticks.tick() => false,
                _ = sighup.recv() => true,
            };
            // Files may be on a network file system that hangs.
            match spawn_blocking(move || self.check(is_signal)).await {
                Ok(checked) => self = checked,
                Err(error) => {
                    warn!(%error, "changed files are no longer noticed: restart the collector");
                    return;
                }
            }
        }
    }

    fn check(mut self, is_signal: bool) -> Self {
        let changed = self
            .watched
            .iter_mut()
            .filter_map(|watched| watched.check(&self.metrics).then_some(()))
            .count();
        if is_signal && changed == 0 {
            info!(
                parts = self.watched.len(),
                "SIGHUP: no file of certificates or secrets has changed"
            );
        }
        self
    }
}

impl WatchedFiles {
    /// Applies the files' content if it has changed. Returns whether it has.
    fn check(&mut self, metrics: &Metrics) -> bool {
        // The fingerprint is taken first: a change after it is noticed the next time.
        let now = fingerprint(&self.files);
        let before = self.last_fingerprint.replace(now);
        if before == Some(now) {
            return false;
        }
        let what = self.what;
        match ((self.apply)(), before) {
            // The content at the start is in force already.
            (Ok(()), None) => metrics.reload.set_current(what),
            (Ok(()), Some(_)) => {
                metrics.reload.record_success(what);
                info!(?what, "files have changed; their content is in force");
            }
            (Err(error), _) => {
                metrics.reload.record_failure(what);
                warn!(?what, %error, "files have changed and cannot be used; the previous content stays in force");
            }
        }
        before.is_some()
    }
}

/// A hash of the files' content, or of the error for each that cannot be read.
fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let each = files.iter().map(|file| match read_bounded(file) {
        Ok(content) => sha256([content.as_ref()]).to_vec(),
        Err(error) => error.kind().to_string().into_bytes(),
    });
    let each: Vec<_> = each.collect();
    sha256(each.iter().map(Vec::as_slice))
}

impl fmt::Debug for WatchedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchedFiles").field(&self.what).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A file that must hold a number, and the number in force.
    fn number(file: &Path) -> (WatchedFiles, Arc<AtomicU32>) {
        let in_force = Arc::new(AtomicU32::new(0));
        let (path, number) = (file.to_owned(), Arc::clone(&in_force));
        let apply = move || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let held = text.parse().map_err(|_| SettingsError::Unreadable {
                place: "held".to_owned(),
                source: std::io::ErrorKind::InvalidData.into(),
            })?;
            number.store(held, Ordering::Relaxed);
            Ok(())
        };
        let watched = WatchedFiles {
            what: ReloadTarget::tls,
            files: vec![file.to_owned()],
            last_fingerprint: None,
            apply: Box::new(apply),
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
    fn applies_changed_files_unless_broken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let metrics = Metrics::new();
        fs::write(&file, "1").unwrap();
        let (mut watched, in_force) = number(&file);
        let mut check = || {
            let changed = watched.check(&metrics);
            (changed, in_force.load(Ordering::Relaxed))
        };
        assert_eq!(check(), (false, 1));
        assert_eq!(shown(&metrics), ["-", "-", "0"]);
        assert_eq!(check(), (false, 1));
        fs::write(&file, "2").unwrap();
        assert_eq!(check(), (true, 2));
        assert_eq!(shown(&metrics), ["1", "-", "0"]);
        // Counted once, however often it is checked.
        fs::write(&file, "x").unwrap();
        assert_eq!((check(), check()), ((true, 2), (false, 2)));
        assert_eq!(shown(&metrics), ["1", "1", "1"]);
        fs::remove_file(&file).unwrap();
        assert_eq!(check(), (true, 2));
        fs::write(&file, "2").unwrap();
        assert_eq!(check(), (true, 2));
        assert_eq!(shown(&metrics), ["2", "2", "0"]);
    }

    #[test]
    fn notices_swapped_links() {
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
        assert!(!watched.check(&metrics));
        symlink("second", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert!(watched.check(&metrics));
        assert_eq!(in_force.load(Ordering::Relaxed), 2);
    }
}

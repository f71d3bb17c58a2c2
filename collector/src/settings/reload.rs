//! How often the files of certificates and secrets are looked at.

use std::time::Duration;

use clap::Args;

use super::SettingsError;

const DEFAULT_SECONDS: u32 = 10;
const MAX_SECONDS: u32 = 3600;

/// How often the files are looked at.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ReloadArgs {
    /// Seconds between two looks at the files of certificates and secrets, 1 to 3600 [default: 10]
    #[arg(long, env = "DOSSIER_RELOAD_INTERVAL", value_name = "SECONDS")]
    pub reload_interval: Option<u32>,
}

impl ReloadArgs {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub(crate) fn resolve(self, file: Self) -> Result<Duration, SettingsError> {
        let seconds = self.reload_interval.or(file.reload_interval);
        let seconds = seconds.unwrap_or(DEFAULT_SECONDS);
        if (1..=MAX_SECONDS).contains(&seconds) {
            Ok(Duration::from_secs(seconds.into()))
        } else {
            Err(SettingsError::Seconds {
                setting: "reload_interval",
                seconds,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_file_and_the_interval_has_bounds() {
        let given = |reload_interval| ReloadArgs { reload_interval };
        let resolve = |flag, file| given(flag).resolve(given(file));
        assert_eq!(resolve(None, None).unwrap(), Duration::from_secs(10));
        assert_eq!(resolve(None, Some(1)).unwrap(), Duration::from_secs(1));
        assert_eq!(
            resolve(Some(MAX_SECONDS), Some(1)).unwrap(),
            Duration::from_hours(1)
        );
        for wrong in [0, MAX_SECONDS + 1] {
            let error = resolve(Some(wrong), None).unwrap_err().to_string();
            assert!(error.starts_with("reload_interval"), "{error}");
        }
    }
}

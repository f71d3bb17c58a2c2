//! Settings of retention: how long the collector's own records are kept, and how often it cleans up.

use std::time::Duration;

use clap::Args;

use super::SettingsError;
use crate::model::retention::RetentionPeriods;

const DEFAULT_LEDGER_DAYS: u32 = 7;
const DEFAULT_AUDIT_DAYS: u32 = 730;
const MAX_DAYS: u32 = 36_500;
const DEFAULT_INTERVAL_SECONDS: u32 = 3600;
const MAX_INTERVAL_SECONDS: u32 = 86_400;

/// How long the collector's own records are kept.
#[derive(Debug, Clone, Default, Args)]
pub struct KeepArgs {
    /// Days for which ids of batches are kept, so that none is stored twice, 1 to 36500 [default: 7]
    #[arg(long, env = "DOSSIER_LEDGER_DAYS", value_name = "DAYS")]
    pub ledger_days: Option<u32>,

    /// Days for which deletions and losses are on record, up to 36500; 0 for ever [default: 730]
    #[arg(long, env = "DOSSIER_AUDIT_DAYS", value_name = "DAYS")]
    pub audit_days: Option<u32>,
}

/// How long, and how often a collector cleans up.
#[derive(Debug, Clone, Default, Args)]
pub struct RetentionArgs {
    /// How long.
    #[command(flatten)]
    pub keep: KeepArgs,

    /// Seconds between two times at which what has expired is dropped, 1 to 86400 [default: 3600]
    #[arg(long, env = "DOSSIER_RETENTION_INTERVAL", value_name = "SECONDS")]
    pub retention_interval: Option<u32>,
}

/// How long, and how often: complete and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How long.
    pub keep: RetentionPeriods,
    /// From the end of one time to the beginning of the next.
    pub interval: Duration,
}

impl KeepArgs {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub(crate) fn resolve(&self, file: &Self) -> Result<RetentionPeriods, SettingsError> {
        let ledger = self.ledger_days.or(file.ledger_days);
        let audit = self.audit_days.or(file.audit_days);
        Ok(RetentionPeriods {
            ledger: days("ledger_days", ledger.unwrap_or(DEFAULT_LEDGER_DAYS), 1)?,
            audit: match audit.unwrap_or(DEFAULT_AUDIT_DAYS) {
                0 => None,
                audit => Some(days("audit_days", audit, 0)?),
            },
        })
    }
}

impl RetentionSettings {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub(crate) fn resolve(
        args: &RetentionArgs,
        file: &RetentionArgs,
    ) -> Result<Self, SettingsError> {
        let seconds = args.retention_interval.or(file.retention_interval);
        let seconds = seconds.unwrap_or(DEFAULT_INTERVAL_SECONDS);
        if !(1..=MAX_INTERVAL_SECONDS).contains(&seconds) {
            return Err(SettingsError::RetentionInterval(seconds));
        }
        Ok(Self {
            keep: args.keep.resolve(&file.keep)?,
            interval: Duration::from_secs(seconds.into()),
        })
    }
}

fn days(setting: &'static str, days: u32, least: u32) -> Result<time::Duration, SettingsError> {
    if (least..=MAX_DAYS).contains(&days) {
        Ok(time::Duration::days(days.into()))
    } else {
        Err(SettingsError::Days {
            setting,
            least,
            days,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(interval: u32, ledger: u32, audit: u32) -> RetentionArgs {
        RetentionArgs {
            retention_interval: Some(interval),
            keep: KeepArgs {
                ledger_days: Some(ledger),
                audit_days: Some(audit),
            },
        }
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let flags = RetentionArgs {
            retention_interval: Some(5),
            ..RetentionArgs::default()
        };
        let mut file = args(6, 7, 0);
        file.keep.audit_days = None;
        let expected = RetentionSettings {
            keep: RetentionPeriods {
                ledger: time::Duration::days(7),
                audit: Some(time::Duration::days(730)),
            },
            interval: Duration::from_secs(5),
        };
        assert_eq!(RetentionSettings::resolve(&flags, &file).unwrap(), expected);
    }

    #[test]
    fn everything_has_bounds() {
        let file = RetentionArgs::default();
        for (given, wrong) in [
            (args(1, 1, 1), None),
            (args(86_400, 36_500, 36_500), None),
            (args(0, 1, 1), Some("retention_interval")),
            (args(86_401, 1, 1), Some("retention_interval")),
            (args(1, 0, 1), Some("ledger_days")),
            (args(1, 36_501, 1), Some("ledger_days")),
            (args(1, 1, 0), None),
            (args(1, 1, 36_501), Some("audit_days")),
        ] {
            match (RetentionSettings::resolve(&given, &file), wrong) {
                (Ok(_), None) => {}
                (Err(error), Some(name)) => assert!(error.to_string().starts_with(name), "{error}"),
                (resolved, _) => panic!("{given:?}: {resolved:?}"),
            }
        }
    }
}

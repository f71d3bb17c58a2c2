//! Settings of retention: how long the collector's own records are kept, and how often it cleans up.

use std::time::Duration;

use clap::Args;

use super::values::{days, seconds};
use crate::model::retention::RetentionPeriods;

/// How long the collector's own records are kept.
#[derive(Debug, Clone, Copy, Args)]
pub struct RetentionPeriodArgs {
    /// Days for which ids of batches are kept, so that none is stored twice, 1 to 36500
    #[arg(
        long,
        env = "DOSSIER_LEDGER_DAYS",
        value_name = "DAYS",
        default_value = "7",
        value_parser = days(1..=36_500)
    )]
    pub ledger_days: u32,

    /// Days for which the records of deletions and losses are kept, 0 to 36500; 0 for ever
    #[arg(
        long,
        env = "DOSSIER_AUDIT_DAYS",
        value_name = "DAYS",
        default_value = "730",
        value_parser = days(0..=36_500)
    )]
    pub audit_days: u32,
}

/// How long records are kept, and how often the collector cleans up.
#[derive(Debug, Clone, Copy, Args)]
pub struct RetentionArgs {
    /// How long.
    #[command(flatten)]
    pub periods: RetentionPeriodArgs,

    /// Seconds between two runs that drop expired data, 1 to 86400
    #[arg(
        long,
        env = "DOSSIER_RETENTION_INTERVAL",
        value_name = "SECONDS",
        default_value = "3600",
        value_parser = seconds(1..=86_400)
    )]
    pub retention_interval: Duration,
}

/// How long records are kept, and how often the collector cleans up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How long.
    pub keep: RetentionPeriods,
    /// From the end of one run to the beginning of the next.
    pub interval: Duration,
}

impl From<RetentionPeriodArgs> for RetentionPeriods {
    fn from(args: RetentionPeriodArgs) -> Self {
        let days = |days: u32| time::Duration::days(days.into());
        Self {
            ledger: days(args.ledger_days),
            audit: (args.audit_days > 0).then(|| days(args.audit_days)),
        }
    }
}

impl From<RetentionArgs> for RetentionSettings {
    fn from(args: RetentionArgs) -> Self {
        Self {
            keep: args.periods.into(),
            interval: args.retention_interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::testing::{parse, parse_with_file};

    #[test]
    fn file_fills_in_what_flags_omit() {
        let file = "retention_interval = 6\nledger_days = 9";
        let args: RetentionArgs = parse_with_file(file, &["--retention-interval=5"]).unwrap();
        let expected = RetentionSettings {
            keep: RetentionPeriods {
                ledger: time::Duration::days(9),
                audit: Some(time::Duration::days(730)),
            },
            interval: Duration::from_secs(5),
        };
        assert_eq!(RetentionSettings::from(args), expected);
        let defaults: RetentionArgs = parse(&[]).unwrap();
        assert_eq!(
            RetentionPeriods::from(defaults.periods).ledger,
            time::Duration::days(7)
        );
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        for (given, wrong) in [
            ((1, 1, 1), None),
            ((86_400, 36_500, 36_500), None),
            ((0, 1, 1), Some("retention_interval")),
            ((86_401, 1, 1), Some("retention_interval")),
            ((1, 0, 1), Some("ledger_days")),
            ((1, 36_501, 1), Some("ledger_days")),
            ((1, 1, 0), None),
            ((1, 1, 36_501), Some("audit_days")),
        ] {
            let (interval, ledger, audit) = given;
            let parsed = parse::<RetentionArgs>(&[
                &format!("--retention-interval={interval}"),
                &format!("--ledger-days={ledger}"),
                &format!("--audit-days={audit}"),
            ]);
            match (parsed, wrong) {
                (Ok(_), None) => {}
                (Err(error), Some(name)) => assert!(error.to_string().starts_with(name), "{error}"),
                (parsed, _) => panic!("{given:?}: {parsed:?}"),
            }
        }
    }
}

//! `dossier config`: shows the settings in force, and where each comes from.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Args};
use serde::Serialize;

use super::{CliError, columns, out};
use crate::server::Tls;
use crate::settings::layers::{self, Parsed, Source};
use crate::settings::{Database, Settings, SettingsArgs};

const HIDDEN: &str = "(hidden)";

/// Arguments of `dossier config`.
#[derive(Debug, Args)]
#[command(after_help = "\
It takes the flags of dossier serve, reads the same environment and file, and starts nothing. Secrets are hidden.
The exit code is 1 if dossier serve would refuse the settings; the error says why.")]
pub(super) struct Config {
    #[command(flatten)]
    settings: SettingsArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A setting as it is in force.
#[derive(Debug, Serialize)]
struct InForce {
    setting: String,
    /// None if the setting is not given and has no default.
    value: Option<String>,
    source: String,
}

impl Config {
    pub(super) fn run(self, parsed: &Parsed) -> Result<ExitCode, CliError> {
        let resolved = self.settings.resolve();
        let matches = parsed.matches.subcommand_matches("config");
        let matches = matches.unwrap_or(&parsed.matches);
        let settings: Vec<InForce> = layers::description()
            .get_arguments()
            .map(|setting| InForce {
                setting: setting.get_id().to_string(),
                value: value(setting, matches)
                    .or_else(|| derived(setting, resolved.as_ref().ok()?)),
                source: source(
                    setting,
                    parsed.file.source(matches, setting.get_id().as_str()),
                ),
            })
            .collect();
        if self.json {
            let text = serde_json::to_string_pretty(&settings).map_err(std::io::Error::from)?;
            out::line(text)?;
        } else {
            out::text(table(settings))?;
        }
        // The collector refuses certificates and keys that it cannot use, too.
        resolved?.tls.map(Tls::load).transpose()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn value(setting: &Arg, matches: &ArgMatches) -> Option<String> {
    let mut values = matches.get_raw(setting.get_id().as_str())?.peekable();
    values.peek()?;
    if layers::is_secret(setting) {
        return Some(HIDDEN.to_owned());
    }
    let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
    Some(values.join(","))
}

/// Defaults that depend on the system or on other settings.
fn derived(setting: &Arg, settings: &Settings) -> Option<String> {
    match (setting.get_id().as_str(), &settings.database) {
        ("data_dir", Database::Private(folder)) => Some(folder.display().to_string()),
        ("spool_dir", _) => {
            let spool = settings.spool.as_ref()?;
            Some(spool.folder.display().to_string())
        }
        ("rate_limit_burst", _) => Some(settings.service.access.rate?.burst.to_string()),
        _ => None,
    }
}

fn source(setting: &Arg, source: Source<'_>) -> String {
    match source {
        Source::Flag => format!("flag --{}", setting.get_long().unwrap_or_default()),
        Source::Environment => {
            let variable = setting.get_env().unwrap_or_default();
            format!("environment {}", variable.display())
        }
        Source::File(path) => format!("file {}", path.display()),
        Source::Default => "default".to_owned(),
    }
}

fn table(settings: Vec<InForce>) -> String {
    let rows = settings.into_iter().map(|it| {
        let value = it.value.unwrap_or_else(|| "-".to_owned());
        [it.setting, value, it.source]
    });
    columns::table(["SETTING", "VALUE", "SOURCE"], rows)
}

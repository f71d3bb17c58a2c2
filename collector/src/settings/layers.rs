//! Flags before environment before settings file before defaults.
//!
//! clap knows flags, environment and defaults. What the file adds is put in front of the command's own flags, and the
//! command line is parsed again: so each value is parsed, bounded and related to others by one description.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command};

use super::file::{FileSetting, SettingsFile};
use super::{NAME_OF_FILE, SettingsArgs, SettingsError};

/// Longest value that a message repeats.
const MAX_QUOTED_BYTES: usize = 100;

/// The description of all settings.
#[must_use]
pub fn description() -> Command {
    SettingsArgs::augment_args(Command::new("settings"))
}

/// Whether the value of a setting is never shown.
#[must_use]
pub fn is_secret(setting: &Arg) -> bool {
    setting.is_hide_env_values_set()
}

/// A parsed command line, and what of it the settings file gave.
#[derive(Debug)]
pub struct Parsed {
    /// Of the whole command line.
    pub matches: ArgMatches,
    /// Which settings the file gave.
    pub file: FileSource,
}

/// The prefix of the environment variables of settings.
const VARIABLE_PREFIX: &str = "DOSSIER_";
/// Variables of Dossier that are no settings.
const OTHER_VARIABLES: [&str; 2] = ["LOG", "PG_BIN"];

/// Letters that are missing, too many, wrong or exchanged in a name that is still taken for a mistyped one.
const MAX_TYPOS: usize = 2;
/// Longer names are those of no setting.
const MAX_VARIABLE_BYTES: usize = 64;

/// Warnings about variables that look like mistyped settings, which would be ignored in silence. Other programs may have
/// variables with the same prefix, so other names are not reported.
pub fn mistyped_variables(variables: impl Iterator<Item = OsString>) -> Vec<String> {
    let description = description();
    let known: Vec<&str> = description
        .get_arguments()
        .filter_map(|setting| setting.get_env()?.to_str()?.strip_prefix(VARIABLE_PREFIX))
        .chain(OTHER_VARIABLES)
        .collect();
    let given = variables.filter_map(|variable| variable.into_string().ok());
    given
        .filter_map(|variable| {
            let name = variable.strip_prefix(VARIABLE_PREFIX)?;
            if known.contains(&name) || name.len() > MAX_VARIABLE_BYTES {
                return None;
            }
            let mut similar = known.iter().copied();
            let similar = similar.find(|it| strsim::osa_distance(name, it) <= MAX_TYPOS)?;
            Some(format!(
                "{variable} is no setting: did you mean {VARIABLE_PREFIX}{similar}?"
            ))
        })
        .collect()
}

/// Which settings the file gave, if there is one.
#[derive(Debug, Default)]
pub struct FileSource {
    path: PathBuf,
    keys: BTreeSet<String>,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The settings file.
    File(&'a Path),
    /// The program.
    Default,
}

impl FileSource {
    /// Where a setting's value comes from. `matches` are those of the command that has it.
    #[must_use]
    pub fn source(&self, matches: &ArgMatches, setting: &str) -> Source<'_> {
        if self.keys.contains(setting) {
            return Source::File(&self.path);
        }
        match matches.value_source(setting) {
            Some(ValueSource::CommandLine) => Source::Flag,
            Some(ValueSource::EnvVariable) => Source::Environment,
            _ => Source::Default,
        }
    }
}

/// Why a command line was not parsed.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Anything else, for clap to print. Help and version are of these.
    #[error(transparent)]
    Usage(#[from] clap::Error),
}

/// Parses a command line, and fills in from the settings file what flags and environment leave out.
///
/// # Errors
/// [`ParseError`]
pub fn parse(command: &Command, mut arguments: Vec<OsString>) -> Result<Parsed, ParseError> {
    let matches = match command.clone().try_get_matches_from(&arguments) {
        // The file may have what is missing.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            let lenient = command.clone().ignore_errors(true);
            lenient.try_get_matches_from(&arguments)?
        }
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => return Err(not_utf8(error)),
        matches => matches.map_err(|error| explain(error, None))?,
    };
    // Only then do groups know their members.
    let mut built = command.clone();
    built.build();
    let (mut chosen, mut given, mut depth) = (&built, &matches, 0);
    while let Some((name, inner)) = given.subcommand()
        && let Some(subcommand) = chosen.find_subcommand(name)
    {
        (chosen, given, depth) = (subcommand, inner, depth + 1);
    }
    let file = read_file(given)?;
    let path = file.as_ref().map(|file| file.path.clone());
    let added: Vec<FileSetting> = file
        .into_iter()
        .flat_map(|file| file.settings)
        .filter(|setting| {
            chosen
                .get_arguments()
                .any(|arg| arg.get_id() == setting.key.as_str())
        })
        .filter(|setting| !is_given(chosen, given, &setting.key))
        .collect();
    // Behind the names of program and commands, which have no flags of their own before the last.
    let place = (depth + 1).min(arguments.len());
    arguments.splice(place..place, added.iter().flat_map(flags));
    let matches = command
        .clone()
        .try_get_matches_from(&arguments)
        .map_err(|error| explain(error, path.as_deref()))?;
    Ok(Parsed {
        matches,
        file: FileSource {
            path: path.unwrap_or_default(),
            keys: added.into_iter().map(|setting| setting.key).collect(),
        },
    })
}

fn read_file(given: &ArgMatches) -> Result<Option<SettingsFile>, SettingsError> {
    let Ok(Some(path)) = given.try_get_one::<PathBuf>(NAME_OF_FILE) else {
        return Ok(None);
    };
    let description = description();
    let known: Vec<&str> = description
        .get_arguments()
        .map(|setting| setting.get_id().as_str())
        .filter(|key| *key != NAME_OF_FILE)
        .collect();
    SettingsFile::read(path, &known).map(Some)
}

/// Whether a flag or the environment gives a setting, or another that excludes it.
fn is_given(command: &Command, given: &ArgMatches, key: &str) -> bool {
    let by_flag = |key: &str| given.value_source(key) == Some(ValueSource::CommandLine);
    let by_environment = |key: &str| {
        let setting = command.get_arguments().find(|arg| arg.get_id() == key);
        setting
            .and_then(Arg::get_env)
            .is_some_and(|name| env::var_os(name).is_some())
    };
    let excluding = command
        .get_groups()
        .filter(|group| !(*group).clone().is_multiple())
        .map(|group| group.get_args().map(clap::Id::as_str).collect::<Vec<_>>())
        .find(|members| members.contains(&key));
    let mut keys = excluding.unwrap_or_else(|| vec![key]).into_iter();
    keys.any(|key| by_flag(key) || by_environment(key))
}

fn flags(setting: &FileSetting) -> impl Iterator<Item = OsString> {
    let flag = setting.key.replace('_', "-");
    let texts = setting.texts.iter();
    texts.map(move |text| format!("--{flag}={text}").into())
}

/// Names the variable whose value is not UTF-8, which clap does not.
fn not_utf8(error: clap::Error) -> ParseError {
    let description = description();
    let setting = description.get_arguments().find(|setting| {
        let value = setting.get_env().and_then(env::var_os);
        value.is_some_and(|value| value.into_string().is_err())
    });
    match setting {
        Some(setting) => {
            SettingsError::invalid(setting.get_id().as_str(), "expected UTF-8 text").into()
        }
        None => error.into(),
    }
}

/// Words an error about a setting: its name as in the file, what was expected, and no secret. `file` is given if the
/// value must come from it, as flags and environment have been parsed before.
fn explain(error: clap::Error, file: Option<&Path>) -> ParseError {
    let description = description();
    let settings = named(&error, &description);
    if settings.is_empty() {
        return error.into();
    }
    let names: Vec<&str> = settings.iter().map(|it| it.get_id().as_str()).collect();
    let names = names.join(", ");
    let problem = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            wrong_value(&error, settings.iter().any(|setting| is_secret(setting)))
        }
        ErrorKind::ArgumentConflict if settings.len() > 1 => {
            "expected at most one of them".to_owned()
        }
        ErrorKind::ArgumentConflict => "expected at most once".to_owned(),
        ErrorKind::MissingRequiredArgument if is_about_group(&error) => {
            "expected one of them: another setting needs it".to_owned()
        }
        ErrorKind::MissingRequiredArgument if settings.len() > 1 => {
            "missing: another setting needs them".to_owned()
        }
        ErrorKind::MissingRequiredArgument => "missing: another setting needs it".to_owned(),
        _ => return error.into(),
    };
    match file {
        Some(path) if error.kind() != ErrorKind::MissingRequiredArgument => {
            SettingsError::in_file(path, format!("{names}: {problem}")).into()
        }
        _ => SettingsError::invalid(names, problem).into(),
    }
}

/// Whether an error is about settings of which one is needed. clap writes such a group as `<--one <FILE>|--other <FILE>>`.
fn is_about_group(error: &clap::Error) -> bool {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.contains('|'),
        Some(ContextValue::Strings(texts)) => texts.iter().any(|text| text.contains('|')),
        _ => false,
    }
}

/// The settings that an error is about; none if it is about anything else, too.
fn named<'d>(error: &clap::Error, description: &'d Command) -> Vec<&'d Arg> {
    let mut texts: Vec<&str> = Vec::new();
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        match error.get(kind) {
            Some(ContextValue::String(text)) => texts.push(text),
            Some(ContextValue::Strings(more)) => texts.extend(more.iter().map(String::as_str)),
            _ => {}
        }
    }
    let mut flags = texts
        .into_iter()
        .flat_map(|text| text.split([' ', '<', '|', '>']))
        .filter(|word| word.starts_with("--"));
    let settings: Option<Vec<&Arg>> = flags.try_fold(Vec::new(), |mut settings, flag| {
        let key = flag.trim_start_matches('-').replace('-', "_");
        let setting = description
            .get_arguments()
            .find(|it| it.get_id() == key.as_str())?;
        if !settings.contains(&setting) {
            settings.push(setting);
        }
        Some(settings)
    });
    settings.unwrap_or_default()
}

/// Whether a message may repeat a value: not if it may be a URL, which may hold a password, and not if it is long.
fn is_quotable(value: &str) -> bool {
    (1..=MAX_QUOTED_BYTES).contains(&value.len()) && !value.contains("://") && !value.contains('@')
}

fn wrong_value(error: &clap::Error, is_secret: bool) -> String {
    use std::error::Error as _;
    let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            format!("expected one of {}", values.join(", "))
        }
        _ => "expected a value".to_owned(),
    };
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !is_secret && is_quotable(value) => {
            format!("{expected}, got {value:?}")
        }
        _ => expected,
    }
}

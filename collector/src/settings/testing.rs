//! Settings as command lines and files give them, whatever the environment of the tests is.

use std::path::PathBuf;

use clap::{Arg, Args, Command, value_parser};

use super::layers::{self, ParseError};

/// Parses flags.
pub(crate) fn parse<T: Args>(flags: &[&str]) -> Result<T, ParseError> {
    let command = T::augment_args(Command::new("test")).mut_args(|arg| arg.env(None));
    parse_by(&command, flags)
}

/// Parses flags and a settings file.
pub(crate) fn parse_with_file<T: Args>(text: &str, flags: &[&str]) -> Result<T, ParseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dossier.toml");
    std::fs::write(&path, text).unwrap();
    let mut command = T::augment_args(Command::new("test")).mut_args(|arg| arg.env(None));
    if !command.get_arguments().any(|arg| arg.get_id() == "config") {
        let config = Arg::new("config").long("config");
        command = command.arg(config.value_parser(value_parser!(PathBuf)));
    }
    let config = format!("--config={}", path.display());
    let flags: Vec<&str> = [config.as_str()]
        .into_iter()
        .chain(flags.iter().copied())
        .collect();
    parse_by(&command, &flags)
}

fn parse_by<T: Args>(command: &Command, flags: &[&str]) -> Result<T, ParseError> {
    let arguments = ["test"].into_iter().chain(flags.iter().copied());
    let parsed = layers::parse(command, arguments.map(Into::into).collect())?;
    Ok(T::from_arg_matches(&parsed.matches)?)
}

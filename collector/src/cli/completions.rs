//! `dossier completions`: prints completion scripts.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::{Cli, CliError};

/// Arguments of `dossier completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
For example:
  dossier completions bash > /etc/bash_completion.d/dossier
  dossier completions zsh > \"${fpath[1]}/_dossier\"
  dossier completions fish > ~/.config/fish/completions/dossier.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: SupportedShell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SupportedShell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        io::stdout().write_all(&script(self.shell))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn script(shell: SupportedShell) -> Vec<u8> {
    let shell = match shell {
        SupportedShell::Bash => Shell::Bash,
        SupportedShell::Zsh => Shell::Zsh,
        SupportedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "dossier", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_complete_all_commands() {
        for shell in SupportedShell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for word in [
                "serve", "migrate", "keys", "revoke", "validate", "doctor", "data-dir",
            ] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
        }
    }

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

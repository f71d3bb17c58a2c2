//! `dossier openapi`: prints the API's description, for client generators.

use std::process::ExitCode;

use clap::Args;

use super::{CliError, out};
use crate::api;

/// Arguments of `dossier openapi`: none.
#[derive(Debug, Args)]
pub(super) struct Openapi {}

impl Openapi {
    #[expect(clippy::unused_self, reason = "run as any other command")]
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        out::text(api::openapi_text())?;
        Ok(ExitCode::SUCCESS)
    }
}

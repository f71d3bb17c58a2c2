//! The settings from the environment: addresses, and the folder for state.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use dossier_tests::stack::StackPlan;
use dossier_tests::{HarnessError, paths, wait};

use crate::run_folder::RunFolder;

const ENVOY_PORT: &str = "DOSSIER_ENVOY_PORT";
const ENVOY_ADMIN_PORT: &str = "DOSSIER_ENVOY_ADMIN_PORT";
const LISTEN: &str = "DOSSIER_LISTEN";
const DATABASE_URL: &str = "DOSSIER_DATABASE_URL";
const RUN_DIR: &str = "DOSSIER_RUN_DIR";
const RUN_DEMO: &str = "DOSSIER_RUN_DEMO";

/// Shown by `--help`.
pub const HELP: &str = "\
Environment:
  DOSSIER_ENVOY_PORT        Envoy's port; 0 is any free one [default: 10000]
  DOSSIER_ENVOY_ADMIN_PORT  the port of Envoy's admin interface [default: 9901]
  DOSSIER_LISTEN            the collector's address [default: 127.0.0.1:8686]
  DOSSIER_DATABASE_URL      a running Postgres [default: a private one]
  DOSSIER_RUN_DIR           the folder for data, keys and logs [default: .run in the repository]
  DOSSIER_RUN_DEMO          0 sends no example requests
  DOSSIER_ROOT              the repository [default: the one around the current directory]";

/// How long the parts of a killed stack may take to end.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(15);

/// The settings.
#[derive(Debug)]
pub struct Settings {
    /// Where state is kept.
    pub folder: PathBuf,
    /// Whether example requests are sent.
    pub demo: bool,
    envoy: SocketAddr,
    envoy_admin: SocketAddr,
    collector: SocketAddr,
    database_url: Option<String>,
}

impl Settings {
    /// Reads them; what is not said has a default.
    pub fn from_environment() -> Result<Self, HarnessError> {
        let folder = match read_variable(RUN_DIR) {
            Some(folder) => PathBuf::from(folder),
            None => paths::find_repository()?.join(".run"),
        };
        Ok(Self {
            folder: std::path::absolute(folder)
                .map_err(HarnessError::io("find the folder for state"))?,
            demo: read_variable(RUN_DEMO).is_none_or(|value| value != "0"),
            envoy: local(read_port(ENVOY_PORT, 10_000)?),
            envoy_admin: local(read_port(ENVOY_ADMIN_PORT, 9901)?),
            collector: read_address(LISTEN, local(8686))?,
            database_url: read_variable(DATABASE_URL),
        })
    }

    /// Makes sure that the addresses are free. Envoy would share a port with another Envoy without a
    /// word, and requests would go to either.
    pub async fn check_addresses(&self, leftovers: bool) -> Result<(), HarnessError> {
        let limit = if leftovers {
            LEFTOVERS_LIMIT
        } else {
            Duration::ZERO
        };
        for (address, variable, kind) in [
            (self.collector, LISTEN, "address"),
            (self.envoy, ENVOY_PORT, "port"),
            (self.envoy_admin, ENVOY_ADMIN_PORT, "port"),
        ] {
            if is_free(address) {
                continue;
            }
            let freed = wait::until("the address", limit, async || {
                is_free(address)
                    .then_some(())
                    .ok_or_else(|| "in use".to_owned())
            });
            freed.await.map_err(|_| HarnessError::AddressInUse {
                address,
                variable,
                kind,
            })?;
        }
        Ok(())
    }

    /// The stack that these settings ask for.
    pub fn plan(&self, folder: &RunFolder) -> Result<StackPlan, HarnessError> {
        Ok(StackPlan {
            logs: folder.logs(),
            data: folder.data().to_owned(),
            envoy: self.envoy,
            envoy_admin: self.envoy_admin,
            collector: self.collector,
            database_url: self.database_url.clone(),
            key_files: Some(folder.key_files()),
            ..StackPlan::in_folder(self.folder.clone())?
        })
    }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

fn read_variable(variable: &str) -> Option<String> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn read_port(variable: &'static str, default: u16) -> Result<u16, HarnessError> {
    let Some(value) = read_variable(variable) else {
        return Ok(default);
    };
    let expected = "a port number, or 0 for any free port";
    value.parse().map_err(|_| HarnessError::Setting {
        variable,
        value,
        expected,
    })
}

fn read_address(variable: &'static str, default: SocketAddr) -> Result<SocketAddr, HarnessError> {
    let Some(value) = read_variable(variable) else {
        return Ok(default);
    };
    let expected = "an IP address and a port, as 127.0.0.1:8686";
    value.parse().map_err(|_| HarnessError::Setting {
        variable,
        value,
        expected,
    })
}

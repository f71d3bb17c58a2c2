//! The shipped Envoy configuration with other addresses in it: what is tested is the file that users
//! get, not a copy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::HarnessError;

/// Name of the cluster of the recorded service.
pub const UPSTREAM_CLUSTER: &str = "example_upstream";
/// Name of the cluster of the collector.
pub const COLLECTOR_CLUSTER: &str = "dossier_collector";

/// An Envoy configuration to be changed and written.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    file: PathBuf,
    tree: Value,
}

impl Bootstrap {
    /// Reads a YAML file.
    ///
    /// # Errors
    /// [`HarnessError`] if it cannot be read or is no YAML.
    pub fn read(file: &Path) -> Result<Self, HarnessError> {
        let text = std::fs::read_to_string(file)
            .map_err(HarnessError::io(format!("read {}", file.display())))?;
        let tree = serde_saphyr::from_str(&text).map_err(|error| HarnessError::Bootstrap {
            file: file.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Self {
            file: file.to_owned(),
            tree,
        })
    }

    /// Writes it as JSON, which Envoy reads too.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the file cannot be written.
    pub fn write(&self, to: &Path) -> Result<(), HarnessError> {
        std::fs::write(to, format!("{:#}", self.tree))
            .map_err(HarnessError::io(format!("write {}", to.display())))
    }

    /// Where clients connect to.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no listener.
    pub fn set_listener(&mut self, address: SocketAddr) -> Result<(), HarnessError> {
        set_address(self.at("/static_resources/listeners/0/address")?, address);
        Ok(())
    }

    /// Where the admin page is.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has none.
    pub fn set_admin(&mut self, address: SocketAddr) -> Result<(), HarnessError> {
        set_address(self.at("/admin/address")?, address);
        Ok(())
    }

    /// Where a cluster's only host is.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no such cluster.
    pub fn set_cluster(&mut self, name: &str, address: SocketAddr) -> Result<(), HarnessError> {
        let file = self.file.clone();
        let problem = format!("no cluster {name} with one address");
        let host = self
            .cluster(name)?
            .pointer_mut("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address")
            .ok_or(HarnessError::Bootstrap { file, problem })?;
        set_address(host, address);
        Ok(())
    }

    /// A cluster, to be changed.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no such cluster.
    pub fn cluster(&mut self, name: &str) -> Result<&mut Value, HarnessError> {
        let file = self.file.clone();
        named(self.at("/static_resources/clusters")?, name).ok_or_else(|| HarnessError::Bootstrap {
            file,
            problem: format!("no cluster {name}"),
        })
    }

    /// The routes, to be changed.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has none.
    pub fn routes(&mut self) -> Result<&mut Value, HarnessError> {
        self.at("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes")
    }

    /// The filter's compiled code.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter named `dossier`.
    pub fn set_wasm(&mut self, code: &Path) -> Result<(), HarnessError> {
        *self.in_filter("/typed_config/config/vm_config/code/local/filename")? = json!(code);
        Ok(())
    }

    /// The filter's own configuration, to be changed.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter named `dossier`.
    pub fn plugin(&mut self) -> Result<&mut Value, HarnessError> {
        self.in_filter("/typed_config/config/configuration/value")
    }

    /// Takes the filter out: Envoy as it is without Dossier, to compare with.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no HTTP filters.
    pub fn remove_filter(&mut self) -> Result<(), HarnessError> {
        if let Some(filters) = self.at(HTTP_FILTERS)?.as_array_mut() {
            filters.retain(|filter| filter.get("name") != Some(&json!("dossier")));
        }
        Ok(())
    }

    fn in_filter(&mut self, pointer: &str) -> Result<&mut Value, HarnessError> {
        let file = self.file.clone();
        let problem = format!("no HTTP filter dossier with {pointer}");
        named(self.at(HTTP_FILTERS)?, "dossier")
            .and_then(|filter| filter.pointer_mut(pointer))
            .ok_or(HarnessError::Bootstrap { file, problem })
    }

    fn at(&mut self, pointer: &str) -> Result<&mut Value, HarnessError> {
        let file = &self.file;
        self.tree
            .pointer_mut(pointer)
            .ok_or_else(|| HarnessError::Bootstrap {
                file: file.clone(),
                problem: format!("nothing at {pointer}"),
            })
    }
}

const HTTP_FILTERS: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";

fn named<'a>(list: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    list.as_array_mut()?
        .iter_mut()
        .find(|entry| entry.get("name").is_some_and(|it| it == name))
}

fn set_address(node: &mut Value, address: SocketAddr) {
    *node = json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place;

    #[test]
    fn the_shipped_configuration_has_everything_that_is_changed() {
        let mut bootstrap = Bootstrap::read(&place::example_bootstrap()).unwrap();
        let address = "127.0.0.1:4242".parse().unwrap();
        bootstrap.set_listener(address).unwrap();
        bootstrap.set_admin(address).unwrap();
        bootstrap.set_cluster(UPSTREAM_CLUSTER, address).unwrap();
        bootstrap.set_cluster(COLLECTOR_CLUSTER, address).unwrap();
        bootstrap.set_wasm(Path::new("/there.wasm")).unwrap();
        assert_eq!(
            bootstrap.plugin().unwrap()["routes"][0]["capture"]["metadata"]["version"],
            "1.0"
        );
        assert_eq!(bootstrap.tree.to_string().matches("4242").count(), 4);
    }

    #[test]
    fn a_missing_cluster_is_named() {
        let mut bootstrap = Bootstrap::read(&place::example_bootstrap()).unwrap();
        let error = bootstrap.cluster("elsewhere").unwrap_err().to_string();
        assert!(
            error.contains("example.yaml: no cluster elsewhere"),
            "{error}"
        );
    }
}

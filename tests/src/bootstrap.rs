//! The shipped Envoy configurations, changed for tests: tests run the files that users get, not copies.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::HarnessError;

/// Name of the cluster of the recorded service.
pub const UPSTREAM_CLUSTER: &str = "example_upstream";
/// Name of the cluster of the collector.
pub const COLLECTOR_CLUSTER: &str = "dossier_collector";

/// An Envoy configuration that can be changed and written.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    file: PathBuf,
    tree: Value,
}

impl Bootstrap {
    /// Reads a YAML file.
    ///
    /// # Errors
    /// [`HarnessError`] if it cannot be read or is not YAML.
    pub fn read(file: &Path) -> Result<Self, HarnessError> {
        Ok(Self {
            file: file.to_owned(),
            tree: read_yaml(file)?,
        })
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the file cannot be written.
    pub fn write(&self, to: &Path) -> Result<(), HarnessError> {
        std::fs::write(to, format!("{:#}", self.tree))
            .map_err(HarnessError::io(format!("write {}", to.display())))
    }

    /// Sets the first listener's address.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no listener.
    pub fn set_listener(&mut self, address: SocketAddr) -> Result<(), HarnessError> {
        set_address(self.at("/static_resources/listeners/0/address")?, address);
        Ok(())
    }

    /// Sets the address of the admin interface, which the file need not have.
    pub fn set_admin(&mut self, address: SocketAddr) {
        set(
            &mut self.tree,
            "admin",
            json!({"address": socket_address(address)}),
        );
    }

    /// Sets the address of a cluster's only host.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no cluster of this name.
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

    /// Replaces a cluster's hosts.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no cluster of this name.
    pub fn set_hosts(&mut self, name: &str, addresses: &[SocketAddr]) -> Result<(), HarnessError> {
        let hosts: Vec<_> = addresses
            .iter()
            .map(|address| json!({"endpoint": {"address": socket_address(*address)}}))
            .collect();
        let assignment = json!({"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]});
        set(self.cluster(name)?, "load_assignment", assignment);
        Ok(())
    }

    /// A cluster, to change.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no cluster of this name.
    pub fn cluster(&mut self, name: &str) -> Result<&mut Value, HarnessError> {
        let file = self.file.clone();
        find_by_name(self.list("/static_resources/clusters")?, name).ok_or_else(|| {
            HarnessError::Bootstrap {
                file,
                problem: format!("no cluster {name}"),
            }
        })
    }

    /// Adds a copy of the recorded service's cluster, to change.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no such cluster.
    pub fn add_cluster(
        &mut self,
        name: &str,
        address: SocketAddr,
    ) -> Result<&mut Value, HarnessError> {
        let mut cluster = self.cluster(UPSTREAM_CLUSTER)?.clone();
        set(&mut cluster, "name", json!(name));
        self.list("/static_resources/clusters")?.push(cluster);
        self.set_cluster(name, address)?;
        self.cluster(name)
    }

    /// The first listener's HTTP connection manager, to change.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no listener.
    pub fn connection_manager(&mut self) -> Result<&mut Value, HarnessError> {
        self.at(CONNECTION_MANAGER)
    }

    /// The routes, to change.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has none.
    pub fn routes(&mut self) -> Result<&mut Vec<Value>, HarnessError> {
        self.list(&format!(
            "{CONNECTION_MANAGER}/route_config/virtual_hosts/0/routes"
        ))
    }

    /// The HTTP filters, to change.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has none.
    pub fn http_filters(&mut self) -> Result<&mut Vec<Value>, HarnessError> {
        self.list(&format!("{CONNECTION_MANAGER}/http_filters"))
    }

    /// Sets the path of the filter's compiled code.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter named `dossier`.
    pub fn set_wasm(&mut self, code: &Path) -> Result<(), HarnessError> {
        *self.filter_node(CODE)? = json!(code);
        Ok(())
    }

    /// The filter's own configuration, to change.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter named `dossier`.
    pub fn plugin(&mut self) -> Result<&mut Value, HarnessError> {
        self.filter_node(PLUGIN)
    }

    /// Adds an environment variable to the filter's VM.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter named `dossier` with variables.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<(), HarnessError> {
        set(
            self.filter_node(VARIABLES)?,
            "key_values",
            json!({name: value}),
        );
        Ok(())
    }

    /// Sets the first listener's transport socket.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no listener.
    pub fn set_transport_socket(&mut self, socket: Value) -> Result<(), HarnessError> {
        let chain = self.at("/static_resources/listeners/0/filter_chains/0")?;
        set(chain, "transport_socket", socket);
        Ok(())
    }

    /// Sets the file in which Envoy discovers the filter.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if this configuration does not discover its filter.
    pub fn discover_filter(&mut self, file: &Path) -> Result<(), HarnessError> {
        *self.filter_node("/config_discovery/config_source/path_config_source")? =
            path_config_source(file);
        Ok(())
    }

    /// A copy without listeners: Envoy discovers them in a file, which [`Self::write_listeners`] writes.
    #[must_use]
    pub fn discover_listeners(&self, file: &Path) -> Self {
        let mut discovering = self.clone();
        if let Some(resources) = discovering
            .tree
            .get_mut("static_resources")
            .and_then(Value::as_object_mut)
        {
            resources.remove("listeners");
        }
        let source =
            json!({"resource_api_version": "V3", "path_config_source": path_config_source(file)});
        let node = json!({"id": "example", "cluster": "example"});
        set(&mut discovering.tree, "node", node);
        set(
            &mut discovering.tree,
            "dynamic_resources",
            json!({"lds_config": source}),
        );
        discovering
    }

    /// Writes the listeners into a file for discovery, in one step.
    ///
    /// # Errors
    /// [`HarnessError`] if there are none, or the file cannot be written.
    pub fn write_listeners(&mut self, to: &Path) -> Result<(), HarnessError> {
        let mut listeners = self.list("/static_resources/listeners")?.clone();
        for listener in &mut listeners {
            let kind = "type.googleapis.com/envoy.config.listener.v3.Listener";
            set(listener, "@type", json!(kind));
        }
        write_atomically(to, &json!({"resources": listeners}))
    }

    /// Removes the filter, for comparison.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no HTTP filters.
    pub fn remove_filter(&mut self) -> Result<(), HarnessError> {
        let filters = self.http_filters()?;
        filters.retain(|filter| filter.get("name") != Some(&json!(FILTER)));
        Ok(())
    }

    fn filter_node(&mut self, pointer: &str) -> Result<&mut Value, HarnessError> {
        let file = self.file.clone();
        let problem = format!("no HTTP filter {FILTER} with {pointer}");
        find_by_name(self.http_filters()?, FILTER)
            .and_then(|filter| filter.pointer_mut(pointer))
            .ok_or(HarnessError::Bootstrap { file, problem })
    }

    fn list(&mut self, pointer: &str) -> Result<&mut Vec<Value>, HarnessError> {
        let file = self.file.clone();
        let problem = format!("no list at {pointer}");
        self.at(pointer)?
            .as_array_mut()
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

/// Reads a YAML file.
///
/// # Errors
/// [`HarnessError`] if it cannot be read or is not YAML.
pub fn read_yaml(file: &Path) -> Result<Value, HarnessError> {
    let text = std::fs::read_to_string(file)
        .map_err(HarnessError::io(format!("read {}", file.display())))?;
    serde_saphyr::from_str(&text).map_err(|error| HarnessError::Bootstrap {
        file: file.to_owned(),
        problem: error.to_string(),
    })
}

/// The file in which `envoy/ecds.yaml` discovers the filter.
#[derive(Debug, Clone)]
pub struct FilterFile(Bootstrap);

impl FilterFile {
    /// Reads a YAML file.
    ///
    /// # Errors
    /// [`HarnessError`] if it cannot be read or is not YAML.
    pub fn read(file: &Path) -> Result<Self, HarnessError> {
        Bootstrap::read(file).map(Self)
    }

    /// Writes it as JSON, in one step.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the file cannot be written.
    pub fn write(&self, to: &Path) -> Result<(), HarnessError> {
        write_atomically(to, &self.0.tree)
    }

    /// Sets the path of the filter's compiled code.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter.
    pub fn set_wasm(&mut self, code: &Path) -> Result<(), HarnessError> {
        *self.0.at(&format!("/resources/0{CODE}"))? = json!(code);
        Ok(())
    }

    /// The filter's own configuration, to change.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter.
    pub fn plugin(&mut self) -> Result<&mut Value, HarnessError> {
        self.0.at(&format!("/resources/0{PLUGIN}"))
    }

    /// Adds an environment variable to the filter's VM; Envoy then starts a new VM.
    ///
    /// # Errors
    /// [`HarnessError::Bootstrap`] if the file has no filter with variables.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<(), HarnessError> {
        let variables = self.0.at(&format!("/resources/0{VARIABLES}"))?;
        set(variables, "key_values", json!({name: value}));
        Ok(())
    }
}

const FILTER: &str = "dossier";
const CONNECTION_MANAGER: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
/// Within a filter: its compiled code.
const CODE: &str = "/typed_config/config/vm_config/code/local/filename";
/// Within a filter: the environment variables of its VM.
const VARIABLES: &str = "/typed_config/config/vm_config/environment_variables";
/// Within a filter: its own configuration.
const PLUGIN: &str = "/typed_config/config/configuration/value";

fn find_by_name<'a>(list: &'a mut [Value], name: &str) -> Option<&'a mut Value> {
    list.iter_mut()
        .find(|entry| entry.get("name").is_some_and(|it| it == name))
}

/// Sets a key of an object.
pub fn set(node: &mut Value, key: &str, value: Value) {
    if let Some(node) = node.as_object_mut() {
        node.insert(key.to_owned(), value);
    }
}

fn set_address(node: &mut Value, address: SocketAddr) {
    *node = socket_address(address);
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A source that Envoy reloads when a file in its folder is renamed.
fn path_config_source(file: &Path) -> Value {
    json!({"path": file, "watched_directory": {"path": file.parent()}})
}

/// Readers see the old or the new file, never a part.
fn write_atomically(file: &Path, tree: &Value) -> Result<(), HarnessError> {
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{tree:#}"))
        .and_then(|()| std::fs::rename(&next, file))
        .map_err(HarnessError::io(format!("write {}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    #[test]
    fn shipped_configuration_has_every_changed_part() {
        let mut bootstrap = Bootstrap::read(&paths::find_example_config().unwrap()).unwrap();
        let address = "127.0.0.1:4242".parse().unwrap();
        bootstrap.set_listener(address).unwrap();
        bootstrap.set_admin(address);
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
    fn names_missing_cluster() {
        let mut bootstrap = Bootstrap::read(&paths::find_example_config().unwrap()).unwrap();
        let error = bootstrap.cluster("elsewhere").unwrap_err().to_string();
        assert!(
            error.contains("example.yaml: no cluster elsewhere"),
            "{error}"
        );
    }
}

//! How Envoy gets the filter's configuration: in its bootstrap, or in a file that it watches, which a
//! test changes while traffic flows.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bootstrap::{Bootstrap, FilterFile};
use crate::error::HarnessError;
use crate::paths;

/// How Envoy gets the filter's configuration.
#[derive(Debug, Clone)]
pub enum ConfigDelivery {
    /// In the bootstrap.
    Static,
    /// With the listener, by LDS.
    Lds,
    /// On its own, by ECDS.
    Ecds(FilterFile),
}

/// A configuration file that Envoy watches.
#[derive(Debug)]
pub struct WatchedConfig {
    file: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Listeners(Bootstrap),
    Filter(FilterFile),
}

impl ConfigDelivery {
    /// Writes the watched file into a folder of its own. Returns the bootstrap to start Envoy with.
    ///
    /// # Errors
    /// [`HarnessError`] if the file cannot be written, or the bootstrap does not support the delivery.
    pub fn prepare(
        self,
        mut bootstrap: Bootstrap,
        folder: &Path,
    ) -> Result<(Bootstrap, Option<WatchedConfig>), HarnessError> {
        let file = folder.join("watched/dossier.json");
        let content = match self {
            Self::Static => return Ok((bootstrap, None)),
            Self::Lds => {
                let content = Content::Listeners(bootstrap.clone());
                bootstrap = bootstrap.discover_listeners(&file);
                content
            }
            Self::Ecds(mut filter) => {
                filter.set_wasm(&paths::find_filter()?)?;
                bootstrap.discover_filter(&file)?;
                Content::Filter(filter)
            }
        };
        let watched_folder = folder.join("watched");
        std::fs::create_dir_all(&watched_folder).map_err(HarnessError::io(format!(
            "make {}",
            watched_folder.display()
        )))?;
        let mut watched_config = WatchedConfig { file, content };
        watched_config.change(|_| ())?;
        Ok((bootstrap, Some(watched_config)))
    }
}

impl WatchedConfig {
    /// Changes the filter's own configuration and writes it for Envoy.
    ///
    /// # Errors
    /// [`HarnessError`] if the file cannot be written.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), HarnessError> {
        match &mut self.content {
            Content::Listeners(bootstrap) => {
                change(bootstrap.plugin()?);
                bootstrap.write_listeners(&self.file)
            }
            Content::Filter(filter) => {
                change(filter.plugin()?);
                filter.write(&self.file)
            }
        }
    }

    /// Has Envoy replace the filter's VMs.
    ///
    /// # Errors
    /// [`HarnessError`] if the file cannot be written, or holds more than the filter.
    pub fn replace_vm(&mut self, generation: u32) -> Result<(), HarnessError> {
        match &mut self.content {
            Content::Filter(filter) => {
                filter.set_variable("GENERATION", &generation.to_string())?;
                filter.write(&self.file)
            }
            Content::Listeners(_) => Err(HarnessError::Unexpected {
                doing: "replace the filter's VM".to_owned(),
                answer: "its configuration comes with the listener".to_owned(),
            }),
        }
    }
}

//! The filter's configuration in a file that Envoy watches, to be changed while traffic flows.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bootstrap::{Bootstrap, FilterFile};
use crate::error::HarnessError;
use crate::paths;

/// How the filter's configuration gets to Envoy.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// With everything else, at the start.
    AtStart,
    /// With the listener, by LDS.
    WithListener,
    /// By itself, by ECDS.
    ByItself(FilterFile),
}

/// The file that Envoy watches.
#[derive(Debug)]
pub struct Live {
    file: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Listeners(Bootstrap),
    Filter(FilterFile),
}

impl Delivery {
    /// Puts the watched file into a folder of its own, and gives what Envoy is then started with.
    ///
    /// # Errors
    /// [`HarnessError`] if the file cannot be written, or the configuration is not made for this.
    pub fn prepare(
        self,
        mut bootstrap: Bootstrap,
        folder: &Path,
    ) -> Result<(Bootstrap, Option<Live>), HarnessError> {
        let file = folder.join("watched/dossier.json");
        let content = match self {
            Self::AtStart => return Ok((bootstrap, None)),
            Self::WithListener => {
                let content = Content::Listeners(bootstrap.clone());
                bootstrap = bootstrap.discover_listeners(&file);
                content
            }
            Self::ByItself(mut filter) => {
                filter.set_wasm(&paths::filter_wasm()?)?;
                bootstrap.discover_filter(&file)?;
                Content::Filter(filter)
            }
        };
        let watched = folder.join("watched");
        std::fs::create_dir_all(&watched)
            .map_err(HarnessError::io(format!("make {}", watched.display())))?;
        let mut live = Live { file, content };
        live.change(|_| ())?;
        Ok((bootstrap, Some(live)))
    }
}

impl Live {
    /// Changes the filter's own configuration, and has Envoy see it.
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

    /// Has Envoy put new VMs in the place of the old.
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

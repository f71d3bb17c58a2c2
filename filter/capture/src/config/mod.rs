//! The plugin configuration: read from JSON, checked as a whole, compiled into a table of rules.
//!
//! Nothing here knows a proxy, so the same checker runs inside Envoy and in the command line tool.

mod capture;
mod reader;
pub mod redact;
mod route_metadata;
mod rules;
mod settings;
mod units;

pub use capture::{Plan, Storage};
pub use reader::Problems;
#[cfg(test)]
pub(crate) use route_metadata::tests::serialised as serialised_metadata;
pub use rules::{Rules, Subject};
pub use settings::{Batch, Collector, Token};

use serde_json::Value;

use reader::{Collected, Node, Path};

/// A whole plugin configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// Where batches go.
    pub collector: Collector,
    /// When a batch is sealed.
    pub batch: Batch,
    /// Most bytes that the filter holds in one VM.
    pub buffer_bytes: usize,
    /// Headers that may name the user, the first that does wins. Lower case.
    pub user_headers: Vec<String>,
    /// Which exchanges are recorded, and how.
    pub rules: Rules,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it, each fault by its key's path.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problems> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Problems::one(
                "the configuration is empty: expected an object with collector and routes",
            ));
        }
        let value = serde_json::from_slice(bytes).or_else(|error| {
            // Envoy hands a `google.protobuf.Struct` over as it is, not as JSON.
            route_metadata::serialised_struct(bytes).ok_or_else(|| {
                // serde's own text is not passed on: it may quote a value.
                Problems::one(format!(
                    "the configuration is not JSON: see line {}, column {}",
                    error.line(),
                    error.column()
                ))
            })
        })?;
        Self::from_value(&value, "")
    }

    /// Reads a configuration that stands somewhere in a larger file; `at` is the way to it there,
    /// with which the paths of all faults begin.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_value(value: &Value, at: &str) -> Result<Self, Problems> {
        let problems = Collected::default();
        let read = Self::read(&Node {
            value,
            path: Path::Root(at),
            problems: &problems,
        });
        let problems = problems.into_problems();
        match read {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }

    fn read(root: &Node<'_>) -> Option<Self> {
        let Value::Object(_) = root.value else {
            root.expected("an object with collector and routes");
            return None;
        };
        let object = root.object("collector and routes")?;
        let collector = object
            .require("collector", "an object with cluster")
            .and_then(|node| Collector::read(&node));
        let batch = object
            .get("batch")
            .map_or_else(Batch::default, |node| Batch::read(&node));
        let buffer_bytes = settings::buffer_bytes(object.get("buffer").as_ref(), &batch);
        let user_headers = object
            .get("user")
            .map(|node| settings::user_headers(&node))
            .unwrap_or_default();
        let defaults = object
            .get("defaults")
            .map(|node| capture::Keys::read(&node))
            .unwrap_or_default();
        let rules = Rules::read(object.get("routes").as_ref(), defaults);
        object.refuse_unknown();
        Some(Self {
            collector: collector?,
            batch,
            buffer_bytes,
            user_headers,
            rules,
        })
    }
}

/// Checks the capture keys that a route carries in its own metadata; `at` is the way to them.
#[must_use]
pub fn check_route_keys(value: &Value, at: &str) -> Problems {
    let problems = Collected::default();
    capture::Keys::read(&Node {
        value,
        path: Path::Root(at),
        problems: &problems,
    });
    problems.into_problems()
}

#[cfg(test)]
mod tests;

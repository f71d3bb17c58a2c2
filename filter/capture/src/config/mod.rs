//! The plugin configuration: read from JSON, checked as a whole, compiled into a table of rules.
//!
//! Nothing here knows a proxy, so the same checker runs inside Envoy and in the command line tool.

mod capture;
mod claims;
mod glob;
mod matcher;
mod media;
mod names;
mod plan;
mod reader;
pub mod redact;
mod route_metadata;
mod rules;
mod secret;
mod session;
mod settings;
mod source;
mod template;
mod units;
mod user;
mod when;

pub(crate) use claims::claim;
pub use matcher::Subject;
pub use plan::{Plan, Storage};
pub use reader::Problems;
#[cfg(test)]
pub(crate) use route_metadata::tests::serialised as serialised_metadata;
pub use rules::Rules;
pub use secret::Secret;
pub(crate) use session::GroupPart;
pub use settings::{Batch, Collector};
pub(crate) use source::{Extraction, SessionSource, Target};
pub(crate) use user::UserSource;

use serde_json::Value;

use crate::redact::HashKey;

use reader::{Collected, Node, Path};
use secret::Length;

/// A whole plugin configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// Where batches go.
    pub collector: Collector,
    /// When a batch is sealed.
    pub batch: Batch,
    /// Most bytes that the filter holds in one VM.
    pub buffer_bytes: usize,
    /// What may name the user; the first that does wins.
    pub(crate) user: Vec<UserSource>,
    /// What redacted values are hashed with.
    pub hash_key: Option<Secret>,
    /// Which exchanges are recorded, and how.
    pub rules: Rules,
}

/// Shorter keys could be guessed along with what they hide.
const HASH_KEY: Length = Length {
    least: 16,
    most: 256,
};

impl Config {
    /// The key itself that redacted values are hashed with.
    ///
    /// # Errors
    /// Its variable is not set, or its value is too short or too long.
    pub fn resolve_hash_key(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<HashKey>, Problems> {
        let resolve = |secret: &Secret| {
            let key = secret.resolve("hash_key", HASH_KEY, environment)?;
            HashKey::new(key.as_bytes())
                .map_err(|error| Problems::one(format!("hash_key: expected {error}")))
        };
        self.hash_key.as_ref().map(resolve).transpose()
    }

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
        let user = object
            .get("user")
            .and_then(|node| user::sources(&node))
            .unwrap_or_default();
        let hash_key = object.get("hash_key");
        let rules = Rules::read(
            object.get("routes").as_ref(),
            object.get("defaults").as_ref(),
            hash_key.is_some(),
        );
        let hash_key = hash_key.and_then(|node| Secret::read(&node, HASH_KEY));
        object.refuse_unknown();
        Some(Self {
            collector: collector?,
            batch,
            buffer_bytes,
            user,
            hash_key,
            rules,
        })
    }
}

/// Checks the capture keys that a route carries in its own metadata; `at` is the way to them.
#[must_use]
pub fn check_route_keys(value: &Value, at: &str) -> Problems {
    let problems = Collected::default();
    let node = Node {
        value,
        path: Path::Root(at),
        problems: &problems,
    };
    // Whether there is a hash key is said elsewhere.
    capture::Keys::read(&node).check(&node, true);
    problems.into_problems()
}

#[cfg(test)]
mod tests;

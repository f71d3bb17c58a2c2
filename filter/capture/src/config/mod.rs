//! The plugin configuration: read from JSON, validated as a whole, compiled into rules.
//!
//! Nothing here depends on a proxy, so the same checker runs inside Envoy and in the command-line tool.

mod capture_keys;
mod claims;
mod end_conditions;
mod glob;
mod header_names;
mod matcher;
mod media_range;
mod metadata;
mod per_half;
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

pub(crate) use claims::find_claim;
pub use matcher::RequestView;
pub use plan::{CapturePlan, StorageType};
pub use reader::Problems;
#[cfg(test)]
pub(crate) use route_metadata::tests::serialised as serialised_metadata;
pub use rules::{IdleReason, IdleRule, Rules};
pub use secret::SecretSource;
pub(crate) use session::SessionGroupPart;
pub use settings::{BatchSettings, CollectorSettings};
pub(crate) use source::{Extraction, ExtractionTarget, SessionSource};
pub use user::InvalidUser;
pub(crate) use user::UserSource;

use serde_json::Value;

use crate::redact::HashKey;

use capture_keys::CaptureKeys;
use reader::{ConfigNode, KeyPath, ProblemCollector};
use secret::SecretLength;

/// A valid plugin configuration.
#[derive(Debug)]
pub struct Config {
    /// The key `collector`.
    pub collector: CollectorSettings,
    /// The key `batch`.
    pub batch: BatchSettings,
    /// Limits the memory of one VM.
    pub buffer_bytes: usize,
    /// The first source with a value determines the user.
    pub(crate) user: Vec<UserSource>,
    /// What is done if the user's id cannot be taken.
    pub invalid_user: InvalidUser,
    /// The key of [`HashKey`]s.
    pub hash_key: Option<SecretSource>,
    /// The keys `routes` and `defaults`.
    pub rules: Rules,
}

/// Shorter keys could be guessed together with the values they hide.
const HASH_KEY: SecretLength = SecretLength { min: 16, max: 256 };

impl Config {
    /// Resolves [`Self::hash_key`].
    ///
    /// # Errors
    /// The variable is not set, or its value is too short or too long.
    pub fn resolve_hash_key(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<HashKey>, Problems> {
        let resolve = |secret: &SecretSource| {
            let key = secret.resolve("hash_key", HASH_KEY, environment)?;
            HashKey::new(key.as_bytes())
                .map_err(|error| Problems::single(format!("hash_key: expected {error}")))
        };
        self.hash_key.as_ref().map(resolve).transpose()
    }

    /// Parses JSON or a serialised `google.protobuf.Struct`.
    ///
    /// # Errors
    /// All problems, each with the path of its key.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problems> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Problems::single(
                "the configuration is empty: expected an object with collector and routes",
            ));
        }
        let value = serde_json::from_slice(bytes).or_else(|error| {
            // Envoy passes on a `google.protobuf.Struct` as it is, not as JSON.
            route_metadata::decode_struct(bytes).ok_or_else(|| {
                // serde's own message is not shown: it may quote a value.
                Problems::single(format!(
                    "the configuration is not JSON: see line {}, column {}",
                    error.line(),
                    error.column()
                ))
            })
        })?;
        Self::from_value(&value, "")
    }

    /// Reads a configuration inside a larger file. The paths of all problems begin with `at`, its path
    /// there.
    ///
    /// # Errors
    /// All problems, each with the path of its key.
    pub fn from_value(value: &Value, at: &str) -> Result<Self, Problems> {
        let problems = ProblemCollector::default();
        let read = Self::read(&ConfigNode {
            value,
            path: KeyPath::Root(at),
            problems: &problems,
        });
        let problems = problems.into_problems();
        match read {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }

    fn read(root: &ConfigNode<'_>) -> Option<Self> {
        let Value::Object(_) = root.value else {
            root.report_expected("an object with collector and routes");
            return None;
        };
        let object = root.as_object("collector and routes")?;
        let collector = object
            .require("collector", "an object with cluster")
            .and_then(|node| CollectorSettings::read(&node));
        let batch = object
            .get("batch")
            .map_or_else(BatchSettings::default, |node| BatchSettings::read(&node));
        let buffer_bytes = settings::read_buffer_bytes(object.get("buffer").as_ref(), &batch);
        let user = object
            .get("user")
            .and_then(|node| user::read_sources(&node))
            .unwrap_or_default();
        let invalid_user = object
            .get("invalid_user")
            .and_then(|node| user::read_invalid(&node))
            .unwrap_or_default();
        let hash_key = object.get("hash_key");
        let rules = Rules::read(
            object.get("routes").as_ref(),
            object.get("defaults").as_ref(),
            hash_key.is_some(),
        );
        let hash_key = hash_key.and_then(|node| SecretSource::read(&node, HASH_KEY));
        object.reject_unknown();
        Some(Self {
            collector: collector?,
            batch,
            buffer_bytes,
            user,
            invalid_user,
            hash_key,
            rules,
        })
    }
}

/// Checks the capture keys in a route's metadata, and says why the route records nothing if it does not. The paths of all problems begin with `at`.
///
/// # Errors
/// All problems, each with the path of its key.
pub fn check_route_keys(value: &Value, at: &str) -> Result<Option<IdleReason>, Problems> {
    let problems = ProblemCollector::default();
    let node = ConfigNode {
        value,
        path: KeyPath::Root(at),
        problems: &problems,
    };
    // Whether there is a hash key is not known here.
    let keys = CaptureKeys::read(&node);
    keys.check(&node, true);
    let problems = problems.into_problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    let plan = keys.merged_over(&CaptureKeys::default()).compile_plan(None);
    Ok(IdleReason::of_plan(&plan))
}

#[cfg(test)]
mod tests;

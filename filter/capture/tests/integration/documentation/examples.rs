//! Validates the YAML blocks of a document.

use dossier_capture::config::{Config, check_route_keys};
use serde_json::{Value, json};

use super::keys::{CAPTURE, Key};

/// A block of YAML.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) text: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A plugin configuration, or a part of one.
    Plugin(Value),
    /// A part of an Envoy configuration with a route's own keys.
    Route(Value),
    /// Something else, or invalid YAML.
    Unknown(String),
}

/// All blocks that are marked as YAML.
pub(crate) fn of(document: &str) -> Vec<Example> {
    let blocks = document.split("```yaml\n").skip(1);
    blocks
        .map(|block| {
            let (text, _) = block.split_once("```").unwrap();
            let (text, kind) = (text.to_owned(), Kind::of(text));
            Example { text, kind }
        })
        .collect()
}

impl Kind {
    fn of(text: &str) -> Self {
        let value: Value = match serde_saphyr::from_str(text) {
            Ok(value) => value,
            Err(error) => return Self::Unknown(error.to_string()),
        };
        if let Some(keys) = route_keys(&value) {
            return Self::Route(keys.clone());
        }
        let parts = ["collector", "batch", "buffer", "user", "defaults", "routes"];
        if parts.iter().any(|part| value.get(part).is_some()) {
            return Self::Plugin(value);
        }
        Self::Unknown("neither a configuration nor a route with keys of ours".to_owned())
    }
}

impl Example {
    /// The problems that the filter reports.
    pub(crate) fn problems(&self) -> Vec<String> {
        let problems = match &self.kind {
            Kind::Unknown(why) => return vec![why.clone()],
            Kind::Route(keys) => check_route_keys(keys, "").err().unwrap_or_default(),
            Kind::Plugin(value) => {
                let mut value = value.clone();
                if value.get("collector").is_none() {
                    value["collector"] = json!({"cluster": "c"});
                }
                Config::from_value(&value, "").err().unwrap_or_default()
            }
        };
        problems.lines().map(str::to_owned).collect()
    }

    /// The keys in it, as the tables name them.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        match &self.kind {
            Kind::Plugin(value) => collect(value, "", &mut keys),
            Kind::Route(value) => collect(value, CAPTURE, &mut keys),
            Kind::Unknown(_) => {}
        }
        keys.iter().map(|key| Key::parse(key)).collect()
    }
}

fn collect(value: &Value, at: &str, keys: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let key = match at {
                    "" => name.clone(),
                    _ if at.ends_with(".metadata") => format!("{at}.NAME"),
                    _ => format!("{at}.{name}"),
                };
                let inside = if key == "routes[].capture" {
                    CAPTURE
                } else {
                    &key
                };
                collect(value, inside, keys);
                keys.push(key);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, &format!("{at}[]"), keys);
            }
        }
        _ => {}
    }
}

/// The object at `filter_metadata.dossier`, at any depth.
fn route_keys(value: &Value) -> Option<&Value> {
    let here = value.pointer("/filter_metadata/dossier");
    here.or_else(|| match value {
        Value::Object(map) => map.values().find_map(route_keys),
        Value::Array(items) => items.iter().find_map(route_keys),
        _ => None,
    })
}

//! Finds the known keys by asking the filter: an unknown key is rejected with a list of the known ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dossier_capture::config::{Config, Problems, check_route_keys};
use serde_json::{Value, json};

/// The prefix of capture keys in the tables.
pub(crate) const CAPTURE: &str = "defaults";
/// Unlike any key, so that none is suggested.
const UNKNOWN: &str = "zzzzzzzzzzzz";
/// Stands for any name in objects with free names.
const ANY_NAME: &str = "NAME";

/// The path of a value: `routes[].match.path.prefix`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Name(String),
    /// The items of a list.
    Items,
}

impl Key {
    pub(crate) fn parse(text: &str) -> Self {
        let names = text
            .split('.')
            .flat_map(|part| match part.strip_suffix("[]") {
                Some(name) => vec![Step::Name(name.to_owned()), Step::Items],
                None => vec![Step::Name(part.to_owned())],
            });
        Self(names.collect())
    }

    pub(crate) const fn root() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn child(&self, name: &str) -> Self {
        self.then(Step::Name(name.to_owned()))
    }

    pub(crate) fn items(&self) -> Self {
        self.then(Step::Items)
    }

    fn then(&self, step: Step) -> Self {
        let steps = self.0.iter().cloned().chain([step]);
        Self(steps.collect())
    }

    /// The last name of the path.
    pub(crate) fn name(&self) -> &str {
        let names = self.0.iter().rev().filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Items => None,
        });
        names.into_iter().next().unwrap_or_default()
    }

    /// Whether the other key is inside this one.
    fn contains(&self, key: &Self) -> bool {
        key.0.len() > self.0.len() && key.0.starts_with(&self.0)
    }

    /// The path as problems state it.
    fn place(&self) -> String {
        self.to_string().replace("[]", "[0]")
    }

    /// A valid configuration with this value.
    pub(crate) fn with(&self, value: &Value) -> Value {
        build(&Self::root(), &self.0, Some(value))
    }

    /// The same configuration without the value.
    pub(crate) fn absent(&self) -> Value {
        build(&Self::root(), &self.0, None)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = "";
        for step in &self.0 {
            match step {
                Step::Name(name) => write!(formatter, "{dot}{name}")?,
                Step::Items => write!(formatter, "[]")?,
            }
            dot = ".";
        }
        Ok(())
    }
}

fn build(at: &Key, way: &[Step], value: Option<&Value>) -> Value {
    match way.split_first() {
        None => value.cloned().unwrap_or_default(),
        Some((Step::Items, rest)) => json!([build(&at.items(), rest, value)]),
        Some((Step::Name(name), rest)) => {
            let mut object = companions(at, name);
            if !rest.is_empty() || value.is_some() {
                let inside = build(&at.child(name), rest, value);
                object.insert(name.clone(), inside);
            } else {
                object.remove(name);
            }
            Value::Object(object.into_iter().collect())
        }
    }
}

/// The other keys that make the configuration valid.
fn companions(at: &Key, name: &str) -> BTreeMap<String, Value> {
    let place = at.to_string();
    let beside = match place.strip_prefix(CAPTURE).unwrap_or(&place) {
        "" if place.is_empty() && name == "buffer" => {
            json!({"collector": {"cluster": "c"}, "batch": {"max_bytes": "16KiB"}})
        }
        "" if place.is_empty() => json!({"collector": {"cluster": "c"}}),
        "collector" => json!({"cluster": "c"}),
        "routes[]" => json!({"match": {}, "capture": {}}),
        "routes[].match.headers[]" if name == "name" => json!({"present": true}),
        "routes[].match.headers[]" => json!({"name": "a"}),
        ".redact" => json!({"json": ["$.a"]}),
        ".redact.patterns[]" => json!({"name": "a", "regex": "a"}),
        _ => json!({}),
    };
    serde_json::from_value(beside).unwrap()
}

/// All keys but those in `capture`, which are the same as in `defaults`.
pub(crate) fn known() -> Vec<Key> {
    let capture = Key::parse("routes[].capture");
    let all = discover(&Key::root(), &check_config);
    all.into_iter().filter(|it| !capture.contains(it)).collect()
}

/// The keys in a rule's `capture`.
pub(crate) fn known_to_rules() -> Vec<Key> {
    discover(&Key::parse("routes[].capture"), &check_config)
}

/// The keys in a route's metadata, with the prefix of `defaults`.
pub(crate) fn known_to_routes() -> Vec<Key> {
    let capture = Key::parse(CAPTURE);
    discover(&capture, &|value| {
        check_route_keys(&value[CAPTURE], CAPTURE)
            .err()
            .unwrap_or_default()
    })
}

/// Keys without keys inside.
pub(crate) fn leaves(known: &BTreeSet<Key>) -> impl Iterator<Item = &Key> {
    let inner = |key: &Key| known.iter().any(|other| key.contains(other));
    known.iter().filter(move |key| !inner(key))
}

fn check_config(value: &Value) -> Problems {
    Config::from_value(value, "").err().unwrap_or_default()
}

/// The keys inside a key, at any depth.
fn discover(inside: &Key, check: &dyn Fn(&Value) -> Problems) -> Vec<Key> {
    let mut found = Vec::new();
    for object in [inside.clone(), inside.items(), inside.child(ANY_NAME)] {
        let Some(names) = names_in(&object, check) else {
            continue;
        };
        if object.name() == ANY_NAME {
            found.push(object.clone());
        }
        for name in names {
            let key = object.child(&name);
            found.extend(discover(&key, check));
            found.push(key);
        }
        break;
    }
    found
}

/// The names that an object may have; none if the key is no object.
fn names_in(object: &Key, check: &dyn Fn(&Value) -> Problems) -> Option<Vec<String>> {
    let unknown = object.child(UNKNOWN);
    let problems = check(&unknown.with(&json!(1)));
    let begin = format!("{}: unknown key, ", unknown.place());
    let listed = problems
        .lines()
        .find_map(|line| line.strip_prefix(&begin))?;
    let names = listed.strip_prefix("expected one of ").unwrap();
    Some(names.split(", ").map(str::to_owned).collect())
}

//! Reads a JSON value key by key and collects all problems, so that a configuration can be corrected at
//! once. A problem names the key's path, what was expected and what was found.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::units;

/// All problems of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    pub(super) fn single(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// Whether the configuration is valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One line for each problem: `path.to.key: expected this, got that`.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct ProblemCollector(RefCell<Problems>);

impl ProblemCollector {
    pub(super) fn add(&self, path: &KeyPath<'_>, what: impl fmt::Display) {
        self.0.borrow_mut().0.push(format!("{path}: {what}"));
    }

    pub(super) fn into_problems(self) -> Problems {
        self.0.into_inner()
    }
}

/// The path of a value, formatted only for problems.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyPath<'p> {
    Root(&'p str),
    Key(&'p KeyPath<'p>, &'p str),
    Index(&'p KeyPath<'p>, usize),
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => formatter.write_str(name),
            Self::Key(Self::Root(""), key) => formatter.write_str(key),
            Self::Key(parent, key) => write!(formatter, "{parent}.{key}"),
            Self::Index(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// A value, its path, and where to report its problems.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigNode<'v> {
    pub(super) value: &'v Value,
    pub(super) path: KeyPath<'v>,
    pub(super) problems: &'v ProblemCollector,
}

impl<'v> ConfigNode<'v> {
    /// Reports a problem with this value and shows the value.
    pub(super) fn report_expected(&self, expectation: impl fmt::Display) {
        self.problems.add(
            &self.path,
            format_args!("expected {expectation}, got {}", describe(self.value)),
        );
    }

    /// Reports a problem with this value without showing the value, which may be a secret.
    pub(super) fn report_expected_secret(&self, expectation: impl fmt::Display) {
        let kind = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(text) if text.is_empty() => "an empty string",
            Value::String(_) => "another string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.problems.add(
            &self.path,
            format_args!("expected {expectation}, got {kind}"),
        );
    }

    /// Reports a problem with a key inside this value.
    pub(super) fn report_at(&self, key: &str, what: &str) {
        self.problems.add(&KeyPath::Key(&self.path, key), what);
    }

    pub(super) fn as_object(&self, what: &str) -> Option<ObjectReader<'v>> {
        if let Value::Object(map) = self.value {
            return Some(ObjectReader {
                map,
                path: self.path,
                problems: self.problems,
                expected_keys: RefCell::default(),
            });
        }
        self.report_expected(format_args!("an object with {what}"));
        None
    }

    pub(super) fn as_list(&self, max: usize, what: &str) -> Option<&'v [Value]> {
        match self.value {
            Value::Array(items) if items.len() <= max => Some(items),
            Value::Array(items) => {
                let count = items.len();
                self.problems.add(
                    &self.path,
                    format_args!("expected a list of at most {max} {what}, got {count}"),
                );
                None
            }
            _ => {
                self.report_expected(format_args!("a list of {what}"));
                None
            }
        }
    }

    /// Reads each item of a list; none if any of them is invalid.
    pub(super) fn read_each<T>(
        &self,
        max: usize,
        what: &str,
        read: impl Fn(&ConfigNode<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = self.as_list(max, what)?;
        let read = |(index, value)| {
            read(&ConfigNode {
                value,
                path: KeyPath::Index(&self.path, index),
                problems: self.problems,
            })
        };
        // All items are read before the result is decided, so that every problem is reported.
        let items: Vec<_> = list.iter().enumerate().map(read).collect();
        items.into_iter().collect()
    }

    /// A string that `accept` accepts.
    pub(super) fn as_text(
        &self,
        expectation: &str,
        accept: impl Fn(&str) -> bool,
    ) -> Option<&'v str> {
        match self.value {
            Value::String(text) if accept(text) => Some(text),
            _ => {
                self.report_expected(expectation);
                None
            }
        }
    }

    /// Also accepts 30.0, which Envoy may write for a `Struct`'s 30.
    pub(super) fn as_integer(&self, bounds: RangeInclusive<u64>, what: &str) -> Option<u64> {
        let number = to_integer(self.value).filter(|number| bounds.contains(number));
        if number.is_none() {
            self.report_expected(format_args!(
                "a whole number{what} from {} to {}",
                bounds.start(),
                bounds.end()
            ));
        }
        number
    }

    /// A number from 0 to 1. Envoy converts fractions in YAML to strings, so these are accepted too.
    pub(super) fn as_ratio(&self) -> Option<f64> {
        let read = |text: &String| serde_json::from_str::<Value>(text).ok();
        let number = match self.value {
            Value::String(text) => read(text).unwrap_or_default().as_f64(),
            value => value.as_f64(),
        };
        let share = number.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.report_expected("a number from 0 to 1");
        }
        share
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.report_expected("true or false");
        }
        flag
    }

    /// A string with a unit.
    pub(super) fn as_duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = match self.value {
            Value::String(text) => units::parse_duration(text),
            _ => None,
        };
        let duration = duration.filter(|duration| bounds.contains(duration));
        if duration.is_none() {
            self.report_expected(format_args!(
                "a duration with its unit, such as \"500ms\" or \"5s\", from {} to {}",
                units::format_duration(*bounds.start()),
                units::format_duration(*bounds.end()),
            ));
        }
        duration
    }

    /// A number of bytes, or a string with a unit.
    pub(super) fn as_size(&self, bounds: RangeInclusive<usize>) -> Option<usize> {
        let size = match self.value {
            Value::String(text) => units::parse_size(text),
            other => to_integer(other),
        };
        let size = size
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| bounds.contains(size));
        if size.is_none() {
            self.report_expected(format_args!(
                "a size, such as \"64KiB\" or 65536, from {} to {}",
                units::format_size(*bounds.start() as u64),
                units::format_size(*bounds.end() as u64),
            ));
        }
        size
    }

    /// One of a few strings.
    pub(super) fn as_choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let chosen = match self.value {
            Value::String(text) => choices.iter().find(|(name, _)| name == text),
            _ => None,
        };
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.report_expected(format_args!("one of {}", names.join(", ")));
        }
        chosen.map(|(_, value)| *value)
    }
}

/// Reads an object key by key. [`Self::reject_unknown`] rejects keys that were never requested.
#[derive(Debug)]
pub(super) struct ObjectReader<'v> {
    map: &'v Map<String, Value>,
    path: KeyPath<'v>,
    problems: &'v ProblemCollector,
    expected_keys: RefCell<Vec<&'static str>>,
}

impl<'v> ObjectReader<'v> {
    pub(super) fn get<'o>(&'o self, key: &'static str) -> Option<ConfigNode<'o>>
    where
        'v: 'o,
    {
        self.expected_keys.borrow_mut().push(key);
        let value = self.map.get(key)?;
        Some(ConfigNode {
            value,
            path: KeyPath::Key(&self.path, key),
            problems: self.problems,
        })
    }

    /// Reports an absent key.
    pub(super) fn require<'o>(&'o self, key: &'static str, what: &str) -> Option<ConfigNode<'o>>
    where
        'v: 'o,
    {
        let node = self.get(key);
        if node.is_none() {
            self.problems.add(
                &KeyPath::Key(&self.path, key),
                format_args!("expected {what}, got nothing"),
            );
        }
        node
    }

    /// Exactly one of several keys; none, or more than one, is reported.
    pub(super) fn get_one_of<'o>(
        &'o self,
        keys: &[&'static str],
    ) -> Option<(&'static str, ConfigNode<'o>)>
    where
        'v: 'o,
    {
        let mut found: Vec<_> = keys
            .iter()
            .filter_map(|key| Some((*key, self.get(key)?)))
            .collect();
        if found.len() != 1 {
            let keys = keys.join(", ");
            let count = found.len();
            let got = if count == 0 {
                "none of them".to_owned()
            } else {
                format!("{count} of them")
            };
            self.problems.add(
                &self.path,
                format_args!("expected exactly one of {keys}, got {got}"),
            );
            return None;
        }
        found.pop()
    }

    /// Reports the keys that were never requested.
    pub(super) fn reject_unknown(self) {
        let known = self.expected_keys.into_inner();
        for key in self.map.keys().filter(|key| !known.contains(&key.as_str())) {
            let path = KeyPath::Key(&self.path, &truncate(key));
            match suggest_key(key, &known) {
                Some(near) => {
                    self.problems
                        .add(&path, format_args!("unknown key, did you mean {near}?"));
                }
                None => {
                    self.problems.add(
                        &path,
                        format_args!("unknown key, expected one of {}", known.join(", ")),
                    );
                }
            }
        }
    }
}

/// An integer in any notation: 30 or 30.0.
pub(super) fn to_integer(value: &Value) -> Option<u64> {
    /// Up to here every integer has its own double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let double = value.as_f64()?;
        let whole = (0.0..=EXACT).contains(&double) && double.fract() == 0.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the line above keeps only whole numbers in range"
        )]
        whole.then_some(double as u64)
    })
}

const MAX_SHOWN_CHARACTERS: usize = 60;

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        other => truncate(&other.to_string()),
    }
}

fn truncate(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The known key that a misspelt one probably means.
fn suggest_key(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let allowed = (key.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|candidate| (edit_distance(key, candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance, reading no more characters than a key can have.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(MAX_SHOWN_CHARACTERS).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = substituted.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn suggests_nearest_known_key() {
        let known = ["ttl_days", "storage_type", "compress"];
        assert_eq!(suggest_key("ttl_day", &known), Some("ttl_days"));
        assert_eq!(suggest_key("storagetype", &known), Some("storage_type"));
        assert_eq!(suggest_key("sample", &known), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn integers_may_be_written_as_doubles() {
        assert_eq!(to_integer(&serde_json::json!(30.0)), Some(30));
        assert_eq!(to_integer(&serde_json::json!(30)), Some(30));
        for wrong in [
            serde_json::json!(30.5),
            serde_json::json!(-1),
            serde_json::json!(1e300),
        ] {
            assert_eq!(to_integer(&wrong), None);
        }
    }
}

//! Reads a JSON value key by key and collects every fault, so that a configuration can be corrected
//! in one go. A fault names the key's path, what was expected and what was found.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::units;

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    pub(super) fn one(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One line for each fault: `path.to.key: expected this, got that`.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// Where faults are collected while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Collected(RefCell<Problems>);

impl Collected {
    pub(super) fn add(&self, path: &Path<'_>, what: impl fmt::Display) {
        self.0.borrow_mut().0.push(format!("{path}: {what}"));
    }

    pub(super) fn into_problems(self) -> Problems {
        self.0.into_inner()
    }
}

/// The way from the root of the configuration to a value, written out only when a fault is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'p> {
    Root(&'p str),
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => formatter.write_str(name),
            Self::Key(Self::Root(""), key) => formatter.write_str(key),
            Self::Key(parent, key) => write!(formatter, "{parent}.{key}"),
            Self::Index(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// A value and the way to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'v> {
    pub(super) value: &'v Value,
    pub(super) path: Path<'v>,
    pub(super) problems: &'v Collected,
}

impl<'v> Node<'v> {
    /// Tells a fault of this value, with the value.
    pub(super) fn expected(&self, expectation: impl fmt::Display) {
        self.problems.add(
            &self.path,
            format_args!("expected {expectation}, got {}", show(self.value)),
        );
    }

    /// Tells a fault of this value without showing the value, which may be a secret.
    pub(super) fn expected_secret(&self, expectation: impl fmt::Display) {
        let kind = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(text) if text.is_empty() => "an empty text",
            Value::String(_) => "another text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.problems.add(
            &self.path,
            format_args!("expected {expectation}, got {kind}"),
        );
    }

    /// Tells a fault of something inside this value; `key` is the way to it.
    pub(super) fn fault(&self, key: &str, what: &str) {
        self.problems.add(&Path::Key(&self.path, key), what);
    }

    /// An object, whose keys are then taken one by one.
    pub(super) fn object(&self, what: &str) -> Option<Object<'v>> {
        if let Value::Object(map) = self.value {
            return Some(Object {
                map,
                path: self.path,
                problems: self.problems,
                known: RefCell::default(),
            });
        }
        self.expected(format_args!("an object with {what}"));
        None
    }

    /// A list with at most so many items.
    pub(super) fn list(&self, most: usize, what: &str) -> Option<&'v [Value]> {
        match self.value {
            Value::Array(items) if items.len() <= most => Some(items),
            Value::Array(items) => {
                let count = items.len();
                self.problems.add(
                    &self.path,
                    format_args!("expected a list of at most {most} {what}, got {count}"),
                );
                None
            }
            _ => {
                self.expected(format_args!("a list of {what}"));
                None
            }
        }
    }

    /// A list whose items are read one by one; none if any of them is wrong.
    pub(super) fn each<T>(
        &self,
        most: usize,
        what: &str,
        read: impl Fn(&Node<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = self.list(most, what)?;
        let read = |(index, value)| {
            read(&Node {
                value,
                path: Path::Index(&self.path, index),
                problems: self.problems,
            })
        };
        // All are read before any is judged, so that every fault is told.
        let items: Vec<_> = list.iter().enumerate().map(read).collect();
        items.into_iter().collect()
    }

    /// A text that passes the check.
    pub(super) fn text(&self, expectation: &str, accept: impl Fn(&str) -> bool) -> Option<&'v str> {
        match self.value {
            Value::String(text) if accept(text) => Some(text),
            _ => {
                self.expected(expectation);
                None
            }
        }
    }

    /// A whole number. Envoy may write a `Struct`'s 30 as 30.0, so both are taken.
    pub(super) fn whole(&self, bounds: RangeInclusive<u64>, what: &str) -> Option<u64> {
        let number = whole_number(self.value).filter(|number| bounds.contains(number));
        if number.is_none() {
            self.expected(format_args!(
                "a whole number{what} from {} to {}",
                bounds.start(),
                bounds.end()
            ));
        }
        number
    }

    /// A share of the whole. Envoy makes texts of the fractions that it reads from YAML.
    pub(super) fn share(&self) -> Option<f64> {
        let read = |text: &String| serde_json::from_str::<Value>(text).ok();
        let number = match self.value {
            Value::String(text) => read(text).unwrap_or_default().as_f64(),
            value => value.as_f64(),
        };
        let share = number.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.expected("a number from 0 to 1");
        }
        share
    }

    /// True or false.
    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.expected("true or false");
        }
        flag
    }

    /// A duration with its unit.
    pub(super) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = match self.value {
            Value::String(text) => units::duration(text),
            _ => None,
        };
        let duration = duration.filter(|duration| bounds.contains(duration));
        if duration.is_none() {
            self.expected(format_args!(
                "a duration with its unit, such as \"500ms\" or \"5s\", from {} to {}",
                units::show_duration(*bounds.start()),
                units::show_duration(*bounds.end()),
            ));
        }
        duration
    }

    /// A size in bytes, with or without a unit.
    pub(super) fn size(&self, bounds: RangeInclusive<usize>) -> Option<usize> {
        let size = match self.value {
            Value::String(text) => units::size(text),
            other => whole_number(other),
        };
        let size = size
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| bounds.contains(size));
        if size.is_none() {
            self.expected(format_args!(
                "a size, such as \"64KiB\" or 65536, from {} to {}",
                units::show_size(*bounds.start() as u64),
                units::show_size(*bounds.end() as u64),
            ));
        }
        size
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let chosen = match self.value {
            Value::String(text) => choices.iter().find(|(name, _)| name == text),
            _ => None,
        };
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.expected(format_args!("one of {}", names.join(", ")));
        }
        chosen.map(|(_, value)| *value)
    }
}

/// An object being read. Every key that is asked for is known; the others are faults.
#[derive(Debug)]
pub(super) struct Object<'v> {
    map: &'v Map<String, Value>,
    path: Path<'v>,
    problems: &'v Collected,
    known: RefCell<Vec<&'static str>>,
}

impl<'v> Object<'v> {
    /// The value of a key, if it is there.
    pub(super) fn get<'o>(&'o self, key: &'static str) -> Option<Node<'o>>
    where
        'v: 'o,
    {
        self.known.borrow_mut().push(key);
        let value = self.map.get(key)?;
        Some(Node {
            value,
            path: Path::Key(&self.path, key),
            problems: self.problems,
        })
    }

    /// The value of a key that must be there.
    pub(super) fn require<'o>(&'o self, key: &'static str, what: &str) -> Option<Node<'o>>
    where
        'v: 'o,
    {
        let node = self.get(key);
        if node.is_none() {
            self.problems.add(
                &Path::Key(&self.path, key),
                format_args!("expected {what}, got nothing"),
            );
        }
        node
    }

    /// The one of these keys that is there; it is a fault if there is none, or several.
    pub(super) fn one_of<'o>(&'o self, keys: &[&'static str]) -> Option<(&'static str, Node<'o>)>
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

    /// Refuses the keys that were not asked for.
    pub(super) fn refuse_unknown(self) {
        let known = self.known.into_inner();
        for key in self.map.keys().filter(|key| !known.contains(&key.as_str())) {
            let path = Path::Key(&self.path, &shorten(key));
            match nearest(key, &known) {
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

/// A whole number however it is written: 30 or 30.0.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    /// Up to here every whole number has its own double.
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

const SHOWN_CHARACTERS: usize = 60;

fn show(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        other => shorten(&other.to_string()),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The known key that a misspelt one probably means.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let allowed = (key.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|candidate| (distance(key, candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, bounded by reading only as many characters as a key can have.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(SHOWN_CHARACTERS).enumerate() {
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
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        let known = ["ttl_days", "storage_type", "compress"];
        assert_eq!(nearest("ttl_day", &known), Some("ttl_days"));
        assert_eq!(nearest("storagetype", &known), Some("storage_type"));
        assert_eq!(nearest("sample", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn whole_numbers_may_be_written_as_doubles() {
        assert_eq!(whole_number(&serde_json::json!(30.0)), Some(30));
        assert_eq!(whole_number(&serde_json::json!(30)), Some(30));
        for wrong in [
            serde_json::json!(30.5),
            serde_json::json!(-1),
            serde_json::json!(1e300),
        ] {
            assert_eq!(whole_number(&wrong), None);
        }
    }
}

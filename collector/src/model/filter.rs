//! Filters on an entry's metadata. They are evaluated by Postgres, not here.

use serde_json::{Number, Value};
use strum::IntoStaticStr;

/// Conditions on one value of the metadata, all of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataFilter {
    /// Where the value is.
    pub path: MetadataPath,
    /// The conditions.
    pub tests: Vec<MetadataTest>,
    /// As the caller wrote it, to quote it in answers.
    pub asked: Value,
}

/// Where a value is: a key, or, if there is no such key, a path of keys separated by dots. A backslash before a dot or a
/// backslash takes it into the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataPath(String);

/// Why a text is not a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a name of 1 to {} bytes without NUL, with at most {} dots",
    MetadataPath::MAX_BYTES,
    MetadataPath::MAX_KEYS - 1
)]
pub struct InvalidPath;

impl MetadataPath {
    /// Longest path, in bytes.
    pub const MAX_BYTES: usize = 256;
    /// Deepest path, in keys.
    pub const MAX_KEYS: usize = 16;
    /// Answers show the session as part of the metadata, so filters accept it there.
    const SESSION: &str = "session_id";

    /// # Errors
    /// [`InvalidPath`] if it is empty, too long or too deep, or holds a NUL, which Postgres cannot store.
    pub fn new(text: &str) -> Result<Self, InvalidPath> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if !fits || text.contains('\0') || split_keys(text).len() > Self::MAX_KEYS {
            return Err(InvalidPath);
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The keys of a path; `None` if there is only one, as it is written.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<String>> {
        let keys = split_keys(&self.0);
        (keys.len() > 1 || keys.first() != Some(&self.0)).then_some(keys)
    }

    /// Whether it is the path of the entry's session.
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.0 == Self::SESSION
    }
}

fn split_keys(path: &str) -> Vec<String> {
    let (mut keys, mut key) = (Vec::new(), String::new());
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(&escaped @ ('.' | '\\'))) => {
                key.push(escaped);
                characters.next();
            }
            ('.', _) => keys.push(std::mem::take(&mut key)),
            _ => key.push(character),
        }
    }
    keys.push(key);
    keys
}

/// One condition on a value. A value of another type does not match, and a missing one matches only
/// `Exists(false)`.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataTest {
    /// It equals this value, type included.
    Equals(Scalar),
    /// It equals one of these.
    In(Vec<Scalar>),
    /// It exists, or it does not. A null exists.
    Exists(bool),
    /// It is less or greater than a bound.
    Compare(Comparison, Bound),
    /// It is a string with a match of this regular expression of Postgres.
    Matches(String),
    /// It is a string with this substring, a list with this element, or an object with these members.
    Contains(Value),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
pub enum Comparison {
    /// `>`
    #[strum(serialize = ">")]
    Greater,
    /// `>=`
    #[strum(serialize = ">=")]
    GreaterOrEqual,
    /// `<`
    #[strum(serialize = "<")]
    Less,
    /// `<=`
    #[strum(serialize = "<=")]
    LessOrEqual,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// For numbers.
    Number(Number),
    /// For strings, compared by code points.
    Text(String),
}

/// A JSON value other than a list or an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar(Value);

impl Scalar {
    /// `None` for a list or an object.
    #[must_use]
    pub fn new(value: Value) -> Option<Self> {
        (!value.is_array() && !value.is_object()).then_some(Self(value))
    }

    /// The scalar as JSON.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rejects_path_over_limits() {
        assert!(MetadataPath::new(&"a".repeat(MetadataPath::MAX_BYTES)).is_ok());
        assert!(
            MetadataPath::new(&[&"a"; MetadataPath::MAX_KEYS].map(|key| *key).join(".")).is_ok()
        );
        for text in [
            "",
            "a\0b",
            &"a".repeat(MetadataPath::MAX_BYTES + 1),
            &"a.".repeat(MetadataPath::MAX_KEYS),
        ] {
            assert_eq!(MetadataPath::new(text), Err(InvalidPath), "{text:?}");
        }
    }

    #[test]
    fn dots_separate_keys() {
        assert_eq!(MetadataPath::new("model").unwrap().keys(), None);
        let keys = MetadataPath::new("usage.tokens").unwrap().keys();
        assert_eq!(keys.unwrap(), ["usage", "tokens"]);
        for (path, expected) in [
            (r"a.c\.d", vec!["a", "c.d"]),
            (r"a\.b", vec!["a.b"]),
            (r"a\\.b", vec![r"a\", "b"]),
            (r"a\b.c", vec![r"a\b", "c"]),
            ("a.", vec!["a", ""]),
        ] {
            let keys = MetadataPath::new(path).unwrap().keys();
            assert_eq!(keys.unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn scalar_rejects_lists_and_objects() {
        for value in [json!(null), json!(true), json!(1), json!("1")] {
            assert_eq!(Scalar::new(value.clone()).unwrap().value(), &value);
        }
        assert_eq!(Scalar::new(json!([])), None);
        assert_eq!(Scalar::new(json!({})), None);
    }
}

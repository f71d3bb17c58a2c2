//! What may be asked of an entry's metadata. Postgres answers; nothing is filtered here.

use serde_json::{Number, Value};

/// Questions about one value of the metadata, all of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataFilter {
    /// Where the value stands.
    pub path: MetadataPath,
    /// What must hold.
    pub tests: Vec<MetadataTest>,
    /// As it was asked, to tell the caller about it.
    pub asked: Value,
}

/// The place of a value: a key as it is, or else a path of keys with dots between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataPath(String);

/// Why a text names no place in the metadata.
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
    /// The session is shown among the metadata, so it is found there too.
    const SESSION: &str = "session_id";

    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidPath`] if it is empty, too long or too deep, or holds a NUL, which Postgres cannot store.
    pub fn new(text: &str) -> Result<Self, InvalidPath> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if !fits || text.contains('\0') || text.split('.').count() > Self::MAX_KEYS {
            return Err(InvalidPath);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The keys that lead to the value, if there is more than one.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<String>> {
        let keys: Vec<_> = self.0.split('.').map(str::to_owned).collect();
        (keys.len() > 1).then_some(keys)
    }

    /// It names the entry's session.
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.0 == Self::SESSION
    }
}

/// One question about a value. A value of another type than the question is about does not match, and
/// one that is missing matches nothing but `Exists(false)`.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataTest {
    /// It is this, of the same type.
    Equals(Scalar),
    /// It is one of these.
    In(Vec<Scalar>),
    /// It is there, or it is not. A null is there.
    Exists(bool),
    /// It lies on this side of a bound.
    Compare(Comparison, Bound),
    /// It is a text in which this regular expression of Postgres matches somewhere.
    Matches(String),
    /// It is a text with this part, a list with this element, or an object with these members.
    Contains(Value),
}

/// A side of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Comparison {
    /// The operator, the same in JSON paths and in SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

/// What values are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// Numbers, by size.
    Number(Number),
    /// Texts, by code points.
    Text(String),
}

/// A JSON value that is no list and no object.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar(Value);

impl Scalar {
    /// The value, unless it is a list or an object.
    #[must_use]
    pub fn new(value: Value) -> Option<Self> {
        (!value.is_array() && !value.is_object()).then_some(Self(value))
    }

    /// The value.
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
    fn a_path_has_bounds() {
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
    fn dots_part_keys() {
        assert_eq!(MetadataPath::new("model").unwrap().keys(), None);
        let keys = MetadataPath::new("usage.tokens").unwrap().keys();
        assert_eq!(keys.unwrap(), ["usage", "tokens"]);
    }

    #[test]
    fn lists_and_objects_are_no_scalars() {
        for value in [json!(null), json!(true), json!(1), json!("1")] {
            assert_eq!(Scalar::new(value.clone()).unwrap().value(), &value);
        }
        assert_eq!(Scalar::new(json!([])), None);
        assert_eq!(Scalar::new(json!({})), None);
    }
}

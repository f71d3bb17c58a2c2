//! Compiled redaction rules.

use std::rc::Rc;

use super::pattern::Pattern;
use crate::json::{JsonPath, Paths};

/// The rules of one plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Redaction {
    pub(crate) paths: Rc<PathRules>,
    /// In lower case.
    pub(crate) headers: Rc<NameRules>,
    pub(crate) query: Rc<NameRules>,
    pub(crate) patterns: Rc<[Pattern]>,
    pub(crate) replacement: Replacement,
    pub(crate) unreadable: UnreadablePolicy,
}

/// What replaces a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// A text that needs no escapes anywhere.
    Text(Rc<str>),
    /// A keyed hash of the value.
    Hash,
}

/// What happens to a body that cannot be searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum UnreadablePolicy {
    /// It is dropped.
    #[default]
    DropBody,
    /// It is recorded unchanged.
    Keep,
}

/// JSON paths with their rule names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PathRules {
    pub(super) paths: Paths,
    pub(super) rules: Vec<Rc<str>>,
}

/// Names in lower case with their rule names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NameRules(Vec<(Box<str>, Rc<str>)>);

impl Redaction {
    /// Whether a [`crate::redact::HashKey`] is needed.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        self.replacement == Replacement::Hash
    }
}

impl PathRules {
    pub(crate) fn new(paths: Vec<JsonPath>) -> Self {
        let rules = paths.iter().map(|path| path.as_str().into()).collect();
        Self {
            paths: Paths::new(paths),
            rules,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl NameRules {
    /// `kind` is the prefix of the rule names: `header`, `query`.
    pub(crate) fn new<'n>(kind: &str, names: impl Iterator<Item = &'n str>) -> Self {
        let rule = |name: &str| {
            let name = name.to_ascii_lowercase();
            let rule = format!("{kind}:{name}").into();
            (name.into(), rule)
        };
        Self(names.map(rule).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rule(&self, name: &[u8]) -> Option<&Rc<str>> {
        self.0
            .iter()
            .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|(_, rule)| rule)
    }
}

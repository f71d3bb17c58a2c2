//! Takes secrets out of what is recorded: values at JSON paths, headers and query parameters by name,
//! and whatever looks like a secret, by pattern. Compiled once, at configuration.
//!
//! Only the spans that are replaced change. Work is linear in the bytes, times the number of patterns,
//! times the layers of escapes.

mod body;
mod coding;
mod counts;
mod edit;
mod events;
mod form;
mod grpc;
mod hash;
mod json;
mod media;
mod pattern;
mod search;

use std::borrow::Cow;
use std::rc::Rc;

pub(crate) use body::plain;
pub use body::{Body, Searched};
pub use counts::Counts;
pub use hash::{HashKey, KeyTooShort, MIN_KEY_BYTES};
pub use pattern::RegexError;
pub(crate) use pattern::{MAX_REGEX_BYTES, Own, Pattern};

use crate::json::{JsonPath, Paths};
use coding::Coding;
use edit::Edit;
use search::Search;

/// How much longer replacements may make a header, a path or a query.
const GROWTH_BYTES: usize = 8 << 10;

/// A text that is to be redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'t> {
    text: &'t str,
    cut: bool,
}

/// What is redacted, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Redaction {
    pub(crate) paths: Rc<PathRules>,
    /// In lower case.
    pub(crate) headers: Rc<NameRules>,
    pub(crate) query: Rc<NameRules>,
    pub(crate) patterns: Rc<[Pattern]>,
    pub(crate) with: With,
    pub(crate) unreadable: Unreadable,
}

/// What stands in the place of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum With {
    /// This text, which needs no escape anywhere.
    Text(Rc<str>),
    /// A keyed hash of the value.
    Hash,
}

/// What becomes of a body that cannot be searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not recorded.
    #[default]
    DropBody,
    /// It is recorded as it is.
    Keep,
}

/// JSON paths and the names of their rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PathRules {
    paths: Paths,
    rules: Vec<Rc<str>>,
}

/// Names, in lower case, and the names of their rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NameRules(Vec<(Box<str>, Rc<str>)>);

impl<'t> Text<'t> {
    /// The beginning of a longer text. What may be the beginning of a secret at its end is left out.
    #[must_use]
    pub const fn cut(text: &'t str) -> Self {
        Self { text, cut: true }
    }
}

impl<'t> From<&'t str> for Text<'t> {
    fn from(text: &'t str) -> Self {
        Self { text, cut: false }
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
    /// Rules of a kind: `header`, `query`.
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

    fn rule(&self, name: &[u8]) -> Option<&Rc<str>> {
        self.0
            .iter()
            .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|(_, rule)| rule)
    }
}

impl Redaction {
    /// Whether a [`HashKey`] is needed.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        self.with == With::Hash
    }

    /// Redacts a query, without its question mark: the values of configured names, and patterns.
    #[must_use]
    pub fn query<'t>(
        &self,
        query: impl Into<Text<'t>>,
        key: Option<&HashKey>,
        counts: &mut Counts,
    ) -> Cow<'t, str> {
        self.apply(query.into(), key, counts, |search| {
            search.pairs();
        })
    }

    /// Redacts a header's value: the whole of it if the header is configured, else patterns.
    #[must_use]
    pub fn header<'t>(
        &self,
        name: &str,
        value: impl Into<Text<'t>>,
        key: Option<&HashKey>,
        counts: &mut Counts,
    ) -> Cow<'t, str> {
        let value = value.into();
        let Some(rule) = self.headers.rule(name.as_bytes()) else {
            return self.text(value, key, counts);
        };
        self.apply(value, key, counts, |search| {
            search.value(0..value.text.len(), value.text.as_bytes(), rule);
        })
    }

    /// Redacts a text by patterns, also if it is percent-encoded as paths are.
    #[must_use]
    pub fn text<'t>(
        &self,
        text: impl Into<Text<'t>>,
        key: Option<&HashKey>,
        counts: &mut Counts,
    ) -> Cow<'t, str> {
        let text = text.into();
        self.apply(text, key, counts, |search| {
            search.text(0..text.text.len(), Coding::Percent);
        })
    }

    fn apply<'t>(
        &self,
        Text { text, cut }: Text<'t>,
        key: Option<&HashKey>,
        counts: &mut Counts,
        run: impl FnOnce(&mut Search<'_, 't>),
    ) -> Cow<'t, str> {
        let most = text.len().saturating_add(GROWTH_BYTES);
        let mut search = Search::new(self, key, counts, Edit::new(text.as_bytes(), most));
        search.open_end = cut;
        run(&mut search);
        match search.edit.finish() {
            None => Cow::Borrowed(text),
            // Spans end at characters, so nothing is lost.
            Some(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            ),
        }
    }
}

#[cfg(test)]
mod tests;

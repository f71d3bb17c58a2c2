//! Redacts single texts: queries, header values and paths.

use std::borrow::Cow;

use super::counts::RedactionCounts;
use super::escaping::Escaping;
use super::hash::HashKey;
use super::rules::Redaction;
use super::search::Search;
use super::span_editor::SpanEditor;

/// Limits how much replacements may lengthen a header, a path or a query.
const GROWTH_BYTES: usize = 8 << 10;

/// A text to redact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawText<'t> {
    text: &'t str,
    truncated: bool,
}

impl<'t> RawText<'t> {
    /// The beginning of a longer text: what may be the beginning of a secret at its end is removed.
    #[must_use]
    pub const fn truncated(text: &'t str) -> Self {
        Self {
            text,
            truncated: true,
        }
    }
}

impl<'t> From<&'t str> for RawText<'t> {
    fn from(text: &'t str) -> Self {
        Self {
            text,
            truncated: false,
        }
    }
}

impl Redaction {
    /// Redacts a query without its question mark: values of configured names, and patterns.
    #[must_use]
    pub fn redact_query<'t>(
        &self,
        query: impl Into<RawText<'t>>,
        key: Option<&HashKey>,
        counts: &mut RedactionCounts,
    ) -> Cow<'t, str> {
        self.apply(query.into(), key, counts, |search| {
            search.redact_pairs();
        })
    }

    /// Redacts a header's value: as a whole if the header is configured, otherwise patterns.
    #[must_use]
    pub fn redact_header<'t>(
        &self,
        name: &str,
        value: impl Into<RawText<'t>>,
        key: Option<&HashKey>,
        counts: &mut RedactionCounts,
    ) -> Cow<'t, str> {
        let value = value.into();
        let Some(rule) = self.headers.rule(name.as_bytes()) else {
            return self.redact_text(value, key, counts);
        };
        self.apply(value, key, counts, |search| {
            search.replace_value(0..value.text.len(), value.text.as_bytes(), rule);
        })
    }

    /// Redacts patterns in a text, also if it is percent-encoded like a path.
    #[must_use]
    pub fn redact_text<'t>(
        &self,
        text: impl Into<RawText<'t>>,
        key: Option<&HashKey>,
        counts: &mut RedactionCounts,
    ) -> Cow<'t, str> {
        let text = text.into();
        self.apply(text, key, counts, |search| {
            search.redact_text(0..text.text.len(), Escaping::Percent);
        })
    }

    fn apply<'t>(
        &self,
        RawText { text, truncated }: RawText<'t>,
        key: Option<&HashKey>,
        counts: &mut RedactionCounts,
        run: impl FnOnce(&mut Search<'_, 't>),
    ) -> Cow<'t, str> {
        let most = text.len().saturating_add(GROWTH_BYTES);
        let mut search = Search::new(self, key, counts, SpanEditor::new(text.as_bytes(), most));
        search.truncated = truncated;
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

//! The plan's redaction with the key it hashes with; a plan without one leaves everything as it is.

use crate::redact::{Body, Counts, HashKey, Redaction, Searched};

/// Redacts texts and bodies, and counts what was replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redactor<'a> {
    pub(super) redaction: Option<&'a Redaction>,
    pub(super) key: Option<&'a HashKey>,
}

impl Redactor<'_> {
    /// A path, or a part of one.
    pub(super) fn text(self, text: String, counts: &mut Counts) -> String {
        let redact = |it: &Redaction| it.text(&text, self.key, counts).into_owned();
        self.redaction.map(redact).unwrap_or(text)
    }

    /// A query without its question mark.
    pub(super) fn query(self, query: String, counts: &mut Counts) -> String {
        let redact = |it: &Redaction| it.query(&query, self.key, counts).into_owned();
        self.redaction.map(redact).unwrap_or(query)
    }

    /// The value of a header.
    pub(super) fn header(self, name: &str, value: String, counts: &mut Counts) -> String {
        let redact = |it: &Redaction| it.header(name, &value, self.key, counts).into_owned();
        self.redaction.map(redact).unwrap_or(value)
    }

    /// A body.
    pub(super) fn body(self, body: Body<'_>, counts: &mut Counts) -> Searched {
        match self.redaction {
            Some(redaction) => redaction.body(body, self.key, counts),
            None => Searched {
                bytes: body.bytes,
                decoded: false,
                truncated: body.truncated,
                missing: None,
            },
        }
    }
}

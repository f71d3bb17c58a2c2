//! The plan's redaction with the key it hashes with; a plan without one leaves everything as it is.

use crate::redact::{Body, Counts, HashKey, Redaction, Searched, Text};
use crate::text;

/// Bytes as they were sent, and how many of them are kept.
pub(super) type Sent<'a> = (&'a [u8], usize);

/// Redacts texts and bodies, and counts what was replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redactor<'a> {
    pub(super) redaction: Option<&'a Redaction>,
    pub(super) key: Option<&'a HashKey>,
}

impl Redactor<'_> {
    /// A path, or a part of one.
    pub(super) fn text(self, sent: Sent<'_>, counts: &mut Counts) -> String {
        self.redact(sent, |it, text| {
            it.text(text, self.key, counts).into_owned()
        })
    }

    /// A query without its question mark.
    pub(super) fn query(self, sent: Sent<'_>, counts: &mut Counts) -> String {
        self.redact(sent, |it, query| {
            it.query(query, self.key, counts).into_owned()
        })
    }

    /// The value of a header.
    pub(super) fn header(self, name: &str, sent: Sent<'_>, counts: &mut Counts) -> String {
        self.redact(sent, |it, value| {
            it.header(name, value, self.key, counts).into_owned()
        })
    }

    fn redact(self, sent: Sent<'_>, run: impl FnOnce(&Redaction, Text<'_>) -> String) -> String {
        let (text, cut) = text::beginning(sent.0, sent.1);
        match self.redaction {
            Some(redaction) if cut => run(redaction, Text::cut(&text)),
            Some(redaction) => run(redaction, Text::from(&*text)),
            None => text,
        }
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
                partly: false,
            },
        }
    }
}

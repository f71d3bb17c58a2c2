//! Applies a plan's redaction with its hash key; without redaction, texts and bodies stay unchanged.

use crate::redact::{HashKey, RawBody, RawText, RedactedBody, Redaction, RedactionCounts};
use crate::text;

/// The bytes as sent, and the maximum length to record.
pub(super) type Sent<'a> = (&'a [u8], usize);

/// Also counts the replaced values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redactor<'a> {
    pub(super) redaction: Option<&'a Redaction>,
    pub(super) key: Option<&'a HashKey>,
}

impl Redactor<'_> {
    /// For paths.
    pub(super) fn redact_text(self, sent: Sent<'_>, counts: &mut RedactionCounts) -> String {
        self.redact(sent, |it, text| {
            it.redact_text(text, self.key, counts).into_owned()
        })
    }

    /// Without the question mark.
    pub(super) fn redact_query(self, sent: Sent<'_>, counts: &mut RedactionCounts) -> String {
        self.redact(sent, |it, query| {
            it.redact_query(query, self.key, counts).into_owned()
        })
    }

    pub(super) fn redact_header(
        self,
        name: &str,
        sent: Sent<'_>,
        counts: &mut RedactionCounts,
    ) -> String {
        self.redact(sent, |it, value| {
            it.redact_header(name, value, self.key, counts).into_owned()
        })
    }

    fn redact(self, sent: Sent<'_>, run: impl FnOnce(&Redaction, RawText<'_>) -> String) -> String {
        let (text, cut) = text::truncate_flagged(sent.0, sent.1);
        match self.redaction {
            Some(redaction) if cut => run(redaction, RawText::truncated(&text)),
            Some(redaction) => run(redaction, RawText::from(&*text)),
            None => text,
        }
    }

    pub(super) fn redact_body(
        self,
        body: RawBody<'_>,
        counts: &mut RedactionCounts,
    ) -> RedactedBody {
        match self.redaction {
            Some(redaction) => redaction.redact_body(body, self.key, counts),
            None => RedactedBody {
                bytes: body.bytes,
                decoded: false,
                truncated: body.truncated,
                missing: None,
                partial: false,
            },
        }
    }
}

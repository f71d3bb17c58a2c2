//! Applies a plan's redaction with its hash key; without redaction, texts and bodies stay unchanged.

use crate::redact::{HashKey, RawBody, RawText, RedactedBody, Redaction, RedactionCounts};
use crate::text::{self, Truncated};

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
    pub(super) fn redact_text(self, sent: Sent<'_>, counts: &mut RedactionCounts) -> Truncated {
        self.redact(sent, |it, text| {
            it.redact_text(text, self.key, counts).into_owned()
        })
    }

    /// Without the question mark.
    pub(super) fn redact_query(self, sent: Sent<'_>, counts: &mut RedactionCounts) -> Truncated {
        self.redact(sent, |it, query| {
            it.redact_query(query, self.key, counts).into_owned()
        })
    }

    pub(super) fn redact_header(
        self,
        name: &str,
        sent: Sent<'_>,
        counts: &mut RedactionCounts,
    ) -> Truncated {
        self.redact(sent, |it, value| {
            it.redact_header(name, value, self.key, counts).into_owned()
        })
    }

    /// The bound holds before and after redaction: what is cut is not searched, and replacements may be longer.
    fn redact(
        self,
        (bytes, max): Sent<'_>,
        run: impl FnOnce(&Redaction, RawText<'_>) -> String,
    ) -> Truncated {
        let sent = text::truncate(bytes, max);
        let Some(redaction) = self.redaction else {
            return sent;
        };
        let raw = if sent.was_longer {
            RawText::truncated(&sent.text)
        } else {
            RawText::from(&*sent.text)
        };
        let redacted = Truncated {
            text: run(redaction, raw),
            was_longer: sent.was_longer,
        };
        redacted.again(max)
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

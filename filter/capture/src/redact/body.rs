//! Redacts captured bodies.

use std::borrow::Cow;

use dossier_content::inflate::{End, Format};
use dossier_wire::BodyMissing;

use super::body_format::{BodyFormat, ContentEncoding};
use super::counts::RedactionCounts;
use super::escaping::Escaping;
use super::form::Delimiter;
use super::grpc;
use super::hash::HashKey;
use super::rules::{Redaction, UnreadablePolicy};
use super::search::Search;
use super::span_editor::SpanEditor;

/// Limits how much replacements may lengthen a body.
const GROWTH_BYTES: usize = 64 << 10;

/// A captured body.
#[derive(Debug)]
pub struct RawBody<'a> {
    /// The captured part.
    pub bytes: Vec<u8>,
    /// As sent.
    pub content_type: Option<&'a str>,
    /// As sent.
    pub content_encoding: Option<&'a str>,
    /// The captured part is not all that was sent.
    pub truncated: bool,
    /// Limits the decoded bytes.
    pub max_bytes: usize,
}

/// A body that is safe to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedBody {
    /// Redacted, if the body could be searched.
    pub bytes: Vec<u8>,
    /// The bytes are no longer in their content encoding.
    pub decoded: bool,
    /// Bytes are missing at the end or, if they could not be trusted, inside.
    pub truncated: bool,
    /// Why there are no bytes.
    pub missing: Option<BodyMissing>,
    /// Only a part of the body was searched: the rest may hold secrets.
    pub partial: bool,
}

/// Decodes the content encoding, up to a limit; none if it cannot be decoded here.
pub(crate) fn decode_body<'b>(
    bytes: &'b [u8],
    content_encoding: Option<&str>,
    max_bytes: usize,
) -> Option<Cow<'b, [u8]>> {
    match ContentEncoding::parse(content_encoding) {
        ContentEncoding::None => Some(Cow::Borrowed(bytes)),
        ContentEncoding::Opaque => None,
        ContentEncoding::Supported(encoding) => {
            inflate(encoding, bytes, max_bytes).map(|(plain, _)| Cow::Owned(plain))
        }
    }
}

/// Decoded bytes up to a limit, and whether there are more; none if the input is damaged, because bytes
/// might be missing anywhere.
fn inflate(format: Format, encoded: &[u8], limit: usize) -> Option<(Vec<u8>, bool)> {
    let inflated = dossier_content::inflate::inflate(format, encoded, limit);
    (inflated.end != End::Damaged).then(|| (inflated.bytes, inflated.end != End::Complete))
}

impl Redaction {
    /// Without a key, hashes are replaced by `[REDACTED]`.
    #[must_use]
    pub fn redact_body(
        &self,
        body: RawBody<'_>,
        key: Option<&HashKey>,
        counts: &mut RedactionCounts,
    ) -> RedactedBody {
        let format = BodyFormat::from_content_type(body.content_type);
        if body.bytes.is_empty() || !self.applies_to(&format) {
            return body.into_unchanged();
        }
        let (plain, decoded) = match ContentEncoding::parse(body.content_encoding) {
            ContentEncoding::None => (None, false),
            ContentEncoding::Opaque => return self.handle_unreadable(body),
            ContentEncoding::Supported(encoding) => {
                match inflate(encoding, &body.bytes, body.max_bytes) {
                    Some(plain) => (Some(plain), true),
                    None => return self.handle_unreadable(body),
                }
            }
        };
        let bytes = plain.as_ref().map_or(&body.bytes, |(plain, _)| plain);
        if is_opaque(&format, bytes) {
            return self.handle_unreadable(body);
        }
        let limit = body
            .max_bytes
            .max(body.bytes.len())
            .saturating_add(GROWTH_BYTES);
        let (bytes, truncated) = match plain {
            Some((bytes, cut)) => (bytes, cut || body.truncated),
            None => (body.bytes, body.truncated),
        };
        let mut search = Search::new(self, key, counts, SpanEditor::new(&bytes, limit));
        search.truncated = truncated;
        search.redact_as(&format);
        let truncated = truncated || search.removed_bytes || search.edit.is_full();
        let bytes = search.edit.finish().unwrap_or(bytes);
        RedactedBody {
            bytes,
            decoded,
            truncated,
            missing: None,
            partial: truncated,
        }
    }

    /// Whether any rule applies to bodies of this type.
    fn applies_to(&self, format: &BodyFormat) -> bool {
        let by_name = match format {
            BodyFormat::Form | BodyFormat::Multipart(_) | BodyFormat::Opaque => {
                !self.query.is_empty() || !self.paths.is_empty()
            }
            BodyFormat::Grpc => false,
            _ => !self.paths.is_empty(),
        };
        by_name || !self.patterns.is_empty()
    }

    fn handle_unreadable(&self, body: RawBody<'_>) -> RedactedBody {
        match self.unreadable {
            UnreadablePolicy::Keep => body.into_unchanged(),
            UnreadablePolicy::DropBody => RedactedBody {
                bytes: Vec::new(),
                decoded: false,
                truncated: body.truncated,
                missing: Some(BodyMissing::Unreadable),
                partial: false,
            },
        }
    }
}

/// Whether the search would miss text in these decoded bytes.
fn is_opaque(format: &BodyFormat, bytes: &[u8]) -> bool {
    match format {
        BodyFormat::Opaque => true,
        BodyFormat::Grpc => grpc::is_compressed(bytes),
        _ if is_compressed_unlabelled(bytes) => true,
        // With a wrong boundary no part has a name.
        BodyFormat::Multipart(boundary) => Delimiter::new(boundary).find(bytes, 0).is_none(),
        // UTF-16 and UTF-32 have a byte order mark, or a zero in the first character.
        BodyFormat::Unknown => matches!(
            bytes,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{' | b'[', 0, ..] | [0, b'{' | b'[', ..]
        ),
        _ => matches!(
            bytes,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]
        ),
    }
}

/// Whether bytes are compressed although no header says so, or once more than it says.
fn is_compressed_unlabelled(bytes: &[u8]) -> bool {
    const GZIP: &[u8] = b"\x1f\x8b\x08";
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
    const XZ: &[u8] = b"\xfd7zXZ\0";
    const ZIP: &[u8] = b"PK\x03\x04";
    [GZIP, ZSTD, XZ, ZIP]
        .iter()
        .any(|magic| bytes.starts_with(magic))
}

impl RawBody<'_> {
    fn into_unchanged(self) -> RedactedBody {
        RedactedBody {
            bytes: self.bytes,
            decoded: false,
            truncated: self.truncated,
            missing: None,
            partial: false,
        }
    }
}

impl Search<'_, '_> {
    fn redact_as(&mut self, format: &BodyFormat) {
        let whole = 0..self.edit.input().len();
        match format {
            BodyFormat::Json => self.redact_json(whole),
            BodyFormat::JsonLines => self.redact_json_lines(whole),
            BodyFormat::Events => self.redact_events(),
            // Many clients label JSON as a form, which is their default.
            BodyFormat::Form if self.is_whole_json(whole.clone()) => self.redact_json(whole),
            BodyFormat::Form => self.redact_pairs(),
            BodyFormat::Multipart(boundary) => self.redact_parts(boundary),
            BodyFormat::Grpc => self.redact_messages(),
            BodyFormat::Unknown => self.redact_unknown(whole),
            BodyFormat::Opaque => self.redact_text(whole, Escaping::Plain),
        }
    }
}

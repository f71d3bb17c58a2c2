//! Redacts a body, once it has come as far as it is kept.

use std::borrow::Cow;

use dossier_content::inflate::{End, Format};
use dossier_wire::BodyMissing;

use super::coding::Coding;
use super::counts::RedactionCounts;
use super::edit::SpanEditor;
use super::form::Delimiter;
use super::grpc;
use super::hash::HashKey;
use super::media::{Layer, Media};
use super::rules::{Redaction, UnreadablePolicy};
use super::search::Search;

/// How much longer than its bound replacements may make a body.
const GROWTH_BYTES: usize = 64 << 10;

/// A body as it was kept.
#[derive(Debug)]
pub struct RawBody<'a> {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// `content-type` as sent.
    pub content_type: Option<&'a str>,
    /// `content-encoding` as sent.
    pub content_encoding: Option<&'a str>,
    /// The bytes are only the beginning of what was sent.
    pub truncated: bool,
    /// Most bytes that decoding may give.
    pub max_bytes: usize,
}

/// A body that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedBody {
    /// Its bytes, without what was redacted.
    pub bytes: Vec<u8>,
    /// Its content encoding was undone.
    pub decoded: bool,
    /// Something is missing at its end or, where it was not to be trusted, inside.
    pub truncated: bool,
    /// Why there are no bytes.
    pub missing: Option<BodyMissing>,
    /// It was searched, but not all that was sent: what is missing may hold secrets.
    pub partial: bool,
}

/// A body's bytes without their content encoding, up to a limit; none if it cannot be undone here.
pub(crate) fn decode_body<'b>(
    bytes: &'b [u8],
    content_encoding: Option<&str>,
    max_bytes: usize,
) -> Option<Cow<'b, [u8]>> {
    match Layer::of(content_encoding) {
        Layer::None => Some(Cow::Borrowed(bytes)),
        Layer::Opaque => None,
        Layer::Encoded(encoding) => {
            inflate(encoding, bytes, max_bytes).map(|(plain, _)| Cow::Owned(plain))
        }
    }
}

/// Plain bytes up to a limit, and whether more would follow; none if the encoded ones are damaged, for what is
/// missing could then be anywhere.
fn inflate(format: Format, encoded: &[u8], limit: usize) -> Option<(Vec<u8>, bool)> {
    let inflated = dossier_content::inflate::inflate(format, encoded, limit);
    (inflated.end != End::Damaged).then(|| (inflated.bytes, inflated.end != End::Complete))
}

impl Redaction {
    /// Redacts a body. Without a key, values are replaced by `[REDACTED]` where hashes are wanted.
    #[must_use]
    pub fn redact_body(
        &self,
        body: RawBody<'_>,
        key: Option<&HashKey>,
        counts: &mut RedactionCounts,
    ) -> RedactedBody {
        let media = Media::of(body.content_type);
        if body.bytes.is_empty() || !self.concerns(&media) {
            return body.unsearched();
        }
        let (plain, decoded) = match Layer::of(body.content_encoding) {
            Layer::None => (None, false),
            Layer::Opaque => return self.unreadable(body),
            Layer::Encoded(encoding) => match inflate(encoding, &body.bytes, body.max_bytes) {
                Some(plain) => (Some(plain), true),
                None => return self.unreadable(body),
            },
        };
        let bytes = plain.as_ref().map_or(&body.bytes, |(plain, _)| plain);
        if is_opaque(&media, bytes) {
            return self.unreadable(body);
        }
        let most = body
            .max_bytes
            .max(body.bytes.len())
            .saturating_add(GROWTH_BYTES);
        let (bytes, truncated) = match plain {
            Some((bytes, cut)) => (bytes, cut || body.truncated),
            None => (body.bytes, body.truncated),
        };
        let mut search = Search::new(self, key, counts, SpanEditor::new(&bytes, most));
        search.open_end = truncated;
        search.media(&media);
        let truncated = truncated || search.cut || search.edit.is_full();
        let bytes = search.edit.finish().unwrap_or(bytes);
        RedactedBody {
            bytes,
            decoded,
            truncated,
            missing: None,
            partial: truncated,
        }
    }

    /// Whether anything is looked for in such a body.
    fn concerns(&self, media: &Media) -> bool {
        let by_name = match media {
            Media::Form | Media::Multipart(_) | Media::Opaque => {
                !self.query.is_empty() || !self.paths.is_empty()
            }
            Media::Grpc => false,
            _ => !self.paths.is_empty(),
        };
        by_name || !self.patterns.is_empty()
    }

    fn unreadable(&self, body: RawBody<'_>) -> RedactedBody {
        match self.unreadable {
            UnreadablePolicy::Keep => body.unsearched(),
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

/// Whether text in these plain bytes would not be found.
fn is_opaque(media: &Media, bytes: &[u8]) -> bool {
    match media {
        Media::Opaque => true,
        Media::Grpc => grpc::is_compressed(bytes),
        _ if is_packed(bytes) => true,
        // Without the right boundary no part has a name.
        Media::Multipart(boundary) => Delimiter::new(boundary).find(bytes, 0).is_none(),
        // UTF-16 and UTF-32 begin with their mark, or have a zero in the first character.
        Media::Unknown => matches!(
            bytes,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{' | b'[', 0, ..] | [0, b'{' | b'[', ..]
        ),
        _ => matches!(
            bytes,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]
        ),
    }
}

/// Whether bytes are compressed though no header says so, or once more than the header says.
fn is_packed(bytes: &[u8]) -> bool {
    const GZIP: &[u8] = b"\x1f\x8b\x08";
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
    const XZ: &[u8] = b"\xfd7zXZ\0";
    const ZIP: &[u8] = b"PK\x03\x04";
    [GZIP, ZSTD, XZ, ZIP]
        .iter()
        .any(|magic| bytes.starts_with(magic))
}

impl RawBody<'_> {
    fn unsearched(self) -> RedactedBody {
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
    fn media(&mut self, media: &Media) {
        let whole = 0..self.edit.input().len();
        match media {
            Media::Json => self.json(whole),
            Media::JsonLines => self.json_lines(whole),
            Media::Events => self.events(),
            // Many a client sends JSON and calls it a form, which is what it calls everything.
            Media::Form if self.is_whole_json(whole.clone()) => self.json(whole),
            Media::Form => self.pairs(),
            Media::Multipart(boundary) => self.parts(boundary),
            Media::Grpc => self.messages(),
            Media::Unknown => self.unknown(whole),
            Media::Opaque => self.text(whole, Coding::Plain),
        }
    }
}

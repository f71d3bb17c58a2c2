//! Decides by a body's headers how it is searched.

use dossier_content::content_coding::ContentCoding;
use dossier_content::inflate::Format;
use dossier_content::media_kind::MediaKind;
use dossier_content::media_type::MediaType;

/// The format of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyFormat {
    Json,
    /// One document on each line.
    JsonLines,
    Events,
    Form,
    /// With the boundary between the parts.
    Multipart(String),
    Grpc,
    /// JSON if it looks like it, otherwise text or binary.
    Unknown,
    /// A format in which text cannot be found.
    Opaque,
}

/// The content encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    None,
    Supported(Format),
    /// It cannot be decoded here.
    Opaque,
}

/// Far longer than any supported name. A longer value may be truncated before another name.
const MAX_ENCODING_BYTES: usize = 64;
/// Prefixes of charsets that do not write ASCII as ASCII.
const OPAQUE_CHARSETS: [&str; 7] = [
    "utf-16",
    "utf16",
    "utf-32",
    "utf32",
    "utf-7",
    "ucs-",
    "iso-10646",
];

impl BodyFormat {
    pub(super) fn from_content_type(content_type: Option<&str>) -> Self {
        let media_type = MediaType::parse(content_type);
        let charset = media_type.parameter("charset").unwrap_or_default();
        let charset = charset.to_ascii_lowercase();
        let content_type = content_type.unwrap_or_default();
        if OPAQUE_CHARSETS.iter().any(|name| charset.starts_with(name)) || is_list(content_type) {
            return Self::Opaque;
        }
        let essence = media_type.essence();
        match MediaKind::of(&essence) {
            MediaKind::Json => Self::Json,
            MediaKind::JsonLines => Self::JsonLines,
            MediaKind::Events => Self::Events,
            MediaKind::Form => Self::Form,
            MediaKind::Multipart => match media_type.parameter("boundary") {
                Some(boundary) if is_boundary(boundary) => Self::Multipart(boundary.to_owned()),
                _ => Self::Opaque,
            },
            // Its frames hold JSON, not messages.
            MediaKind::Grpc if essence.ends_with("+json") => Self::Opaque,
            MediaKind::Grpc => Self::Grpc,
            MediaKind::GrpcText => Self::Opaque,
            MediaKind::Text | MediaKind::Binary | MediaKind::Unknown => Self::Unknown,
        }
    }
}

impl ContentEncoding {
    /// Reads `content-encoding`. A list means several encodings, which are not decoded.
    pub(super) fn parse(content_encoding: Option<&str>) -> Self {
        let name = content_encoding.unwrap_or_default();
        if name.len() > MAX_ENCODING_BYTES {
            return Self::Opaque;
        }
        match ContentCoding::from_name(name) {
            Some(ContentCoding::Identity) => Self::None,
            Some(ContentCoding::Gzip) => Self::Supported(Format::Gzip),
            Some(ContentCoding::Deflate) => Self::Supported(Format::Deflate),
            Some(ContentCoding::Brotli | ContentCoding::Zstd) | None => Self::Opaque,
        }
    }
}

/// Whether there are several types, of which the reader may use any.
fn is_list(content_type: &str) -> bool {
    content_type
        .split('"')
        .step_by(2)
        .any(|it| it.contains(','))
}

/// Whether all characters are allowed by RFC 2046: readers disagree about others.
fn is_boundary(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn content_type_decides_format() {
        for (content_type, media) in [
            ("application/json", BodyFormat::Json),
            ("Application/JSON; charset=UTF-8", BodyFormat::Json),
            ("application/problem+json", BodyFormat::Json),
            ("text/json", BodyFormat::Json),
            ("application/x-json", BodyFormat::Json),
            ("application/x-amz-json-1.1", BodyFormat::Json),
            ("application/json; charset=\"UTF-16LE\"", BodyFormat::Opaque),
            ("text/plain; charset=utf-32", BodyFormat::Opaque),
            ("application/x-ndjson", BodyFormat::JsonLines),
            ("application/json-seq", BodyFormat::JsonLines),
            ("text/event-stream;charset=utf-8", BodyFormat::Events),
            ("application/x-www-form-urlencoded", BodyFormat::Form),
            (
                "multipart/form-data; Boundary=\"a b\"",
                BodyFormat::Multipart("a b".into()),
            ),
            ("multipart/form-data", BodyFormat::Opaque),
            (
                "multipart/form-data; boundary=\"a\\\"b\"",
                BodyFormat::Opaque,
            ),
            (
                "multipart/form-data; boundary=\"a,b\"",
                BodyFormat::Multipart("a,b".into()),
            ),
            ("application/json, text/plain", BodyFormat::Opaque),
            ("text/plain; a=\"b\", application/json", BodyFormat::Opaque),
            ("application/grpc", BodyFormat::Grpc),
            ("application/grpc+proto", BodyFormat::Grpc),
            ("application/grpc-web", BodyFormat::Grpc),
            ("application/grpc-web-text", BodyFormat::Opaque),
            ("application/grpc+json", BodyFormat::Opaque),
            ("text/html", BodyFormat::Unknown),
            ("image/png", BodyFormat::Unknown),
            ("", BodyFormat::Unknown),
        ] {
            assert_eq!(
                BodyFormat::from_content_type(Some(content_type)),
                media,
                "{content_type}"
            );
        }
        assert_eq!(BodyFormat::from_content_type(None), BodyFormat::Unknown);
    }

    #[test]
    fn content_encoding_decides_decoding() {
        for (name, expected) in [
            ("", ContentEncoding::None),
            ("Identity", ContentEncoding::None),
            ("gzip", ContentEncoding::Supported(Format::Gzip)),
            (" X-GZIP ", ContentEncoding::Supported(Format::Gzip)),
            ("deflate", ContentEncoding::Supported(Format::Deflate)),
            ("br", ContentEncoding::Opaque),
            ("zstd", ContentEncoding::Opaque),
            ("gzip, br", ContentEncoding::Opaque),
            (
                &format!("identity{}", " ".repeat(60)),
                ContentEncoding::Opaque,
            ),
            ("whatever", ContentEncoding::Opaque),
        ] {
            assert_eq!(ContentEncoding::parse(Some(name)), expected, "{name}");
        }
    }
}

//! What a body is, by its headers, as far as that decides how it is searched.

use dossier_content::content_coding::ContentCoding;
use dossier_content::inflate::Format;
use dossier_content::media_type::MediaType;

/// The form of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    /// A document on each line.
    JsonLines,
    Events,
    Form,
    /// With the boundary between its parts.
    Multipart(String),
    Grpc,
    /// JSON if it looks like it, else text or something binary.
    Unknown,
    /// In a form that hides text.
    Opaque,
}

/// What was done to a body on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    None,
    Encoded(Format),
    /// In an encoding that cannot be undone here.
    Opaque,
}

const JSON_LINES: [&str; 6] = [
    "x-ndjson",
    "ndjson",
    "jsonl",
    "x-jsonlines",
    "jsonlines",
    "json-seq",
];
/// Far longer than the names that are known. What is longer may have been cut before another name.
const MAX_ENCODING_BYTES: usize = 64;
/// Beginnings of the names of charsets in which ASCII is not written as ASCII.
const OPAQUE_CHARSETS: [&str; 7] = [
    "utf-16",
    "utf16",
    "utf-32",
    "utf32",
    "utf-7",
    "ucs-",
    "iso-10646",
];

impl Media {
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let media_type = MediaType::parse(content_type);
        let charset = media_type.parameter("charset").unwrap_or_default();
        let charset = charset.to_ascii_lowercase();
        let content_type = content_type.unwrap_or_default();
        if OPAQUE_CHARSETS.iter().any(|name| charset.starts_with(name)) || is_list(content_type) {
            return Self::Opaque;
        }
        let essence = media_type.essence();
        match essence.split_once('/') {
            Some(("application", "x-www-form-urlencoded")) => Self::Form,
            Some(("multipart", _)) => match media_type.parameter("boundary") {
                Some(boundary) if is_boundary(boundary) => Self::Multipart(boundary.to_owned()),
                _ => Self::Opaque,
            },
            Some(("text", "event-stream")) => Self::Events,
            Some(("application", grpc)) if grpc.starts_with("grpc-web-text") => Self::Opaque,
            Some(("application", "grpc+json" | "grpc-web+json")) => Self::Opaque,
            Some(("application", grpc)) if grpc.starts_with("grpc") => Self::Grpc,
            Some((_, lines)) if JSON_LINES.contains(&lines) => Self::JsonLines,
            Some((_, json)) if json.split(['+', '-', '.']).next_back() == Some("json") => {
                Self::Json
            }
            _ => Self::Unknown,
        }
    }
}

impl Layer {
    /// Reads `content-encoding`. A list is more than one layer, which is not undone.
    pub(super) fn of(content_encoding: Option<&str>) -> Self {
        let name = content_encoding.unwrap_or_default();
        if name.len() > MAX_ENCODING_BYTES {
            return Self::Opaque;
        }
        match ContentCoding::from_name(name) {
            Some(ContentCoding::Identity) => Self::None,
            Some(ContentCoding::Gzip) => Self::Encoded(Format::Gzip),
            Some(ContentCoding::Deflate) => Self::Encoded(Format::Deflate),
            Some(ContentCoding::Brotli | ContentCoding::Zstd) | None => Self::Opaque,
        }
    }
}

/// Whether there are several types, of which nobody knows which the reader takes.
fn is_list(content_type: &str) -> bool {
    content_type
        .split('"')
        .step_by(2)
        .any(|it| it.contains(','))
}

/// Whether a boundary is of the characters that RFC 2046 allows: about others, readers differ.
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
    fn the_content_type_gives_the_form() {
        for (content_type, media) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=UTF-8", Media::Json),
            ("application/problem+json", Media::Json),
            ("text/json", Media::Json),
            ("application/x-json", Media::Json),
            ("application/x-amz-json-1.1", Media::Unknown),
            ("application/json; charset=\"UTF-16LE\"", Media::Opaque),
            ("text/plain; charset=utf-32", Media::Opaque),
            ("application/x-ndjson", Media::JsonLines),
            ("application/json-seq", Media::JsonLines),
            ("text/event-stream;charset=utf-8", Media::Events),
            ("application/x-www-form-urlencoded", Media::Form),
            (
                "multipart/form-data; Boundary=\"a b\"",
                Media::Multipart("a b".into()),
            ),
            ("multipart/form-data", Media::Opaque),
            ("multipart/form-data; boundary=\"a\\\"b\"", Media::Opaque),
            (
                "multipart/form-data; boundary=\"a,b\"",
                Media::Multipart("a,b".into()),
            ),
            ("application/json, text/plain", Media::Opaque),
            ("text/plain; a=\"b\", application/json", Media::Opaque),
            ("application/grpc", Media::Grpc),
            ("application/grpc+proto", Media::Grpc),
            ("application/grpc-web", Media::Grpc),
            ("application/grpc-web-text", Media::Opaque),
            ("application/grpc+json", Media::Opaque),
            ("text/html", Media::Unknown),
            ("image/png", Media::Unknown),
            ("", Media::Unknown),
        ] {
            assert_eq!(Media::of(Some(content_type)), media, "{content_type}");
        }
        assert_eq!(Media::of(None), Media::Unknown);
    }

    #[test]
    fn the_content_encoding_gives_the_layer() {
        for (encoding, layer) in [
            ("", Layer::None),
            ("Identity", Layer::None),
            ("gzip", Layer::Encoded(Format::Gzip)),
            (" X-GZIP ", Layer::Encoded(Format::Gzip)),
            ("deflate", Layer::Encoded(Format::Deflate)),
            ("br", Layer::Opaque),
            ("zstd", Layer::Opaque),
            ("gzip, br", Layer::Opaque),
            (&format!("identity{}", " ".repeat(60)), Layer::Opaque),
            ("whatever", Layer::Opaque),
        ] {
            assert_eq!(Layer::of(Some(encoding)), layer, "{encoding}");
        }
    }
}

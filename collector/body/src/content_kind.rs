//! What a body is, by its content type.

use dossier_content::media_kind::{self, MediaKind};
use dossier_content::media_type::MediaType;
use encoding_rs::Encoding;

/// What a content type tells about a body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ContentInfo {
    pub(super) kind: MediaKind,
    /// Its charset, if given and supported.
    pub(super) charset: Option<&'static Encoding>,
    /// Of a multipart body, what separates its parts.
    pub(super) boundary: Option<String>,
}

impl ContentInfo {
    /// Without a content type, a body may be JSON or text.
    pub(super) fn new(content_type: Option<&str>) -> Self {
        let media_type = MediaType::parse(content_type);
        let label = media_type.parameter("charset").map(str::as_bytes);
        Self {
            kind: match media_type.essence().as_str() {
                "" => MediaKind::Json,
                essence => MediaKind::of(essence),
            },
            charset: label.and_then(Encoding::for_label),
            boundary: media_type
                .parameter("boundary")
                .filter(|boundary| !boundary.is_empty())
                .map(str::to_owned),
        }
    }
}

/// Whether the format of this type is compressed already.
pub(super) fn is_compressed(content_type: Option<&str>) -> bool {
    media_kind::is_compressed(&MediaType::parse(content_type).essence())
}

#[cfg(test)]
mod tests {
    use encoding_rs::{UTF_8, UTF_16LE, WINDOWS_1252};

    use super::*;

    #[test]
    fn media_type_is_case_insensitive() {
        for (content_type, kind) in [
            (None, MediaKind::Json),
            (Some(""), MediaKind::Json),
            (Some("Application/JSON"), MediaKind::Json),
            (Some("text/event-stream; charset=utf-8"), MediaKind::Events),
            (Some(";;==\"\u{1}é"), MediaKind::Json),
        ] {
            assert_eq!(
                ContentInfo::new(content_type).kind,
                kind,
                "{content_type:?}"
            );
        }
        assert!(is_compressed(Some("IMAGE/JPEG; q=1")));
        assert!(!is_compressed(None));
    }

    #[test]
    fn charset_parameter_may_be_quoted() {
        for (content_type, charset) in [
            ("text/plain", None),
            ("text/plain; charset=utf-8", Some(UTF_8)),
            (
                "text/plain; a=b; CharSet=\"ISO-8859-1\"",
                Some(WINDOWS_1252),
            ),
            ("text/plain;charset=utf-16", Some(UTF_16LE)),
            ("text/plain;charset=klingon", None),
        ] {
            assert_eq!(ContentInfo::new(Some(content_type)).charset, charset);
        }
    }
}

//! What a body is by its content type.

use dossier_content::media_type::MediaType;
use encoding_rs::Encoding;

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As JSON if it is, else as text.
    Json,
    Text,
    /// A stream of server-sent events.
    Events,
    /// A row of gRPC frames.
    Grpc,
    Binary,
}

/// What a content type says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Media {
    pub(super) kind: Kind,
    /// How its text is written, if it says so and the name is known.
    pub(super) charset: Option<&'static Encoding>,
}

impl Media {
    /// Without a content type a body may be JSON, or text.
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let media_type = MediaType::parse(content_type);
        let label = media_type.parameter("charset").map(str::as_bytes);
        Self {
            kind: kind(&media_type.essence()),
            charset: label.and_then(Encoding::for_label),
        }
    }
}

/// Whether bodies of this type are compressed already, by what they are.
pub(super) fn is_compressed(content_type: Option<&str>) -> bool {
    let essence = MediaType::parse(content_type).essence();
    match essence.split_once('/') {
        // These are written as text, or as plain samples.
        Some(("image", kind)) => {
            !matches!(kind, "svg+xml" | "bmp" | "x-ms-bmp" | "vnd.microsoft.icon")
        }
        Some(("audio", kind)) => !matches!(kind, "wav" | "x-wav" | "l16" | "midi"),
        Some(("video", _)) => true,
        Some(("font", kind)) => matches!(kind, "woff" | "woff2"),
        Some(("application", kind)) => {
            matches!(
                kind,
                "zip"
                    | "gzip"
                    | "x-gzip"
                    | "zstd"
                    | "x-xz"
                    | "x-bzip2"
                    | "x-7z-compressed"
                    | "vnd.rar"
                    | "java-archive"
                    | "pdf"
                    | "epub+zip"
            ) || kind.starts_with("vnd.openxmlformats-")
        }
        _ => false,
    }
}

fn kind(essence: &str) -> Kind {
    match essence {
        "" | "application/json" => Kind::Json,
        "text/event-stream" => Kind::Events,
        "application/grpc" | "application/grpc-web" => Kind::Grpc,
        "application/xml"
        | "application/javascript"
        | "application/x-www-form-urlencoded"
        | "application/graphql"
        | "application/x-ndjson"
        | "application/yaml" => Kind::Text,
        other if is_framed(other) => Kind::Grpc,
        other if other.ends_with("+json") => Kind::Json,
        other if other.starts_with("text/") || other.ends_with("+xml") => Kind::Text,
        _ => Kind::Binary,
    }
}

/// gRPC with the name of how its messages are written.
fn is_framed(essence: &str) -> bool {
    ["application/grpc+", "application/grpc-web+"]
        .iter()
        .any(|prefix| essence.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use encoding_rs::{UTF_8, UTF_16LE, WINDOWS_1252};

    use super::*;

    #[test]
    fn media_is_known_to_be_compressed() {
        for (content_type, compressed) in [
            ("image/png", true),
            ("IMAGE/JPEG; q=1", true),
            ("image/svg+xml", false),
            ("video/mp4", true),
            ("audio/ogg", true),
            ("audio/wav", false),
            ("font/woff2", true),
            ("application/zip", true),
            ("application/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(
                is_compressed(Some(content_type)),
                compressed,
                "{content_type}"
            );
        }
        assert!(!is_compressed(None));
    }

    #[test]
    fn the_essence_gives_the_kind_in_any_case() {
        for (content_type, kind) in [
            (None, Kind::Json),
            (Some(""), Kind::Json),
            (Some("Application/JSON"), Kind::Json),
            (Some("application/problem+json"), Kind::Json),
            (Some("text/event-stream; charset=utf-8"), Kind::Events),
            (Some("application/grpc"), Kind::Grpc),
            (Some("application/grpc+json"), Kind::Grpc),
            (Some("application/grpc-web+proto"), Kind::Grpc),
            (Some("application/grpc-web-text"), Kind::Binary),
            (Some("image/svg+xml"), Kind::Text),
            (Some("text/csv"), Kind::Text),
            (Some("image/png"), Kind::Binary),
            (Some(";;==\"\u{1}é"), Kind::Json),
        ] {
            assert_eq!(Media::of(content_type).kind, kind, "{content_type:?}");
        }
    }

    #[test]
    fn the_charset_is_a_parameter_and_may_be_quoted() {
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
            assert_eq!(Media::of(Some(content_type)).charset, charset);
        }
    }
}

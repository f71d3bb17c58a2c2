//! What a body is, by its content type.

use dossier_content::media_type::MediaType;
use encoding_rs::Encoding;

/// How a body is interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentKind {
    /// As JSON if it is, else as text.
    Json,
    /// A line is a JSON value.
    JsonLines,
    Text,
    /// A stream of server-sent events.
    Events,
    /// A row of gRPC frames.
    Grpc,
    Binary,
    /// Its type tells nothing: as text if it is some.
    Unknown,
}

/// What a content type tells about a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ContentInfo {
    pub(super) kind: ContentKind,
    /// Its charset, if given and supported.
    pub(super) charset: Option<&'static Encoding>,
}

impl ContentInfo {
    /// Without a content type, a body may be JSON or text.
    pub(super) fn new(content_type: Option<&str>) -> Self {
        let media_type = MediaType::parse(content_type);
        let label = media_type.parameter("charset").map(str::as_bytes);
        Self {
            kind: kind(&media_type.essence()),
            charset: label.and_then(Encoding::for_label),
        }
    }
}

/// Whether the format of this type is compressed already.
pub(super) fn is_compressed(content_type: Option<&str>) -> bool {
    let essence = MediaType::parse(content_type).essence();
    match essence.split_once('/') {
        // The listed formats are text, or uncompressed samples.
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

fn kind(essence: &str) -> ContentKind {
    match essence {
        ""
        | "application/json"
        | "application/csp-report"
        | "application/json-rpc"
        | "application/jsonrequest"
        | "application/x-amz-json-1.0"
        | "application/x-amz-json-1.1"
        | "application/x-json"
        | "text/json"
        | "text/x-json" => ContentKind::Json,
        "application/json-lines"
        | "application/jsonl"
        | "application/jsonlines"
        | "application/ndjson"
        | "application/x-jsonl"
        | "application/x-jsonlines"
        | "application/x-ndjson"
        | "text/jsonl"
        | "text/x-ndjson" => ContentKind::JsonLines,
        "text/event-stream" => ContentKind::Events,
        "application/grpc" | "application/grpc-web" => ContentKind::Grpc,
        "application/xml"
        | "application/javascript"
        | "application/x-www-form-urlencoded"
        | "application/graphql"
        | "application/json5"
        | "application/sql"
        | "application/toml"
        | "application/x-javascript"
        | "application/x-sh"
        | "application/x-yaml"
        | "application/yaml" => ContentKind::Text,
        "application/octet-stream" | "application/grpc-web-text" => ContentKind::Binary,
        other if is_framed(other) => ContentKind::Grpc,
        other if other.ends_with("+json") => ContentKind::Json,
        other if is_text(other) => ContentKind::Text,
        other if is_binary(other) => ContentKind::Binary,
        _ => ContentKind::Unknown,
    }
}

fn is_text(essence: &str) -> bool {
    essence.starts_with("text/") || ["+xml", "+yaml"].iter().any(|it| essence.ends_with(it))
}

/// What is no text even if its bytes happen to be some.
fn is_binary(essence: &str) -> bool {
    let kind = essence.split('/').next().unwrap_or_default();
    matches!(kind, "image" | "audio" | "video" | "font") || is_compressed(Some(essence))
}

/// gRPC with a suffix for the message encoding.
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
    fn compressed_media_types_are_recognized() {
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
    fn media_type_is_case_insensitive() {
        for (content_type, kind) in [
            (None, ContentKind::Json),
            (Some(""), ContentKind::Json),
            (Some("Application/JSON"), ContentKind::Json),
            (Some("application/problem+json"), ContentKind::Json),
            (
                Some("text/event-stream; charset=utf-8"),
                ContentKind::Events,
            ),
            (Some("application/grpc"), ContentKind::Grpc),
            (Some("application/grpc+json"), ContentKind::Grpc),
            (Some("application/grpc-web+proto"), ContentKind::Grpc),
            (Some("application/grpc-web-text"), ContentKind::Binary),
            (Some("image/svg+xml"), ContentKind::Text),
            (Some("text/csv"), ContentKind::Text),
            (Some("text/json"), ContentKind::Json),
            (Some("application/x-amz-json-1.1"), ContentKind::Json),
            (Some("application/json-rpc"), ContentKind::Json),
            (Some("application/csp-report"), ContentKind::Json),
            (Some("application/jsonl"), ContentKind::JsonLines),
            (Some("application/x-jsonlines"), ContentKind::JsonLines),
            (Some("application/json-lines"), ContentKind::JsonLines),
            (Some("application/x-ndjson"), ContentKind::JsonLines),
            (Some("application/json5"), ContentKind::Text),
            (Some("application/toml"), ContentKind::Text),
            (Some("application/yaml"), ContentKind::Text),
            (Some("application/sql"), ContentKind::Text),
            (Some("application/vnd.acme"), ContentKind::Unknown),
            (
                Some("multipart/form-data; boundary=x"),
                ContentKind::Unknown,
            ),
            (Some("application/octet-stream"), ContentKind::Binary),
            (Some("application/zip"), ContentKind::Binary),
            (Some("image/png"), ContentKind::Binary),
            (Some(";;==\"\u{1}é"), ContentKind::Json),
        ] {
            assert_eq!(
                ContentInfo::new(content_type).kind,
                kind,
                "{content_type:?}"
            );
        }
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

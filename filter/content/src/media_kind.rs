//! What a body is, by its media type: the one table for the filter, which searches bodies by it, and the collector, which
//! shows bodies by it.

/// How a body of a media type is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// A JSON value.
    Json,
    /// JSON values, a line each.
    JsonLines,
    /// A stream of server-sent events.
    Events,
    /// Names and values of a form, percent-encoded.
    Form,
    /// Parts with headers of their own.
    Multipart,
    /// A row of gRPC frames.
    Grpc,
    /// gRPC frames in base64.
    GrpcText,
    /// Other text.
    Text,
    /// What is no text even if its bytes happen to be some.
    Binary,
    /// The type tells nothing.
    Unknown,
}

impl MediaKind {
    /// Of a type and subtype in lower case.
    #[must_use]
    pub fn of(essence: &str) -> Self {
        let (kind, subtype) = essence.split_once('/').unwrap_or((essence, ""));
        match (kind, subtype) {
            ("multipart", _) => Self::Multipart,
            ("text", "event-stream") => Self::Events,
            ("application", "x-www-form-urlencoded") => Self::Form,
            ("application", grpc) if grpc.starts_with("grpc-web-text") => Self::GrpcText,
            ("application", grpc) if is_grpc(grpc) => Self::Grpc,
            (_, subtype) if is_json_lines(subtype) => Self::JsonLines,
            (_, subtype) if is_json(subtype) => Self::Json,
            ("text", _) => Self::Text,
            (_, subtype) if subtype.ends_with("+xml") || subtype.ends_with("+yaml") => Self::Text,
            ("application", subtype) if is_text(subtype) => Self::Text,
            ("application", "octet-stream") | ("image" | "audio" | "video" | "font", _) => {
                Self::Binary
            }
            _ if is_compressed(essence) => Self::Binary,
            _ => Self::Unknown,
        }
    }
}

fn is_grpc(subtype: &str) -> bool {
    let suffix = subtype
        .strip_prefix("grpc-web")
        .or_else(|| subtype.strip_prefix("grpc"));
    suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with(['+', ';']))
}

fn is_json_lines(subtype: &str) -> bool {
    matches!(
        subtype,
        "json-lines"
            | "json-seq"
            | "jsonl"
            | "jsonlines"
            | "ndjson"
            | "x-json-lines"
            | "x-jsonl"
            | "x-jsonlines"
            | "x-ndjson"
    )
}

/// Also what only ends in json, as `problem+json` and `x-json` do.
fn is_json(subtype: &str) -> bool {
    subtype.split(['+', '-', '.']).next_back() == Some("json")
        || matches!(subtype, "csp-report" | "json-rpc" | "jsonrequest")
        || subtype.starts_with("x-amz-json-1.")
}

/// Of `application/…`.
fn is_text(subtype: &str) -> bool {
    matches!(
        subtype,
        "xml"
            | "javascript"
            | "graphql"
            | "json5"
            | "sql"
            | "toml"
            | "x-javascript"
            | "x-sh"
            | "x-yaml"
            | "yaml"
    )
}

/// Whether the format of this type is compressed already.
#[must_use]
pub fn is_compressed(essence: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_type_has_its_kind() {
        for (types, kind) in [
            (
                &[
                    "application/json",
                    "application/problem+json",
                    "application/x-json",
                    "text/json",
                    "text/x-json",
                    "application/x-amz-json-1.0",
                    "application/x-amz-json-1.1",
                    "application/json-rpc",
                    "application/jsonrequest",
                    "application/csp-report",
                ][..],
                MediaKind::Json,
            ),
            (
                &[
                    "application/jsonl",
                    "application/x-jsonlines",
                    "application/json-lines",
                    "application/x-ndjson",
                    "text/x-ndjson",
                    "application/json-seq",
                ],
                MediaKind::JsonLines,
            ),
            (&["text/event-stream"], MediaKind::Events),
            (&["application/x-www-form-urlencoded"], MediaKind::Form),
            (
                &["multipart/form-data", "multipart/mixed"],
                MediaKind::Multipart,
            ),
            (
                &[
                    "application/grpc",
                    "application/grpc+json",
                    "application/grpc-web+proto",
                ],
                MediaKind::Grpc,
            ),
            (
                &[
                    "application/grpc-web-text",
                    "application/grpc-web-text+proto",
                ],
                MediaKind::GrpcText,
            ),
            (
                &[
                    "text/csv",
                    "image/svg+xml",
                    "application/json5",
                    "application/toml",
                    "application/yaml",
                    "application/sql",
                    "application/atom+xml",
                ],
                MediaKind::Text,
            ),
            (
                &[
                    "application/octet-stream",
                    "application/zip",
                    "image/png",
                    "audio/wav",
                    "image/bmp",
                ],
                MediaKind::Binary,
            ),
            (
                &["", "application/vnd.acme", "application/grpcx", "x"],
                MediaKind::Unknown,
            ),
        ] {
            for essence in types {
                assert_eq!(MediaKind::of(essence), kind, "{essence}");
            }
        }
    }

    #[test]
    fn compressed_media_types_are_recognized() {
        for (essence, compressed) in [
            ("image/png", true),
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
            assert_eq!(is_compressed(essence), compressed, "{essence}");
        }
    }
}

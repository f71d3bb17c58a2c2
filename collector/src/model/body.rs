//! Bodies: how they are packed for the store, and how they are shown to a reader.

use std::borrow::Cow;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_wire::KeepCompressed;
use serde_json::value::RawValue;

/// Bodies below this many bytes are not worth compressing one by one.
const SMALLEST_TO_COMPRESS: usize = 256;
/// zstd's own default: about the ratio of gzip at many times its speed.
const ZSTD_LEVEL: i32 = 3;
/// No producer's body is longer; a stored body that claims to be is damaged.
const MAX_BODY_BYTES: u64 = dossier_wire::frame::MAX_BATCH_BYTES as u64;

/// How a body is packed in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As it came.
    Identity,
    /// One zstd frame.
    Zstd,
}

impl Codec {
    /// The name used in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zstd => "zstd",
        }
    }
}

/// A packed body that cannot be unpacked: the store is damaged.
#[derive(Debug, thiserror::Error)]
#[error("a stored body cannot be unpacked: {0}")]
pub struct Damaged(#[from] std::io::Error);

/// Packs a body as its route asks. `encoding` is that of its bytes, if they are in one: compressing
/// them again would be in vain.
#[must_use]
pub fn pack<'a>(
    body: &'a [u8],
    keep: KeepCompressed,
    encoding: Option<&str>,
) -> (Codec, Cow<'a, [u8]>) {
    let wanted = match keep {
        KeepCompressed::Always => !body.is_empty(),
        KeepCompressed::Never => false,
        KeepCompressed::Auto => body.len() >= SMALLEST_TO_COMPRESS && encoding.is_none(),
    };
    // Compressing to memory fails only for lack of memory; the body is then kept as it came.
    match wanted.then(|| zstd::bulk::compress(body, ZSTD_LEVEL)) {
        Some(Ok(packed)) if keep == KeepCompressed::Always || packed.len() < body.len() => {
            (Codec::Zstd, Cow::Owned(packed))
        }
        _ => (Codec::Identity, Cow::Borrowed(body)),
    }
}

/// Undoes [`pack`].
///
/// # Errors
/// [`Damaged`] if the bytes are not what `codec` says, or longer than any body may be.
pub fn unpack(codec: Codec, data: Vec<u8>) -> Result<Vec<u8>, Damaged> {
    match codec {
        Codec::Identity => Ok(data),
        Codec::Zstd => {
            let mut body = Vec::new();
            zstd::Decoder::new(data.as_slice())?
                .take(MAX_BODY_BYTES + 1)
                .read_to_end(&mut body)?;
            if body.len() as u64 > MAX_BODY_BYTES {
                return Err(Damaged(std::io::Error::other(
                    "it is longer than any body may be",
                )));
            }
            Ok(body)
        }
    }
}

/// A body as a reader sees it.
#[derive(Debug)]
pub enum Shown {
    /// A JSON value, its digits and key order untouched.
    Json(Box<RawValue>),
    /// Text.
    Text(String),
    /// Neither, in base64.
    Binary(String),
}

impl Shown {
    /// What kind of thing it is: `json`, `text` or `binary`.
    #[must_use]
    pub const fn form(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
        }
    }
}

/// Shows a body: as JSON if it is JSON, else as text if it is text, else in base64.
///
/// The content type decides what is tried; a body that is not what its type says is shown as what it
/// is. Bytes in a content encoding, which `encoding` then names, are neither JSON nor text.
#[must_use]
pub fn show(
    body: Vec<u8>,
    content_type: Option<&str>,
    encoding: Option<&str>,
    truncated: bool,
) -> Shown {
    let kind = Kind::of(content_type, encoding);
    if kind == Kind::Opaque {
        return Shown::Binary(STANDARD.encode(body));
    }
    let text = match String::from_utf8(body) {
        Ok(text) => text,
        // The cap may have cut a character in two: what stands before it is still text.
        Err(error) if truncated && error.utf8_error().error_len().is_none() => {
            let whole = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(whole);
            String::from_utf8(bytes).unwrap_or_default()
        }
        Err(error) => return Shown::Binary(STANDARD.encode(error.into_bytes())),
    };
    if kind == Kind::Text || truncated {
        return Shown::Text(text);
    }
    match RawValue::from_string(text.trim_ascii().to_owned()) {
        Ok(json) => Shown::Json(json),
        Err(_) => Shown::Text(text),
    }
}

#[derive(PartialEq, Eq)]
enum Kind {
    MaybeJson,
    Text,
    Opaque,
}

impl Kind {
    fn of(content_type: Option<&str>, encoding: Option<&str>) -> Self {
        if encoding.is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
            return Self::Opaque;
        }
        let Some(content_type) = content_type else {
            return Self::MaybeJson;
        };
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match essence.as_str() {
            "" | "application/json" => Self::MaybeJson,
            "application/xml"
            | "application/javascript"
            | "application/x-www-form-urlencoded"
            | "application/graphql"
            | "application/x-ndjson"
            | "application/yaml" => Self::Text,
            other if other.ends_with("+json") => Self::MaybeJson,
            other if other.starts_with("text/") || other.ends_with("+xml") => Self::Text,
            _ => Self::Opaque,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(body: &[u8], content_type: Option<&str>) -> Shown {
        show(body.to_vec(), content_type, None, false)
    }

    #[test]
    fn json_keeps_its_digits_order_and_duplicates() {
        let body = br#" {"b": 12345678901234567890.10, "a": 1, "a": 2} "#;
        let Shown::Json(json) = shown(body, Some("application/json; charset=utf-8")) else {
            panic!("not JSON")
        };
        assert_eq!(json.get().as_bytes(), body.trim_ascii());
    }

    #[test]
    fn a_body_is_shown_as_what_it_is() {
        for (body, content_type, form) in [
            (&b"{}"[..], Some("application/json"), "json"),
            (b"{}", Some("application/problem+json"), "json"),
            (b"{}", None, "json"),
            (b"{}", Some("text/plain"), "text"),
            (b"{\"cut", Some("application/json"), "text"),
            (b"hello", None, "text"),
            (b"\xff\xfe", Some("text/plain"), "binary"),
            (b"\xff\xfe", None, "binary"),
            (b"hello", Some("application/octet-stream"), "binary"),
            (b"a=b", Some("application/x-www-form-urlencoded"), "text"),
        ] {
            assert_eq!(shown(body, content_type).form(), form, "{content_type:?}");
        }
        assert_eq!(
            show(b"{}".to_vec(), None, Some("gzip"), false).form(),
            "binary"
        );
    }

    #[test]
    fn a_character_cut_by_the_cap_leaves_the_text_before_it() {
        let Shown::Text(text) = show(
            "né".as_bytes()[..2].to_vec(),
            Some("text/plain"),
            None,
            true,
        ) else {
            panic!("not text")
        };
        assert_eq!(text, "n");
    }

    #[test]
    fn a_damaged_body_is_an_error() {
        assert!(unpack(Codec::Zstd, b"no zstd frame".to_vec()).is_err());
    }

    #[test]
    fn packing_follows_the_route() {
        let body = vec![b'a'; 1000];
        assert_eq!(pack(&body, KeepCompressed::Auto, None).0, Codec::Zstd);
        assert_eq!(
            pack(&body, KeepCompressed::Auto, Some("gzip")).0,
            Codec::Identity
        );
        assert_eq!(pack(&body, KeepCompressed::Never, None).0, Codec::Identity);
        assert_eq!(
            pack(b"short", KeepCompressed::Auto, None).0,
            Codec::Identity
        );
        assert_eq!(pack(b"short", KeepCompressed::Always, None).0, Codec::Zstd);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(body in prop::collection::vec(any::<u8>(), 0..2000)) {
            for keep in [KeepCompressed::Auto, KeepCompressed::Always, KeepCompressed::Never] {
                let (codec, data) = pack(&body, keep, None);
                prop_assert_eq!(unpack(codec, data.into_owned()).unwrap(), body.clone());
            }
        }
    }
}

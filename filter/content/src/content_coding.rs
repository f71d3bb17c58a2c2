//! The names that `content-encoding` lists.

use crate::whitespace::trim;

/// A content coding of RFC 9110 or its registry that bodies are commonly sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentCoding {
    /// `identity`, or an empty name: none.
    Identity,
    /// `gzip`, `x-gzip`.
    Gzip,
    /// `deflate`: zlib by the standard, raw deflate by some senders.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl ContentCoding {
    /// The coding of this name, in any case and with spaces around it; none if it is not known.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = trim(name);
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if name.is_empty() || is("identity") {
            Some(Self::Identity)
        } else if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("deflate") {
            Some(Self::Deflate)
        } else if is("br") {
            Some(Self::Brotli)
        } else if is("zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn reads_names_in_any_case() {
        for (name, coding) in [
            ("", Some(ContentCoding::Identity)),
            ("Identity", Some(ContentCoding::Identity)),
            (" X-GZip ", Some(ContentCoding::Gzip)),
            ("gzip", Some(ContentCoding::Gzip)),
            ("DEFLATE", Some(ContentCoding::Deflate)),
            ("br", Some(ContentCoding::Brotli)),
            ("zstd", Some(ContentCoding::Zstd)),
            ("gzip, br", None),
            ("rot13", None),
        ] {
            assert_eq!(ContentCoding::from_name(name), coding, "{name:?}");
        }
    }
}

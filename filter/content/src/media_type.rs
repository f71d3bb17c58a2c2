//! A `content-type`: its essence (`type/subtype`) and its parameters.

use crate::whitespace::trim;

/// A media type as RFC 9110 writes it, `type/subtype; name=value`. Whatever a header holds can be read as one;
/// what is missing is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    essence: &'a str,
    parameters: &'a str,
}

impl<'a> MediaType<'a> {
    /// Divides a header value. A missing header is an empty one.
    #[must_use]
    pub fn parse(content_type: Option<&'a str>) -> Self {
        let text = content_type.unwrap_or_default();
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        Self {
            essence: trim(essence),
            parameters,
        }
    }

    /// Type and subtype as they were sent; compare them without regard to case.
    #[must_use]
    pub fn parts(&self) -> Option<(&'a str, &'a str)> {
        self.essence.split_once('/')
    }

    /// `type/subtype` in lower case.
    #[must_use]
    pub fn essence(&self) -> String {
        self.essence.to_ascii_lowercase()
    }

    /// The first parameter of this name, without its quotes.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        let value = self.parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            trim(key).eq_ignore_ascii_case(name).then_some(value)
        })?;
        Some(trim(value).trim_matches('"'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn reads_essence_and_parameters() {
        let media = MediaType::parse(Some(" Text/Plain ; a=b; CharSet=\"utf-8\""));
        assert_eq!(media.essence(), "text/plain");
        assert_eq!(media.parts(), Some(("Text", "Plain")));
        assert_eq!(media.parameter("charset"), Some("utf-8"));
        assert_eq!(media.parameter("A"), Some("b"));
        assert_eq!(media.parameter("boundary"), None);
    }

    #[test]
    fn missing_or_malformed_headers_are_empty() {
        for header in [None, Some(""), Some(";;==\"\u{1}é")] {
            let media = MediaType::parse(header);
            assert_eq!(media.essence(), "", "{header:?}");
            assert_eq!(media.parts(), None, "{header:?}");
            assert_eq!(media.parameter("charset"), None, "{header:?}");
        }
    }
}

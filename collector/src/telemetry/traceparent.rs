//! The `traceparent` header of W3C Trace Context: which trace a request belongs to.

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const SAMPLED: u8 = 1;
/// No version has this number.
const INVALID_VERSION: u8 = 0xff;
/// Of these four fields a `traceparent` of version 0 consists; later versions may append others.
const FIELDS: usize = 4;

/// The position in a trace that a caller sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Never 0.
    pub trace_id: u128,
    /// The id of the caller's span; never 0.
    pub parent_id: u64,
    /// Whether the caller records this trace.
    pub is_sampled: bool,
}

impl TraceParent {
    /// The one valid `traceparent` of a request. Of two, none is chosen.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value.to_str().ok()?)
    }

    /// Parses the header's value; none if it is not valid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(FIELDS + 1, '-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32).filter(|id| *id != 0)?;
        let parent_id = hex(fields.next()?, 16).filter(|id| *id != 0)?;
        let flags = hex(fields.next()?, 2)?;
        let has_more = fields.next().is_some();
        if version == u128::from(INVALID_VERSION) || (version == 0 && has_more) {
            return None;
        }
        Some(Self {
            trace_id,
            parent_id: u64::try_from(parent_id).ok()?,
            is_sampled: flags & u128::from(SAMPLED) != 0,
        })
    }
}

/// A number of exactly `digits` hexadecimal digits in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_valid = text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_valid
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn parses_valid_header() {
        let parsed = TraceParent::parse(VALID).unwrap();
        assert_eq!(parsed.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parsed.parent_id, 0x00f0_67aa_0ba9_02b7);
        assert!(parsed.is_sampled);
        let unsampled = VALID.replace("-01", "-00");
        assert!(!TraceParent::parse(&unsampled).unwrap().is_sampled);
    }

    #[test]
    fn accepts_fields_of_later_versions() {
        let later = format!("{}-more-fields", VALID.replace("00-4", "cc-4"));
        assert!(TraceParent::parse(&later).is_some());
    }

    #[test]
    fn rejects_malformed_headers() {
        for text in [
            "",
            "00",
            &VALID.replace("00-4", "ff-4"),
            &VALID.replace("4bf9", "4BF9"),
            &VALID.replace("4bf9", "4bf"),
            &VALID.replace("00f0", "+0f0"),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &format!("{VALID}-x"),
            &VALID.replace("-01", ""),
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ignores_repeated_header() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(TraceParent::read(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(TraceParent::read(&headers), None);
    }
}

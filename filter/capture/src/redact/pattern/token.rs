//! Credentials with a fixed format: bearer tokens, JSON web tokens, AWS access keys.

use std::ops::Range;

use memchr::memchr2_iter;
use memchr::memmem;

use super::bytes::{byte_before, count_leading, is_alphanumeric, slice};

const BEARER: &[u8] = b"bearer";
/// In prose, shorter words after "bearer" are English.
const MIN_TOKEN_BYTES: usize = 8;
/// `{"` in base64, with which every JSON web token begins.
pub(super) const JWT_START: &[u8] = b"eyJ";
const AWS_KEY_BYTES: usize = 20;

/// Finds tokens after the word "bearer", which is not part of the match.
pub(super) fn find_bearer(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    for at in memchr2_iter(b'b', b'B', text) {
        let end = at + BEARER.len();
        if !slice(text, at..end).eq_ignore_ascii_case(BEARER)
            || is_alphanumeric(byte_before(text, at))
        {
            continue;
        }
        let rest = text.get(end..).unwrap_or_default();
        let spaces = count_leading(rest, |byte| matches!(byte, b' ' | b'\t'));
        let token = count_leading(rest.get(spaces..).unwrap_or_default(), is_token);
        // A header's value consists of the word and the token alone.
        let whole = at == 0 && end + spaces + token == text.len() && token > 0;
        if spaces > 0 && (whole || token >= MIN_TOKEN_BYTES) {
            found(end + spaces..end + spaces + token);
        }
    }
}

fn is_token(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

pub(super) fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Finds tokens of three parts, and encrypted ones of five.
pub(super) fn find_jwt(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(start) = memmem::find(text.get(from..).unwrap_or_default(), JWT_START) {
        let start = from + start;
        let rest = text.get(start..).unwrap_or_default();
        let mut end = count_leading(rest, is_base64url);
        // A token that began inside this part would be followed by the same dots.
        from = start + end;
        let mut dots = 0;
        while rest.get(end) == Some(&b'.') {
            dots += 1;
            end += 1;
            end += count_leading(rest.get(end..).unwrap_or_default(), is_base64url);
        }
        if dots >= 2 {
            found(start..start + end);
            from = start + end;
        }
    }
}

/// Finds the identifiers of long-lived and of temporary keys.
pub(super) fn find_aws_key(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    for prefix in [b"AKIA", b"ASIA"] {
        for start in memmem::find_iter(text, prefix) {
            let end = start + AWS_KEY_BYTES;
            let key = slice(text, start..end);
            let upper = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            if key.len() == AWS_KEY_BYTES
                && key.iter().all(upper)
                && !is_alphanumeric(byte_before(text, start))
                && !is_alphanumeric(text.get(end).copied())
            {
                found(start..end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::redact::pattern::tests::finds;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_token_after_bearer() {
        for (text, expected) in [
            ("Bearer x", &["x"][..]),
            ("bEARER  abc.def~+/=", &["abc.def~+/="]),
            ("authorization: Bearer abcdefgh, x", &["abcdefgh"]),
            ("the bearer of bad news", &[]),
            ("forbearer abcdefghijk Bearer", &[]),
            ("Bearer ", &[]),
        ] {
            assert_eq!(finds("bearer_token", text), expected, "{text}");
        }
    }

    #[test]
    fn finds_web_tokens() {
        for (text, expected) in [
            (
                "eyJhbGciOi.eyJzdWIi.c2ln-_x",
                &["eyJhbGciOi.eyJzdWIi.c2ln-_x"][..],
            ),
            ("a=eyJhbGciOi.eyJzdWIi.;", &["eyJhbGciOi.eyJzdWIi."]),
            ("eyJa.b.c.d.e f", &["eyJa.b.c.d.e"]),
            ("eyJa.eyJb eyJc.eyJd.e", &["eyJc.eyJd.e"]),
            ("eyJhbGciOi and eyJ.x", &[]),
        ] {
            assert_eq!(finds("jwt", text), expected, "{text}");
        }
    }

    #[test]
    fn finds_aws_keys() {
        for (text, expected) in [
            ("AKIAIOSFODNN7EXAMPLE", &["AKIAIOSFODNN7EXAMPLE"][..]),
            ("key=ASIAIOSFODNN7EXAMPLE;", &["ASIAIOSFODNN7EXAMPLE"]),
            (
                "AKIAIOSFODNN7EXAMPL AKIAIOSFODNN7EXAMPLEX xAKIAIOSFODNN7EXAMPLE",
                &[],
            ),
            ("AKIAIOSFODNN7EXAMPLe", &[]),
        ] {
            assert_eq!(finds("aws_key", text), expected, "{text}");
        }
    }
}

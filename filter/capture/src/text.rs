//! Texts from the traffic: limited in length, always valid UTF-8.

/// Truncates at a character boundary. Invalid UTF-8 is replaced by U+FFFD, so that what the client sent
/// stays recognisable.
pub(crate) fn truncate(bytes: &[u8], max: usize) -> String {
    truncate_flagged(bytes, max).0
}

/// Like [`truncate`], and tells whether the text was too long.
pub(crate) fn truncate_flagged(bytes: &[u8], max: usize) -> (String, bool) {
    // Nearly all texts are short and valid, and validation is much cheaper than replacement.
    if bytes.len() <= max
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return (text.to_owned(), false);
    }
    // A replacement takes three bytes for one, so the limit is applied twice.
    let mut text = String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes)).into_owned();
    let truncated = text.len() > max || bytes.len() > max;
    if truncated {
        // The first limit may have split a character, whose remains must not be replaced by U+FFFD.
        let end = match bytes.get(..max).map(std::str::from_utf8) {
            Some(Err(error)) if error.error_len().is_none() => error.valid_up_to(),
            _ => max,
        };
        text.truncate(text.floor_char_boundary(end.min(max)));
    }
    (text, truncated)
}

/// The default endpoint of a path: a leading slash, single slashes, no trailing slash. Case and
/// percent-encoding stay as they are.
pub(crate) fn normalize_path(path: &str) -> String {
    let mut endpoint = String::with_capacity(path.len() + 1);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        endpoint.push('/');
        endpoint.push_str(segment);
    }
    if endpoint.is_empty() {
        endpoint.push('/');
    }
    endpoint
}

/// Splits `:path` into path and query. A fragment should never reach a server; if one does, it stays in
/// the query or the path.
pub(crate) fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(mark) => {
            let (path, query) = target.split_at_checked(mark).unwrap_or((target, &[]));
            (path, query.get(1..))
        }
        None => (target, None),
    }
}

/// Decodes `%41` and `+` as in the parameters of a query. Invalid escapes stay as they are.
pub(crate) fn decode_query_value(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        decoded.push(match (byte, tail) {
            (b'+', _) => b' ',
            (b'%', &[high, low, ref tail @ ..]) => match (hex_digit(high), hex_digit(low)) {
                (Some(high), Some(low)) => {
                    rest = tail;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => byte,
        });
    }
    decoded
}

fn hex_digit(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn truncates_at_character() {
        assert_eq!(truncate(b"short", 8), "short");
        assert_eq!(truncate(b"12345678", 8), "12345678");
        assert_eq!(truncate(b"123456789", 8), "12345678");
        assert_eq!(truncate("1234567é".as_bytes(), 8), "1234567");
        assert_eq!(truncate("123456é8".as_bytes(), 8), "123456é");
        assert_eq!(truncate(b"a\xffb", 8), "a\u{fffd}b");
        assert!(truncate(&[0xff; 100], 8).len() <= 8);
        assert_eq!(
            truncate_flagged(b"12345678", 8),
            ("12345678".to_owned(), false)
        );
        assert_eq!(
            truncate_flagged(b"123456789", 8),
            ("12345678".to_owned(), true)
        );
        assert!(truncate_flagged(&[0xff; 8], 8).1);
    }

    #[test]
    fn normalizes_paths() {
        for (path, filed) in [
            ("/", "/"),
            ("", "/"),
            ("*", "/*"),
            ("/Users/", "/Users"),
            ("//a///b//", "/a/b"),
            ("/a%2Fb", "/a%2Fb"),
        ] {
            assert_eq!(normalize_path(path), filed);
        }
    }

    #[test]
    fn query_starts_at_first_question_mark() {
        assert_eq!(split_query(b"/a?b=c?d"), (&b"/a"[..], Some(&b"b=c?d"[..])));
        assert_eq!(split_query(b"/a?"), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(split_query(b"/a"), (&b"/a"[..], None));
    }

    #[test]
    fn decodes_query_escapes() {
        assert_eq!(decode_query_value(b"a%2Fb+c%3d"), b"a/b c=");
        assert_eq!(decode_query_value(b"100%"), b"100%");
        assert_eq!(decode_query_value(b"%4"), b"%4");
        assert_eq!(decode_query_value(b"%zz%41"), b"%zzA");
    }
}

//! Text taken from the traffic: bounded in length, always valid UTF-8.

/// The text of some bytes, cut at a character's boundary if it is longer than the bound. Bytes that
/// are not UTF-8 become U+FFFD, so that what the client sent stays recognisable.
pub(crate) fn bounded(bytes: &[u8], most: usize) -> String {
    beginning(bytes, most).0
}

/// The same, and whether it was cut.
pub(crate) fn beginning(bytes: &[u8], most: usize) -> (String, bool) {
    // Nearly all texts are short and sound, and checking them is a fraction of mending them.
    if bytes.len() <= most
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return (text.to_owned(), false);
    }
    // A lossy character can take three bytes for one, so the bound is applied twice.
    let mut text = String::from_utf8_lossy(bytes.get(..most).unwrap_or(bytes)).into_owned();
    let cut = text.len() > most || bytes.len() > most;
    if cut {
        // The first cut may have split a character: its pieces at the end are not the client's.
        let split = match bytes.get(..most).map(std::str::from_utf8) {
            Some(Err(error)) if error.error_len().is_none() => error.valid_up_to(),
            _ => most,
        };
        text.truncate(text.floor_char_boundary(split.min(most)));
    }
    (text, cut)
}

/// The path in the form entries are filed under: a leading slash, single slashes, none at the end.
/// Letters keep their case, and percent-encoding stays as it is.
pub(crate) fn endpoint(path: &str) -> String {
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

/// Path and query of `:path`. A fragment never reaches a server; if one does, it stays in the query
/// or the path.
pub(crate) fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(mark) => {
            let (path, query) = target.split_at_checked(mark).unwrap_or((target, &[]));
            (path, query.get(1..))
        }
        None => (target, None),
    }
}

/// Undoes `%41` and `+` as the parameters of a query have them. What is no escape stays as it is.
pub(crate) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        decoded.push(match (byte, behind) {
            (b'+', _) => b' ',
            (b'%', &[high, low, ref further @ ..]) => match (nibble(high), nibble(low)) {
                (Some(high), Some(low)) => {
                    rest = further;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => byte,
        });
    }
    decoded
}

fn nibble(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(bounded(b"short", 8), "short");
        assert_eq!(bounded(b"12345678", 8), "12345678");
        assert_eq!(bounded(b"123456789", 8), "12345678");
        assert_eq!(bounded("1234567é".as_bytes(), 8), "1234567");
        assert_eq!(bounded("123456é8".as_bytes(), 8), "123456é");
        assert_eq!(bounded(b"a\xffb", 8), "a\u{fffd}b");
        assert!(bounded(&[0xff; 100], 8).len() <= 8);
        assert_eq!(beginning(b"12345678", 8), ("12345678".to_owned(), false));
        assert_eq!(beginning(b"123456789", 8), ("12345678".to_owned(), true));
        assert!(beginning(&[0xff; 8], 8).1);
    }

    #[test]
    fn endpoints_are_paths_in_one_form() {
        for (path, filed) in [
            ("/", "/"),
            ("", "/"),
            ("*", "/*"),
            ("/Users/", "/Users"),
            ("//a///b//", "/a/b"),
            ("/a%2Fb", "/a%2Fb"),
        ] {
            assert_eq!(endpoint(path), filed);
        }
    }

    #[test]
    fn a_query_begins_at_the_first_question_mark() {
        assert_eq!(split_query(b"/a?b=c?d"), (&b"/a"[..], Some(&b"b=c?d"[..])));
        assert_eq!(split_query(b"/a?"), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(split_query(b"/a"), (&b"/a"[..], None));
    }

    #[test]
    fn escapes_of_a_query_are_undone() {
        assert_eq!(percent_decoded(b"a%2Fb+c%3d"), b"a/b c=");
        assert_eq!(percent_decoded(b"100%"), b"100%");
        assert_eq!(percent_decoded(b"%4"), b"%4");
        assert_eq!(percent_decoded(b"%zz%41"), b"%zzA");
    }
}

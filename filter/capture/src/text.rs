//! Texts from the traffic: limited in length, always valid UTF-8.

use dossier_wire::{TruncatedField, TruncatedFields};

/// The beginning of a text, within a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Truncated {
    pub(crate) text: String,
    /// It was longer.
    pub(crate) was_longer: bool,
}

impl Truncated {
    /// The text, after `fields` got `field` if it was longer.
    pub(crate) fn mark(self, field: TruncatedField, fields: &mut TruncatedFields) -> String {
        fields.insert_if(self.was_longer, field);
        self.text
    }

    /// Truncates what became longer by replacements.
    pub(crate) fn again(mut self, max: usize) -> Self {
        self.was_longer |= self.text.len() > max;
        self.text.truncate(self.text.floor_char_boundary(max));
        self
    }
}

/// Truncates at a character boundary. What is not UTF-8 is read as ISO-8859-1, as headers once
/// were by definition.
pub(crate) fn truncate(bytes: &[u8], max: usize) -> Truncated {
    // Nearly all texts are short and valid, and validation is much cheaper than replacement.
    if bytes.len() <= max
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Truncated {
            text: text.to_owned(),
            was_longer: false,
        };
    }
    let beginning = bytes.get(..max).unwrap_or(bytes);
    let was_longer = bytes.len() > max;
    // The bound may have split a character, whose remains must not be read as others.
    let whole = match std::str::from_utf8(beginning) {
        Err(error) if was_longer && error.error_len().is_none() => error.valid_up_to(),
        _ => beginning.len(),
    };
    let whole = beginning.get(..whole).unwrap_or(beginning);
    let text = match std::str::from_utf8(whole) {
        Ok(text) => text.to_owned(),
        Err(_) => whole.iter().copied().map(char::from).collect(),
    };
    // Half of ISO-8859-1 takes two bytes for one.
    Truncated { text, was_longer }.again(max)
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
        let truncated = |bytes: &[u8]| {
            let Truncated { text, was_longer } = truncate(bytes, 8);
            (text, was_longer)
        };
        for (bytes, text, was_longer) in [
            (&b"short"[..], "short", false),
            (b"12345678", "12345678", false),
            (b"123456789", "12345678", true),
            ("1234567é".as_bytes(), "1234567", true),
            ("123456é8".as_bytes(), "123456é", true),
            (b"a\xffb", "a\u{ff}b", false),
            // An invalid byte before the bound and a character across it.
            (b"1\xff34567\xc3\xa9", "1\u{ff}34567", true),
            (b"\xff\xff\xff\xff\xff", "\u{ff}\u{ff}\u{ff}\u{ff}", true),
            (b"12345\xc3", "12345\u{c3}", false),
        ] {
            assert_eq!(truncated(bytes), (text.to_owned(), was_longer), "{text}");
        }
    }

    #[test]
    fn longer_text_marks_field() {
        let mut fields = TruncatedFields::default();
        truncate(b"short", 5).mark(TruncatedField::Path, &mut fields);
        assert!(fields.is_empty());
        truncate(b"longer", 5).mark(TruncatedField::Query, &mut fields);
        assert_eq!(fields.iter().collect::<Vec<_>>(), [TruncatedField::Query]);
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

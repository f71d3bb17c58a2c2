//! Decodes the escapes in JSON strings.

use std::ops::Range;

use memchr::memchr;

/// A part of a string's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StringPart {
    /// Bytes without escapes.
    Plain(Range<usize>),
    /// An escape and its character.
    Escape(Range<usize>, char),
}

/// Splits a string's content. Unknown escapes mean the character after the backslash, as for lenient
/// parsers; half a surrogate pair means U+FFFD.
pub(crate) fn split_string(content: &[u8]) -> impl Iterator<Item = StringPart> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = content.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let plain = memchr(b'\\', rest).unwrap_or(rest.len());
        if plain > 0 {
            at += plain;
            return Some(StringPart::Plain(start..at));
        }
        let escape = parse_escape(rest);
        at += escape.map_or(1, |(length, _)| length);
        Some(match escape {
            Some((_, character)) => StringPart::Escape(start..at, character),
            None => StringPart::Plain(start..at),
        })
    })
}

pub(super) fn unescape(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.len());
    for piece in split_string(content) {
        match piece {
            StringPart::Plain(range) => text.extend(content.get(range).unwrap_or_default()),
            StringPart::Escape(_, character) => {
                text.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    text
}

/// Length and character of the escape at the beginning; none if it is invalid.
fn parse_escape(rest: &[u8]) -> Option<(usize, char)> {
    let character = match rest.get(1)? {
        b'u' => return parse_unicode(rest),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        byte if byte.is_ascii() => char::from(*byte),
        _ => return None,
    };
    Some((2, character))
}

fn parse_unicode(rest: &[u8]) -> Option<(usize, char)> {
    let first = parse_unit(rest)?;
    let low = || parse_unit(rest.get(6..)?).filter(|unit| (0xdc00..0xe000).contains(unit));
    if (0xd800..0xdc00).contains(&first)
        && let Some(low) = low()
    {
        let pair = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        return Some((12, char::from_u32(pair)?));
    }
    let character = char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((6, character))
}

/// The UTF-16 unit of `\u` and four digits.
fn parse_unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn decodes_escapes() {
        for (content, text) in [
            ("plain", "plain"),
            (r"\u0070assword", "password"),
            (r#"a\"\\\/\b\f\n\r\tz"#, "a\"\\/\u{8}\u{c}\n\r\tz"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\uD83D\uDE00", "😀"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00\ud83dx", "\u{fffd}\u{fffd}x"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\q", "q"),
            (r"\u00", r"\u00"),
            (r"\u00zz", r"\u00zz"),
            ("\\", "\\"),
            ("", ""),
        ] {
            let unescaped = String::from_utf8(unescape(content.as_bytes())).unwrap();
            assert_eq!(unescaped, text, "{content}");
        }
        assert_eq!(unescape(b"\\\xff\xfe"), b"\\\xff\xfe");
    }
}

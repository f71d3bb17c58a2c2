//! Decodes bytes to text, by charset.

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// `None` if the bytes are not text in the charset. A byte order mark takes precedence over the charset, and
/// is left out. No replacement characters are used: readers could take them for what was sent.
///
/// If `cut`, an incomplete last character is left out.
pub(super) fn decode_text(
    bytes: &[u8],
    charset: Option<&'static Encoding>,
    cut: bool,
) -> Option<String> {
    let declared = (charset.unwrap_or(UTF_8), 0);
    let (charset, mark_bytes) = Encoding::for_bom(bytes).unwrap_or(declared);
    let bytes = bytes.get(mark_bytes..)?;
    let mut decoder = charset.new_decoder_without_bom_handling();
    let max_bytes = decoder.max_utf8_buffer_length_without_replacement(bytes.len())?;
    let mut text = String::with_capacity(max_bytes);
    let (result, _) = decoder.decode_to_string_without_replacement(bytes, &mut text, !cut);
    (result == DecoderResult::InputEmpty).then_some(text)
}

/// JSON is UTF-8, whatever its content type says; but some producers write UTF-16, which the first character
/// reveals, since that is ASCII in JSON.
pub(super) fn detect_json_charset(
    bytes: &[u8],
    declared: Option<&'static Encoding>,
) -> Option<&'static Encoding> {
    match bytes {
        [0, 1..=255, ..] => Some(UTF_16BE),
        [1..=255, 0, ..] => Some(UTF_16LE),
        _ if std::str::from_utf8(bytes).is_ok() => Some(UTF_8),
        _ => declared,
    }
}

/// Whether somebody can read it: no control characters but those of lines and tabs.
pub(super) fn is_printable(text: &str) -> bool {
    text.chars()
        .all(|it| !it.is_control() || it.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use encoding_rs::{REPLACEMENT, SHIFT_JIS, WINDOWS_1252};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_text_in_its_charset() {
        for (bytes, charset, read) in [
            (&b"caf\xc3\xa9"[..], None, Some("café")),
            (b"caf\xe9", Some(WINDOWS_1252), Some("café")),
            (b"\x93\xfa\x96\x7b", Some(SHIFT_JIS), Some("日本")),
            (b"\xef\xbb\xbfhi", None, Some("hi")),
            (b"\xff\xfeh\0i\0", None, Some("hi")),
            (b"\xfe\xff\0h\0i", Some(UTF_8), Some("hi")),
            (b"caf\xe9", None, None),
            (b"caf\xe9", Some(UTF_8), None),
            (b"h\0i", Some(UTF_16LE), None),
            (b"anything", Some(REPLACEMENT), None),
            (b"", Some(SHIFT_JIS), Some("")),
        ] {
            assert_eq!(
                decode_text(bytes, charset, false).as_deref(),
                read,
                "{charset:?} {bytes:?}"
            );
        }
    }

    #[test]
    fn incomplete_last_character_is_left_out() {
        for (bytes, charset) in [
            (&b"n\xc3"[..], None),
            (b"n\x93", Some(SHIFT_JIS)),
            (b"n\0\xe9", Some(UTF_16LE)),
        ] {
            assert_eq!(decode_text(bytes, charset, true).as_deref(), Some("n"));
            assert_eq!(decode_text(bytes, charset, false), None);
        }
    }

    #[test]
    fn json_unicode_overrides_declared_charset() {
        for (bytes, declared, charset) in [
            (&b"{\0}\0"[..], None, Some(UTF_16LE)),
            (b"\0{\0}", Some(UTF_16LE), Some(UTF_16BE)),
            (b"{}", Some(WINDOWS_1252), Some(UTF_8)),
            (b"\"\xe9\"", Some(WINDOWS_1252), Some(WINDOWS_1252)),
            (b"\"\xe9\"", None, None),
            (b"\0", None, Some(UTF_8)),
        ] {
            assert_eq!(detect_json_charset(bytes, declared), charset, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn default_charset_is_strict_utf_8(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assume!(Encoding::for_bom(&bytes).is_none());
            prop_assert_eq!(decode_text(&bytes, None, false), String::from_utf8(bytes).ok());
        }
    }
}

//! Telephone numbers: international with a plus, and the North American form. Digits alone are none.

use std::ops::Range;

use memchr::{memchr_iter, memchr2_iter};

use super::bytes::{byte_before, count_leading, is_alphanumeric};

const MIN_DIGITS: usize = 8;
const MAX_DIGITS: usize = 15;
/// Between two groups, as in `+49 (0) 170`.
const MAX_SEPARATORS: usize = 2;
/// Formats of national numbers: `0` stands for any digit.
const BRACKETED: [&[u8]; 4] = [
    b"(000) 000-0000",
    b"(000)000-0000",
    b"(000) 000 0000",
    b"(000) 000.0000",
];
const DASHED: [&[u8]; 2] = [b"000-000-0000", b"000.000.0000"];

pub(super) fn find(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    for plus in memchr_iter(b'+', text) {
        if !is_alphanumeric(byte_before(text, plus))
            && let Some(end) = match_international(text, plus + 1)
        {
            found(plus..end);
        }
    }
    for bracket in memchr_iter(b'(', text) {
        find_national(text, bracket, &BRACKETED, found);
    }
    for mark in memchr2_iter(b'-', b'.', text) {
        if let Some(start) = mark.checked_sub(3) {
            find_national(text, start, &DASHED, found);
        }
    }
}

/// The end of the number whose country code begins here.
fn match_international(text: &[u8], start: usize) -> Option<usize> {
    let mut digits = 0;
    let mut at = start;
    let mut end = start;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let group = count_leading(rest, |byte| byte.is_ascii_digit());
        digits += group;
        if group == 0 || digits > MAX_DIGITS {
            digits -= group;
            return (digits >= MIN_DIGITS).then_some(end);
        }
        end = at + group;
        let marks = count_leading(rest.get(group..).unwrap_or_default(), is_separator);
        at = end + marks.min(MAX_SEPARATORS);
    }
}

pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
}

fn find_national(text: &[u8], start: usize, forms: &[&[u8]], found: &mut dyn FnMut(Range<usize>)) {
    let written = |form: &&&[u8]| {
        let end = start + form.len();
        text.get(start..end).is_some_and(|number| {
            let alike = |(byte, form): (&u8, &u8)| match form {
                b'0' => byte.is_ascii_digit(),
                mark => byte == mark,
            };
            number.iter().zip(**form).all(alike)
                && !is_alphanumeric(byte_before(text, start))
                && !is_alphanumeric(text.get(end).copied())
        })
    };
    if let Some(form) = forms.iter().find(written) {
        found(start..start + form.len());
    }
}

#[cfg(test)]
mod tests {
    use crate::redact::pattern::tests::finds;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_numbers() {
        for (text, expected) in [
            ("+4917012345678", &["+4917012345678"][..]),
            ("tel:+49 (0) 170 1234-567.", &["+49 (0) 170 1234-567"]),
            (
                "+1 (415) 555-2671 x",
                &["+1 (415) 555-2671", "(415) 555-2671"],
            ),
            ("+44 20 7946 0958 4111111111111111", &["+44 20 7946 0958"]),
            ("call (415) 555-2671 now", &["(415) 555-2671"]),
            ("(415)555-2671", &["(415)555-2671"]),
            ("1-800-555-0199", &["800-555-0199"]),
            ("415.555.2671", &["415.555.2671"]),
            (
                "1732468440004 4155552671 +1234567, 1+23456789 2024-11-24",
                &[],
            ),
            (
                "+1234567890123456 192.168.100.1 a415-555-2671 415-555-26712",
                &[],
            ),
        ] {
            assert_eq!(finds("phone", text), expected, "{text}");
        }
    }
}

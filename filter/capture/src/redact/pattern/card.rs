//! Payment cards: 13 to 19 digits with a valid check digit, in one or more groups.

use std::ops::Range;

use super::bytes::{byte_before, count_leading};

const MIN_DIGITS: usize = 13;
const MAX_DIGITS: usize = 19;
/// Dates and times have groups of two; cards are printed in groups of at least three.
const MIN_GROUP_DIGITS: usize = 3;

pub(super) fn find(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let start = at + count_leading(rest, |byte| !byte.is_ascii_digit());
        let group = count_leading(text.get(start..).unwrap_or_default(), |byte| {
            byte.is_ascii_digit()
        });
        at = start + group;
        if group >= MIN_GROUP_DIGITS
            && !is_fraction(text, start)
            && let Some(end) = match_card(text, start)
        {
            found(start..end);
            at = end;
        }
    }
}

/// Whether these are the digits after a decimal point.
fn is_fraction(text: &[u8], start: usize) -> bool {
    byte_before(text, start) == Some(b'.')
        && byte_before(text, start - 1).is_some_and(|byte| byte.is_ascii_digit())
}

/// The end of the longest card number that begins here. It consists of whole groups.
fn match_card(text: &[u8], start: usize) -> Option<usize> {
    let mut digits = [0; MAX_DIGITS];
    let mut count = 0;
    let mut group = 0;
    let mut at = start;
    let mut end = None;
    loop {
        let byte = text.get(at).copied();
        if let Some(digit) = byte.filter(u8::is_ascii_digit) {
            let Some(slot) = digits.get_mut(count) else {
                return end;
            };
            *slot = digit - b'0';
            count += 1;
            group += 1;
        } else {
            if group < MIN_GROUP_DIGITS {
                return end;
            }
            if is_card(digits.get(..count).unwrap_or_default()) {
                end = Some(at);
            }
            let more = text.get(at + 1).is_some_and(u8::is_ascii_digit);
            if !more || !matches!(byte, Some(b' ' | b'-')) {
                return end;
            }
            group = 0;
        }
        at += 1;
    }
}

/// Besides the check digit, numbers with rare first digits must have the length that their issuers use:
/// otherwise one time stamp in ten would be a card.
fn is_card(digits: &[u8]) -> bool {
    let issued = match digits.first() {
        Some(2..=6) => digits.len() >= MIN_DIGITS,
        Some(1) => digits.len() == 15,
        Some(8 | 9) => digits.len() == 16,
        _ => false,
    };
    issued && has_valid_check_digit(digits)
}

fn has_valid_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let doubled = u32::from(*digit) << (index % 2);
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use crate::redact::pattern::tests::finds;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_cards() {
        for (text, expected) in [
            ("4111111111111111", &["4111111111111111"][..]),
            ("4111 1111 1111 1111", &["4111 1111 1111 1111"]),
            ("4111-1111-1111-1111.", &["4111-1111-1111-1111"]),
            ("3782 822463 10005", &["3782 822463 10005"]),
            ("4222222222222", &["4222222222222"]),
            ("4000000000000000006", &["4000000000000000006"]),
            ("4111 1111 1111 1111 123", &["4111 1111 1111 1111"]),
            ("123 4111 1111 1111 1111", &["4111 1111 1111 1111"]),
            ("4111 1111 1111 1111 12/27", &["4111 1111 1111 1111"]),
            ("No.4111111111111111x", &["4111111111111111"]),
            (
                "5555555555554444,4111111111111111",
                &["5555555555554444", "4111111111111111"],
            ),
            // A wrong check digit, too long, time stamps, fractions, dates, two spaces.
            ("4111111111111112", &[]),
            ("41111111111111111111", &[]),
            ("1732468440004", &[]),
            ("0.4111111111111111", &[]),
            ("2024-11-24 17-14-00 00", &[]),
            ("4111  1111  1111  1111", &[]),
        ] {
            assert_eq!(finds("credit_card", text), expected, "{text}");
        }
    }
}

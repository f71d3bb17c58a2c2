//! International bank account numbers: a country, two check digits, an account; modulo 97 is 1.

use std::ops::Range;

use super::bytes::{byte_before, count_leading, is_alphanumeric};

const MIN_CHARACTERS: usize = 15;
const MAX_CHARACTERS: usize = 34;

pub(super) fn find(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let start = at + count_leading(rest, |byte| !byte.is_ascii_alphanumeric());
        let word = count_leading(text.get(start..).unwrap_or_default(), |byte| {
            byte.is_ascii_alphanumeric()
        });
        at = start + word;
        if let Some(end) = match_iban(text, start) {
            found(start..end);
            at = end;
        }
    }
}

/// Whether two letters and two digits begin here, not inside a word.
pub(super) fn starts_iban(text: &[u8], start: usize) -> bool {
    parse_head(text, start).is_some() && !is_alphanumeric(byte_before(text, start))
}

fn parse_head(text: &[u8], start: usize) -> Option<&[u8; 4]> {
    let head = text.get(start..)?.first_chunk::<4>()?;
    let [a, b, c, d] = head;
    let fits = a.is_ascii_alphabetic()
        && b.is_ascii_alphabetic()
        && c.is_ascii_digit()
        && d.is_ascii_digit();
    fits.then_some(head)
}

/// The end of the longest number that begins here. It ends with a word.
fn match_iban(text: &[u8], start: usize) -> Option<usize> {
    let head = parse_head(text, start)?;
    let mut account = 0;
    let mut count = head.len();
    let mut at = start + count;
    let mut end = None;
    loop {
        let byte = text.get(at).copied();
        if let Some(character) = byte.filter(u8::is_ascii_alphanumeric) {
            if count == MAX_CHARACTERS {
                return end;
            }
            account = append_character(account, character);
            count += 1;
        } else {
            if count >= MIN_CHARACTERS
                && head.iter().fold(account, |n, c| append_character(n, *c)) == 1
            {
                end = Some(at);
            }
            if !matches!(byte, Some(b' ' | b'-')) || !is_alphanumeric(text.get(at + 1).copied()) {
                return end;
            }
        }
        at += 1;
    }
}

/// Appends a character to the number, modulo 97. Letters count from 10.
fn append_character(number: u32, character: u8) -> u32 {
    let value = char::from(character).to_digit(36).unwrap_or_default();
    let shift = if value < 10 { 10 } else { 100 };
    (number * shift + value) % 97
}

#[cfg(test)]
mod tests {
    use crate::redact::pattern::tests::finds;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_accounts() {
        for (text, expected) in [
            ("DE89370400440532013000", &["DE89370400440532013000"][..]),
            (
                "DE89 3704 0044 0532 0130 00 and",
                &["DE89 3704 0044 0532 0130 00"],
            ),
            (
                "pay to GB29 NWBK 6016 1331 9268 19.",
                &["GB29 NWBK 6016 1331 9268 19"],
            ),
            ("gb29nwbk60161331926819", &["gb29nwbk60161331926819"]),
            ("NO9386011117947", &["NO9386011117947"]),
            (
                "MT84MALT011000012345MTLCAST001S",
                &["MT84MALT011000012345MTLCAST001S"],
            ),
            ("DE88370400440532013000", &[]),
            ("XDE89370400440532013000", &[]),
            ("DE8937040044053201300012", &[]),
            ("DE89", &[]),
        ] {
            assert_eq!(finds("iban", text), expected, "{text}");
        }
    }
}

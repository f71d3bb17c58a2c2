//! Finds the part of a truncated text that may be the beginning of a secret. Whether `4111 1111 11` or
//! `alice@exa` would have matched is unknown, so whatever may match is removed.

use memchr::memmem;

use super::bytes::{MAX_TAIL_BYTES, slice};
use super::kinds::Pattern;
use super::{iban, phone, token};

/// The longest written form of a number: 34 characters with spaces between them, and a margin.
const MAX_NUMBER_BYTES: usize = 80;

/// The offset of the uncertain part.
pub(in crate::redact) fn find_uncertain_tail<'p>(
    patterns: impl Iterator<Item = &'p Pattern>,
    text: &[u8],
) -> usize {
    let length = text.len();
    let start = last_word_start(text)
        .min(web_token_start(text))
        .min(number_start(text))
        .min(account_start(text));
    patterns
        .map(|pattern| length.saturating_sub(pattern.max_tail_bytes().saturating_sub(1)))
        .fold(start, usize::min)
}

/// The last word, up to its limit.
fn last_word_start(text: &[u8]) -> usize {
    let space = |byte: &u8| byte.is_ascii_whitespace();
    let start = text.iter().rposition(space).map_or(0, |space| space + 1);
    start.max(text.len().saturating_sub(MAX_TAIL_BYTES))
}

/// The beginning of a JSON web token of any length.
fn web_token_start(text: &[u8]) -> usize {
    let part = |byte: &&u8| token::is_base64url(**byte) || **byte == b'.';
    let run = text.iter().rev().take_while(part).count();
    let start = text.len() - run;
    memmem::find(slice(text, start..text.len()), token::JWT_START)
        .map_or(text.len(), |found| start + found)
}

/// Groups of digits: a card or a telephone number.
fn number_start(text: &[u8]) -> usize {
    let part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'+' || phone::is_separator(**byte);
    let run = text.iter().rev().take_while(part).count();
    text.len() - run.min(MAX_NUMBER_BYTES)
}

/// Groups of letters and digits that begin with a country and two check digits.
fn account_start(text: &[u8]) -> usize {
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b' ' | b'-');
    let run = text.iter().rev().take_while(part).count();
    let start = text.len() - run.min(MAX_NUMBER_BYTES);
    (start..text.len())
        .find(|start| iban::starts_iban(text, *start))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::pattern::CustomRegex;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn without_tail(text: &str) -> &str {
        &text[..find_uncertain_tail(std::iter::empty(), text.as_bytes())]
    }

    #[test]
    fn removes_possible_beginning_of_match() {
        for (text, expected) in [
            ("write to alice@exa", "write to "),
            ("the card 4111 1111 11", "the card"),
            ("the card 4111-1111 ", "the card"),
            ("call +49 (170) 12", "call"),
            ("pay DE89 3704 0044 0", "pay "),
            ("pay GB29 NWBK 60", "pay "),
            ("Bearer abc", "Bearer "),
            ("some words ", "some words"),
            ("some words", "some "),
            ("", ""),
        ] {
            assert_eq!(without_tail(text), expected, "{text}");
        }
    }

    #[test]
    fn removes_word_up_to_limit_except_tokens() {
        let long = "x".repeat(MAX_TAIL_BYTES + 10);
        assert_eq!(without_tail(&long).len(), 10);
        let token = format!("a eyJ{long}.b{long}");
        assert_eq!(without_tail(&token), "a ");
        let digits = "1 ".repeat(500);
        assert_eq!(without_tail(&digits).len(), digits.len() - MAX_NUMBER_BYTES);
    }

    #[test]
    fn custom_regex_with_spaces_extends_tail() {
        let own = Pattern::custom("order", CustomRegex::compile("ORD [0-9]{8}").unwrap());
        let text = b"my order ORD 1234567";
        assert!(find_uncertain_tail([&own].into_iter(), text) <= 9);
        let endless = Pattern::custom("key", CustomRegex::compile("BEGIN[^-]+-").unwrap());
        let text = [&b"x "[..], b"BEGIN one two", &b" three"[..]].concat();
        assert_eq!(find_uncertain_tail([&endless].into_iter(), &text), 0);
        let long = b"word ".repeat(MAX_TAIL_BYTES);
        let tail = find_uncertain_tail([&endless].into_iter(), &long);
        assert_eq!(long.len() - tail, MAX_TAIL_BYTES - 1);
    }
}

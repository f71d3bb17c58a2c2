//! Small questions about bytes that the patterns have in common.

use std::ops::Range;

/// Most bytes that are removed at a cut: of an unbroken word, or of what a regular expression may span.
pub(super) const MAX_TAIL_BYTES: usize = 4096;

pub(super) fn slice(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

/// The byte before a place.
pub(super) fn byte_before(text: &[u8], at: usize) -> Option<u8> {
    text.get(at.checked_sub(1)?).copied()
}

/// Whether a letter or digit stands there.
pub(super) fn is_alphanumeric(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// How many bytes at the beginning of the text are of a kind.
pub(super) fn count_leading(text: &[u8], kind: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| kind(**byte)).count()
}

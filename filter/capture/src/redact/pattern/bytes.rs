//! Helpers of the patterns for bytes.

use std::ops::Range;

/// Limits what is removed at a cut: of a long word, or of what a regular expression may span.
pub(super) const MAX_TAIL_BYTES: usize = 4096;

pub(super) fn slice(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

pub(super) fn byte_before(text: &[u8], at: usize) -> Option<u8> {
    text.get(at.checked_sub(1)?).copied()
}

pub(super) fn is_alphanumeric(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// The number of leading bytes that match.
pub(super) fn count_leading(text: &[u8], kind: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| kind(**byte)).count()
}

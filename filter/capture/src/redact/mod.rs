//! Takes secrets out of what is recorded: values at JSON paths, headers and query parameters by name,
//! and whatever looks like a secret, by pattern. Compiled once, at configuration.
//!
//! Only the spans that are replaced change. Work is linear in the bytes, times the number of patterns,
//! times the layers of escapes.

mod body;
mod body_format;
mod counts;
mod escaping;
mod events;
mod form;
mod grpc;
mod hash;
mod json;
mod pattern;
mod rules;
mod search;
mod span_editor;
mod text;

pub(crate) use body::decode_body;
pub use body::{RawBody, RedactedBody};
pub use counts::RedactionCounts;
pub use hash::{HashKey, KeyTooShort, MIN_KEY_BYTES};
pub use pattern::RegexError;
pub(crate) use pattern::{CustomRegex, MAX_REGEX_BYTES, Pattern};
pub use rules::Redaction;
pub(crate) use rules::{NameRules, PathRules, Replacement, UnreadablePolicy};
pub use text::RawText;

#[cfg(test)]
mod tests;

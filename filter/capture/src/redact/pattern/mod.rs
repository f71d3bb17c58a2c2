//! What secrets look like in text: the named patterns and those that a configuration brings along.
//! Each reads a text in linear time.

mod bytes;
mod card;
mod custom_regex;
mod email;
mod iban;
mod kinds;
mod phone;
mod tail;
mod token;

pub use custom_regex::RegexError;
pub(crate) use custom_regex::{CustomRegex, MAX_REGEX_BYTES};
pub(crate) use kinds::Pattern;
pub(super) use tail::tail;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a named pattern finds.
    pub(in super::super) fn finds(name: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let pattern = Pattern::built_in(name).unwrap();
        pattern.find(text.as_bytes(), &mut |range| {
            found.push(text[range].to_owned());
        });
        found
    }
}

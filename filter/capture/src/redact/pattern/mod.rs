//! Patterns of secrets: built-in ones, and regular expressions of the configuration. Each searches a
//! text in linear time.

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
pub(super) use tail::find_uncertain_tail;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn finds(name: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let pattern = Pattern::built_in(name).unwrap();
        pattern.find(text.as_bytes(), &mut |range| {
            found.push(text[range].to_owned());
        });
        found
    }
}

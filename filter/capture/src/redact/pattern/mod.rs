//! What secrets look like in text: the named patterns and those that a configuration brings along.
//! Each reads a text in linear time.

mod card;
mod email;
mod iban;
mod own;
mod phone;
mod tail;
mod token;

use std::ops::Range;
use std::rc::Rc;

pub use own::RegexError;
pub(crate) use own::{MAX_REGEX_BYTES, Own};
pub(super) use tail::tail;

/// A pattern and the name that its finds are counted under.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    pub(super) name: Rc<str>,
    shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Named(Named),
    Own(Own),
}

/// The patterns that have a name of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Email,
    CreditCard,
    BearerToken,
    AwsKey,
    Jwt,
    Iban,
    Phone,
}

impl Named {
    const ALL: [(&'static str, Self); 7] = [
        ("email", Self::Email),
        ("credit_card", Self::CreditCard),
        ("bearer_token", Self::BearerToken),
        ("aws_key", Self::AwsKey),
        ("jwt", Self::Jwt),
        ("iban", Self::Iban),
        ("phone", Self::Phone),
    ];
}

impl Pattern {
    /// The pattern of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (name, named) = Named::ALL.iter().find(|(known, _)| *known == name)?;
        Some(Self {
            name: (*name).into(),
            shape: Shape::Named(*named),
        })
    }

    /// The names that [`Self::named`] knows.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Named::ALL.iter().map(|(name, _)| *name)
    }

    /// A regular expression under a name.
    pub(crate) fn own(name: &str, regex: Own) -> Self {
        Self {
            name: name.into(),
            shape: Shape::Own(regex),
        }
    }

    /// Tells where in the text the pattern matches.
    pub(super) fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        match &self.shape {
            Shape::Named(Named::Email) => email::find(text, found),
            Shape::Named(Named::CreditCard) => card::find(text, found),
            Shape::Named(Named::BearerToken) => token::find_bearer(text, found),
            Shape::Named(Named::AwsKey) => token::find_aws_key(text, found),
            Shape::Named(Named::Jwt) => token::find_jwt(text, found),
            Shape::Named(Named::Iban) => iban::find(text, found),
            Shape::Named(Named::Phone) => phone::find(text, found),
            Shape::Own(own) => own.find(text, found),
        }
    }

    /// How many bytes at a cut may belong to a match whose rest is missing, besides those that may
    /// belong to a named pattern's.
    fn reach(&self) -> usize {
        match &self.shape {
            Shape::Named(_) => 0,
            Shape::Own(own) => own.reach(),
        }
    }
}

fn slice(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

/// The byte before a place.
fn before(text: &[u8], at: usize) -> Option<u8> {
    text.get(at.checked_sub(1)?).copied()
}

/// Whether a letter or digit stands there.
fn is_alphanumeric(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// How many bytes at the beginning of the text are of a kind.
fn run(text: &[u8], kind: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| kind(**byte)).count()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a named pattern finds.
    pub(in super::super) fn finds(name: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let pattern = Pattern::named(name).unwrap();
        pattern.find(text.as_bytes(), &mut |range| {
            found.push(text[range].to_owned());
        });
        found
    }
}

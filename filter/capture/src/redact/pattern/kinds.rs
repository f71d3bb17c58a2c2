//! The patterns by name: those that are built in, and those of a configuration.

use std::ops::Range;
use std::rc::Rc;

use super::custom_regex::CustomRegex;
use super::{card, email, iban, phone, token};

/// A pattern and the name that its finds are counted under.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    pub(in crate::redact) name: Rc<str>,
    kind: PatternKind,
}

#[derive(Debug, Clone, PartialEq)]
enum PatternKind {
    BuiltIn(BuiltIn),
    Custom(CustomRegex),
}

/// The patterns that have a name of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BuiltIn {
    Email,
    CreditCard,
    BearerToken,
    AwsKey,
    Jwt,
    Iban,
    Phone,
}

impl BuiltIn {
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
    pub(crate) fn built_in(name: &str) -> Option<Self> {
        let (name, named) = BuiltIn::ALL.iter().find(|(known, _)| *known == name)?;
        Some(Self {
            name: (*name).into(),
            kind: PatternKind::BuiltIn(*named),
        })
    }

    /// The names that [`Self::built_in`] knows.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        BuiltIn::ALL.iter().map(|(name, _)| *name)
    }

    /// A regular expression under a name.
    pub(crate) fn custom(name: &str, regex: CustomRegex) -> Self {
        Self {
            name: name.into(),
            kind: PatternKind::Custom(regex),
        }
    }

    /// Tells where in the text the pattern matches.
    pub(in crate::redact) fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        match &self.kind {
            PatternKind::BuiltIn(BuiltIn::Email) => email::find(text, found),
            PatternKind::BuiltIn(BuiltIn::CreditCard) => card::find(text, found),
            PatternKind::BuiltIn(BuiltIn::BearerToken) => token::find_bearer(text, found),
            PatternKind::BuiltIn(BuiltIn::AwsKey) => token::find_aws_key(text, found),
            PatternKind::BuiltIn(BuiltIn::Jwt) => token::find_jwt(text, found),
            PatternKind::BuiltIn(BuiltIn::Iban) => iban::find(text, found),
            PatternKind::BuiltIn(BuiltIn::Phone) => phone::find(text, found),
            PatternKind::Custom(regex) => regex.find(text, found),
        }
    }

    /// How many bytes at a cut may belong to a match whose rest is missing, besides those that may
    /// belong to a named pattern's.
    pub(super) fn max_tail_bytes(&self) -> usize {
        match &self.kind {
            PatternKind::BuiltIn(_) => 0,
            PatternKind::Custom(regex) => regex.max_tail_bytes(),
        }
    }
}

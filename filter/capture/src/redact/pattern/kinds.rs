//! All patterns by name: the built-in ones, and those of a configuration.

use std::ops::Range;
use std::rc::Rc;

use super::custom_regex::CustomRegex;
use super::{card, email, iban, phone, token};

/// A pattern and the rule name of its matches.
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
    /// None if there is no built-in pattern of this name.
    pub(crate) fn built_in(name: &str) -> Option<Self> {
        let (name, named) = BuiltIn::ALL.iter().find(|(known, _)| *known == name)?;
        Some(Self {
            name: (*name).into(),
            kind: PatternKind::BuiltIn(*named),
        })
    }

    /// The names of the built-in patterns.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        BuiltIn::ALL.iter().map(|(name, _)| *name)
    }

    pub(crate) fn custom(name: &str, regex: CustomRegex) -> Self {
        Self {
            name: name.into(),
            kind: PatternKind::Custom(regex),
        }
    }

    /// Reports the matches in a text.
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

    /// How many bytes at a cut may belong to an incomplete match, beyond those that may belong to a
    /// built-in pattern.
    pub(super) fn max_tail_bytes(&self) -> usize {
        match &self.kind {
            PatternKind::BuiltIn(_) => 0,
            PatternKind::Custom(regex) => regex.max_tail_bytes(),
        }
    }
}

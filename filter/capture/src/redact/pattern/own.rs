//! Regular expressions from the configuration. They work on bytes and know ASCII classes only: the
//! tables of Unicode would make the filter several times as large.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{self, Ast, Flag};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{ErrorKind, Hir};

/// Longest regular expression, in bytes.
pub(crate) const MAX_REGEX_BYTES: usize = 512;
/// Largest compiled program, and largest cache while it runs, in bytes.
const MAX_PROGRAM_BYTES: usize = 256 << 10;
/// Deepest nesting.
const MAX_NESTING: u32 = 32;

/// A compiled regular expression. Two are equal when they are written alike.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    regex: Regex,
    /// Longest match in bytes, if there is such a length.
    longest: Option<usize>,
}

/// Why a text is not a regular expression that can be used. Each says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// Longer than 512 bytes.
    #[error("a regular expression of at most {MAX_REGEX_BYTES} bytes")]
    TooLong,
    /// It does not follow the syntax.
    #[error("a regular expression ({0})")]
    Syntax(String),
    /// It needs tables that the filter does not carry.
    #[error(
        "a regular expression without Unicode classes or letters that are not ASCII; write such a letter as its bytes, like \\xC3\\xA9"
    )]
    Unicode,
    /// It matches where nothing stands, or never.
    #[error("a regular expression that matches at least one character, and not nothing")]
    Empty,
    /// Its program would be too large.
    #[error("a smaller regular expression: write fewer or shorter repetitions")]
    TooLarge,
}

impl Own {
    /// Compiles a regular expression.
    pub(crate) fn compile(text: &str) -> Result<Self, RegexError> {
        if text.len() > MAX_REGEX_BYTES {
            return Err(RegexError::TooLong);
        }
        let parsed = parse(text)?;
        let properties = parsed.properties();
        if properties.minimum_len().is_none_or(|length| length == 0) {
            return Err(RegexError::Empty);
        }
        let regex = RegexBuilder::new(text)
            .unicode(false)
            .nest_limit(MAX_NESTING)
            .size_limit(MAX_PROGRAM_BYTES)
            .dfa_size_limit(MAX_PROGRAM_BYTES)
            .build()
            .map_err(|_| RegexError::TooLarge)?;
        Ok(Self {
            regex,
            longest: properties.maximum_len(),
        })
    }

    pub(super) const fn longest(&self) -> Option<usize> {
        self.longest
    }

    pub(super) fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        for matched in self.regex.find_iter(text) {
            found(matched.range());
        }
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

/// The expression taken apart, without Unicode. A flag may not bring it back: whether its tables are
/// there depends on what else is linked, and the native checker must say what the filter will say.
fn parse(text: &str) -> Result<Hir, RegexError> {
    let tree = ast::parse::ParserBuilder::new()
        .nest_limit(MAX_NESTING)
        .build()
        .parse(text)
        .map_err(|error| RegexError::Syntax(error.kind().to_string()))?;
    ast::visit(&tree, NoUnicode)?;
    TranslatorBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .translate(text, &tree)
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidUtf8 | ErrorKind::InvalidLineTerminator => {
                RegexError::Syntax(error.kind().to_string())
            }
            _ => RegexError::Unicode,
        })
}

/// Refuses the flag that turns Unicode on.
struct NoUnicode;

impl ast::Visitor for NoUnicode {
    type Output = ();
    type Err = RegexError;

    fn finish(self) -> Result<(), RegexError> {
        Ok(())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), RegexError> {
        let flags = match tree {
            Ast::Flags(set) => Some(&set.flags),
            Ast::Group(group) => group.flags(),
            _ => None,
        };
        match flags.and_then(|flags| flags.flag_state(Flag::Unicode)) {
            Some(true) => Err(RegexError::Unicode),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn matches_are_found() {
        let own = Own::compile(r"ORD-\d{8}\b").unwrap();
        let mut found = Vec::new();
        own.find(b"ORD-12345678, ORD-123456789 ORD-00000000", &mut |range| {
            found.push(range);
        });
        assert_eq!(found, [0..12, 28..40]);
        assert_eq!(own.longest(), Some(12));
        assert_eq!(own, Own::compile(r"ORD-\d{8}\b").unwrap());
        assert_ne!(own, Own::compile("ORD").unwrap());
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let error = |text: &str| Own::compile(text).unwrap_err();
        assert_eq!(error("(a"), RegexError::Syntax("unclosed group".into()));
        for text in [r"\p{Greek}", "é[ü]", r"(?u)\w", r"a(?iu:\d)"] {
            assert!(
                matches!(error(text), RegexError::Unicode),
                "{text}: {:?}",
                error(text)
            );
        }
        for text in ["", "a*", "^", "$", r"\b", "a?|b", "(a|)", "[a&&b]"] {
            assert_eq!(error(text), RegexError::Empty, "{text}");
        }
    }

    #[test]
    fn text_and_program_are_bounded() {
        assert!(Own::compile(&"a".repeat(MAX_REGEX_BYTES)).is_ok());
        let long = "a".repeat(MAX_REGEX_BYTES + 1);
        assert_eq!(Own::compile(&long), Err(RegexError::TooLong));
        assert_eq!(
            Own::compile("(a{100}){100}{100}"),
            Err(RegexError::TooLarge)
        );
        let nested = ["(".repeat(40), "a".into(), ")".repeat(40)].concat();
        assert!(matches!(Own::compile(&nested), Err(RegexError::Syntax(_))));
    }
}

//! Parameters that say the same thing twice, and which of them counts: one warning for all of them.

use crate::http::envelope::{Severity, Warning};

/// What was given twice.
#[derive(Debug, Default)]
pub(in crate::api) struct Precedence(Vec<&'static str>);

impl Precedence {
    /// Notes what was given twice and what is used, in a sentence.
    pub(in crate::api) fn note(&mut self, sentence: &'static str) {
        self.0.push(sentence);
    }

    /// The warning, if anything was given twice.
    pub(in crate::api) fn warning(&self) -> Option<Warning> {
        (!self.0.is_empty()).then(|| Warning {
            code: "PARAMETER_PRECEDENCE",
            message: self.0.join(" "),
            severity: Severity::Low,
            details: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_given_twice_is_one_warning() {
        let mut precedence = Precedence::default();
        assert!(precedence.warning().is_none());
        precedence.note("One.");
        precedence.note("Two.");
        assert_eq!(precedence.warning().unwrap().message, "One. Two.");
    }
}

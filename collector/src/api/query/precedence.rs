//! `PARAMETER_PRECEDENCE`: the request said the same thing twice, and this is what was used.

use crate::http::envelope::{Severity, Warning};

#[derive(Debug, Default)]
pub(in crate::api) struct Precedence(Vec<&'static str>);

impl Precedence {
    /// Adds a sentence that says what was given twice and what was used.
    pub(in crate::api) fn add(&mut self, sentence: &'static str) {
        self.0.push(sentence);
    }

    /// One warning for everything that was given twice.
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
    fn all_sentences_share_one_warning() {
        let mut precedence = Precedence::default();
        assert!(precedence.warning().is_none());
        precedence.add("One.");
        precedence.add("Two.");
        assert_eq!(precedence.warning().unwrap().message, "One. Two.");
    }
}

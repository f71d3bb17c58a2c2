//! Counts replaced values by rule, never the values.

use std::collections::BTreeMap;
use std::rc::Rc;

/// Counts of one half of an exchange by the names of rules: `$.password`, `header:x-api-key`,
/// `query:token`, `email`; `unreadable` counts events that were replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedactionCounts(BTreeMap<Rc<str>, u32>);

impl RedactionCounts {
    pub(super) fn add(&mut self, rule: &Rc<str>) {
        let count = self.0.entry(Rc::clone(rule)).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (rule, more) in &other.0 {
            let count = self.0.entry(Rc::clone(rule)).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// Rules and counts, sorted by rule.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(rule, count)| (&**rule, *count))
    }

    /// Whether nothing was replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum over all rules.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().map(|count| u64::from(*count)).sum()
    }
}

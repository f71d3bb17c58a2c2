//! Rules that can record nothing, for whoever checks a configuration.

use std::fmt;

use super::Rules;
use crate::config::plan::{CapturePlan, StorageType};

/// A rule that records nothing, unless the own keys of a route make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleRule {
    /// Counted from 0.
    pub number: usize,
    /// What makes it so.
    pub reason: IdleReason,
}

/// Why nothing is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleReason {
    /// `storage_type` says so.
    StorageType,
    /// `sample` is 0.
    Sample,
    /// `when.status` is an empty list.
    Status,
    /// `match.methods` is an empty list.
    Methods,
    /// Everything it matches, an earlier rule of this number matches.
    Shadowed(usize),
}

impl IdleReason {
    /// Whether this is how to leave something out, and not a mistake.
    #[must_use]
    pub fn is_deliberate(self) -> bool {
        self == Self::StorageType
    }

    pub(in crate::config) fn of_plan(plan: &CapturePlan) -> Option<Self> {
        if plan.storage == StorageType::None {
            Some(Self::StorageType)
        } else if plan.sample.is_zero() {
            Some(Self::Sample)
        } else {
            plan.when.is_never().then_some(Self::Status)
        }
    }
}

impl fmt::Display for IdleReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StorageType => formatter.write_str("storage_type is none"),
            Self::Sample => formatter.write_str("sample is 0"),
            Self::Status => formatter.write_str("when.status is empty"),
            Self::Methods => formatter.write_str("match.methods is empty"),
            Self::Shadowed(number) => {
                write!(
                    formatter,
                    "routes[{number}] before it matches all that it matches"
                )
            }
        }
    }
}

impl Rules {
    /// The rules that can record nothing.
    #[must_use]
    pub fn find_idle(&self) -> Vec<IdleRule> {
        let reason = |number: usize| {
            let rule = self.table.get(number)?;
            let earlier = self.table.get(..number)?;
            let shadow = earlier
                .iter()
                .position(|earlier| earlier.matcher.covers(&rule.matcher));
            let reason = if rule.matcher.matches_nothing() {
                Some(IdleReason::Methods)
            } else {
                shadow.map(IdleReason::Shadowed)
            };
            reason.or_else(|| IdleReason::of_plan(&rule.plan))
        };
        (0..self.table.len())
            .filter_map(|number| reason(number).map(|reason| IdleRule { number, reason }))
            .collect()
    }

    /// Whether nothing is recorded but on routes with own keys.
    #[must_use]
    pub fn only_routes_record(&self) -> bool {
        self.table.is_empty() && self.defaults.plan.storage == StorageType::None
    }
}

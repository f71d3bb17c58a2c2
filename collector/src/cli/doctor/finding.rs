//! A line for each check: its verdict, and if it is not ok, what to do.

use std::fmt;

/// The result of one check.
#[derive(Debug)]
pub(super) struct Finding {
    check: &'static str,
    verdict: Verdict,
}

/// The verdict of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok(String),
    /// It works, but needs attention.
    Warn {
        state: String,
        advice: String,
    },
    /// It does not work, or is unsafe.
    Fail {
        state: String,
        advice: String,
    },
}

impl Verdict {
    pub(super) fn ok(state: &str) -> Self {
        Self::Ok(state.to_owned())
    }

    pub(super) fn warn(state: &str, advice: &str) -> Self {
        Self::Warn {
            state: state.to_owned(),
            advice: advice.to_owned(),
        }
    }

    pub(super) fn fail(state: &str, advice: &str) -> Self {
        Self::Fail {
            state: state.to_owned(),
            advice: advice.to_owned(),
        }
    }
}

impl Finding {
    pub(super) const fn new(check: &'static str, verdict: Verdict) -> Self {
        Self { check, verdict }
    }

    pub(super) const fn is_failure(&self) -> bool {
        matches!(self.verdict, Verdict::Fail { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = self.check;
        match &self.verdict {
            Verdict::Ok(state) => write!(f, "ok    {check}: {state}"),
            Verdict::Warn { state, advice } => write!(f, "warn  {check}: {state}: {advice}"),
            Verdict::Fail { state, advice } => write!(f, "fail  {check}: {state}: {advice}"),
        }
    }
}

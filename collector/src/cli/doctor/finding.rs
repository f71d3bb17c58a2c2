//! What was found: a line that says whether it is good, and if not, what to do.

use std::fmt;

/// A thing that was looked at.
#[derive(Debug)]
pub(super) struct Finding {
    what: &'static str,
    verdict: Verdict,
}

/// Whether it is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Ok(String),
    /// It works, but somebody should look after it.
    Warn { told: String, advice: String },
    /// It does not work, or not safely.
    Fail { told: String, advice: String },
}

impl Verdict {
    pub(super) fn ok(told: &str) -> Self {
        Self::Ok(told.to_owned())
    }

    pub(super) fn warn(told: &str, advice: &str) -> Self {
        Self::Warn {
            told: told.to_owned(),
            advice: advice.to_owned(),
        }
    }

    pub(super) fn fail(told: &str, advice: &str) -> Self {
        Self::Fail {
            told: told.to_owned(),
            advice: advice.to_owned(),
        }
    }
}

impl Finding {
    pub(super) const fn new(what: &'static str, verdict: Verdict) -> Self {
        Self { what, verdict }
    }

    pub(super) const fn is_failure(&self) -> bool {
        matches!(self.verdict, Verdict::Fail { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what;
        match &self.verdict {
            Verdict::Ok(told) => write!(f, "ok    {what}: {told}"),
            Verdict::Warn { told, advice } => write!(f, "warn  {what}: {told}: {advice}"),
            Verdict::Fail { told, advice } => write!(f, "fail  {what}: {told}: {advice}"),
        }
    }
}

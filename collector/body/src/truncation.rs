//! Why a rendered body is not all of the body, and how long its lists may be.

/// Limit of listed events or frames of one body.
pub(crate) const MAX_LISTED: usize = 10_000;

/// Why a rendered body is not the body as its sender meant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// It exceeds a limit: this is its beginning.
    OverLimit,
    /// Its bytes end early, or are damaged: this is what precedes that.
    BrokenOff,
    /// Its bytes are still in their content encoding, or were never in it.
    NotDecoded,
}

impl Truncation {
    /// The name used in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverLimit => "over_limit",
            Self::BrokenOff => "broken_off",
            Self::NotDecoded => "not_decoded",
        }
    }

    pub(crate) const fn is_cut(self) -> bool {
        matches!(self, Self::OverLimit | Self::BrokenOff)
    }
}

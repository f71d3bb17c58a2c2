//! Why a rendered body is not all of the body, and how long its lists may be.

use strum::IntoStaticStr;

/// Limit of listed events or frames of one body.
pub(crate) const MAX_LISTED: usize = 10_000;

/// Why a rendered body is not the body as its sender meant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Truncation {
    /// It exceeds a limit: this is its beginning.
    OverLimit,
    /// Its bytes end early, or are damaged: this is what precedes that.
    BrokenOff,
    /// Its bytes are still in their content encoding, or were never in it.
    NotDecoded,
    /// It is JSON that not every parser reads, or holds some: that is shown as text.
    NotPortable,
}

impl Truncation {
    pub(crate) const fn is_cut(self) -> bool {
        matches!(self, Self::OverLimit | Self::BrokenOff)
    }
}

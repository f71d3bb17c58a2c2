//! The current time on both clocks of the host, in microseconds.

use std::cell::OnceCell;

use crate::host::Host;

/// The time during one callback. Each clock is read on first use: that is a hostcall, and most exchanges
/// need neither at their end.
pub(crate) struct Now<'h> {
    host: &'h dyn Host,
    wall: OnceCell<u64>,
    steady: OnceCell<u64>,
}

impl<'h> Now<'h> {
    /// Reads no clock yet.
    pub(crate) const fn new(host: &'h dyn Host) -> Self {
        Self {
            host,
            wall: OnceCell::new(),
            steady: OnceCell::new(),
        }
    }

    /// Since the Unix epoch, for records.
    pub(crate) fn wall(&self) -> u64 {
        *self.wall.get_or_init(|| self.host.wall_clock())
    }

    /// On a clock that is never set back, for measuring durations.
    pub(crate) fn steady(&self) -> u64 {
        *self.steady.get_or_init(|| self.host.steady_clock())
    }
}

//! A moment on both of the host's clocks, in microseconds.

use std::cell::OnceCell;

use crate::host::Host;

/// A moment. Each clock is read when it is first asked for: reading one leaves the VM, and most
/// exchanges need neither at their end.
pub struct Now<'h> {
    host: &'h dyn Host,
    wall: OnceCell<u64>,
    steady: OnceCell<u64>,
}

impl<'h> Now<'h> {
    /// The moment at which the host is.
    pub const fn of(host: &'h dyn Host) -> Self {
        Self {
            host,
            wall: OnceCell::new(),
            steady: OnceCell::new(),
        }
    }

    /// Since the Unix epoch, for what is told.
    pub fn wall(&self) -> u64 {
        *self.wall.get_or_init(|| self.host.wall_clock())
    }

    /// On a clock that is never set back, for what is measured.
    pub fn steady(&self) -> u64 {
        *self.steady.get_or_init(|| self.host.steady_clock())
    }
}

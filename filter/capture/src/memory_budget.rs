//! The memory limit of a VM. wasm never returns memory, so whatever the filter once used stays with the
//! proxy: the limit must hold at every moment.
//!
//! It counts bodies of running streams, the open batch, and batches not yet acknowledged. Working memory
//! on top of it is one exchange and the sealing of one batch.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes in use, and their limit.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    used: Cell<usize>,
    limit: Cell<usize>,
}

impl MemoryBudget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            used: Cell::new(0),
            limit: Cell::new(limit),
        }
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.get()
    }

    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether records of this size fit. A little is reserved for loss reports and for sealing.
    pub(crate) fn fits_record(&self, bytes: usize) -> bool {
        const RESERVED_BYTES: usize = 4 << 10;
        self.used.get().saturating_add(bytes) <= self.limit.get().saturating_sub(RESERVED_BYTES)
    }

    /// Whether bodies of this size fit. They are dropped first, so that records still fit when memory is
    /// short.
    pub(crate) fn fits_body(&self, bytes: usize) -> bool {
        self.used.get().saturating_add(bytes) <= self.limit.get() / 10 * 9
    }
}

/// A part of the budget, released on drop.
#[derive(Debug)]
pub(crate) struct MemoryReservation {
    budget: Rc<MemoryBudget>,
    bytes: usize,
}

impl MemoryReservation {
    pub(crate) const fn new(budget: Rc<MemoryBudget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Replaces the reserved size.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let others = self.budget.used.get().saturating_sub(self.bytes);
        self.budget.used.set(others.saturating_add(bytes));
        self.bytes = bytes;
    }

    pub(crate) fn grow(&mut self, bytes: usize) {
        self.resize(self.bytes.saturating_add(bytes));
    }

    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.resize(0);
    }
}

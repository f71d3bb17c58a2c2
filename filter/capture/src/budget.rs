//! One budget of memory for a whole VM. wasm never gives memory back, so what the filter once held
//! stays with the proxy for good: the bound must hold at every moment.
//!
//! It counts what waits: bodies of running streams, the open batch, and batches not yet acknowledged.
//! Working memory on top of it is one exchange and the sealing of one batch.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes held, and how many may be.
#[derive(Debug)]
pub(crate) struct Budget {
    held: Cell<usize>,
    limit: Cell<usize>,
}

impl Budget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            held: Cell::new(0),
            limit: Cell::new(limit),
        }
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.get()
    }

    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    /// Room for records. A little is kept back for accounts of losses and for sealing.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        const KEPT_BACK: usize = 4 << 10;
        self.held.get().saturating_add(bytes) <= self.limit.get().saturating_sub(KEPT_BACK)
    }

    /// Room for bodies: they are the first to go, so that records still fit when memory runs short.
    pub(crate) fn has_room_for_body(&self, bytes: usize) -> bool {
        self.held.get().saturating_add(bytes) <= self.limit.get() / 10 * 9
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Lease {
    pub(crate) const fn new(budget: Rc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Holds so many bytes from now on, whatever was held before.
    pub(crate) fn set(&mut self, bytes: usize) {
        let others = self.budget.held.get().saturating_sub(self.bytes);
        self.budget.held.set(others.saturating_add(bytes));
        self.bytes = bytes;
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_add(bytes));
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.set(0);
    }
}

//! State that all streams and outboxes of one VM share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use uuid::Uuid;

use crate::compression_limiter::CompressionLimiter;
use crate::host::Host;
use crate::ids::IdGenerator;
use crate::memory_budget::MemoryBudget;
use crate::metrics_buffer::MetricsBuffer;
use crate::warnings::WarningLog;

/// One for each VM; single-threaded.
#[derive(Debug)]
pub(crate) struct SharedState {
    pub(crate) budget: Rc<MemoryBudget>,
    pub(crate) compression_limiter: CompressionLimiter,
    pub(crate) metrics: MetricsBuffer,
    pub(crate) warnings: WarningLog,
    /// Whether the exchange that began last is recorded: a prediction for the next one.
    pub(crate) recorded_last: Cell<bool>,
    ids: RefCell<IdGenerator>,
}

impl SharedState {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self {
            budget: Rc::new(MemoryBudget::new(budget_bytes)),
            compression_limiter: CompressionLimiter::default(),
            metrics: MetricsBuffer::default(),
            warnings: WarningLog::default(),
            recorded_last: Cell::default(),
            ids: RefCell::default(),
        }
    }

    pub(crate) fn uuid(&self, host: &impl Host, wall_micros: u64) -> Uuid {
        self.ids.borrow_mut().uuid(host, wall_micros)
    }

    pub(crate) fn random_below(&self, host: &impl Host, bound: u64) -> u64 {
        self.ids.borrow_mut().random_below(host, bound)
    }
}

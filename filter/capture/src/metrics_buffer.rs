//! Buffers counters in the VM until they are flushed to the host: a hostcall for each event would cost
//! more than the event.

use std::cell::Cell;

use crate::host::Host;
use crate::metrics::Counter;

/// Counts since the last flush.
#[derive(Debug, Default)]
pub(crate) struct MetricsBuffer {
    counts: [Cell<u64>; Counter::ALL.len()],
    outbox_bytes: Cell<u64>,
}

impl MetricsBuffer {
    pub(crate) fn increment(&self, counter: Counter, by: u64) {
        if let Some(count) = self.counts.get(counter as usize) {
            count.set(count.get().saturating_add(by));
        }
    }

    /// Passes all changes on to the host.
    pub(crate) fn flush(&self, host: &impl Host, held: usize) {
        for (counter, count) in Counter::ALL.into_iter().zip(&self.counts) {
            let by = count.take();
            if by > 0 {
                host.increment(counter, by);
            }
        }
        let held = held as u64;
        let before = self.outbox_bytes.replace(held);
        if held != before {
            host.adjust_outbox_bytes(held.cast_signed().wrapping_sub(before.cast_signed()));
        }
    }
}

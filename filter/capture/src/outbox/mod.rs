//! Collects records into batches and delivers each exactly once to one collector, within the VM's memory
//! budget.
//!
//! It is a state machine: time and responses come in, batches to send go out. It makes no calls itself, so
//! nothing can call back into it while it works.

mod backoff;
mod batch;
mod destination;
mod gaps;

use std::collections::VecDeque;
use std::rc::Rc;

use dossier_wire::compression::{BatchCompressor, Compression};
use dossier_wire::{BatchLimitExceeded, BodyMissing, Encoder, GapReason};
use uuid::Uuid;

use crate::config::BatchSettings;
use crate::host::{CollectorResponse, Host};
use crate::memory_budget::MemoryReservation;
use crate::metrics::Counter;
use crate::now::Now;
use crate::shared::SharedState;
use crate::warnings::WarningKind;
use backoff::Backoff;
pub(crate) use batch::PendingRecord;
use batch::{OpenBatch, PushError, SealedBatch, push_all};
pub(crate) use destination::Destination;
use gaps::PendingGaps;

/// The batches of one collector.
#[derive(Debug)]
pub(crate) struct Outbox {
    shared: Rc<SharedState>,
    destination: Rc<Destination>,
    open: Option<OpenBatch>,
    /// Compresses the open batch. The compression is chosen when the batch is opened.
    compressor: BatchCompressor,
    queue: VecDeque<Rc<SealedBatch>>,
    in_flight: Vec<InFlightCall>,
    /// Memory of all sealed batches that are not acknowledged.
    sealed_bytes: usize,
    reservation: MemoryReservation,
    gaps: PendingGaps,
    backoff: Backoff,
}

#[derive(Debug)]
struct InFlightCall {
    token: u32,
    sealed: Rc<SealedBatch>,
    /// When to stop waiting for the response: none comes if the context that made the call was deleted.
    until: u64,
}

/// How long after its timeout a call may still get a response.
const RESPONSE_GRACE_MICROS: u64 = 5_000_000;

impl Outbox {
    pub(crate) fn new(shared: Rc<SharedState>, destination: Rc<Destination>) -> Self {
        let reservation = MemoryReservation::new(Rc::clone(&shared.budget));
        let compressor = BatchCompressor::new(destination.batch.compression);
        Self {
            shared,
            destination,
            open: None,
            compressor,
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            sealed_bytes: 0,
            reservation,
            gaps: PendingGaps::default(),
            backoff: Backoff::default(),
        }
    }

    pub(crate) fn destination(&self) -> &Rc<Destination> {
        &self.destination
    }

    /// Replaces the settings. Sealed batches keep their bytes; a corrected token applies to all.
    pub(crate) fn set_destination(&mut self, destination: Rc<Destination>) {
        self.destination = destination;
    }

    /// Records that would be lost if the VM ended now.
    pub(crate) fn unacknowledged_records(&self) -> u64 {
        let sealed = self
            .queue
            .iter()
            .chain(self.in_flight.iter().map(|call| &call.sealed));
        let sealed: u64 = sealed.map(|sealed| sealed.records).sum();
        sealed + self.open.as_ref().map_or(0, |open| open.records)
    }

    /// Whether there are no batches and no losses to report.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none()
            && self.queue.is_empty()
            && self.in_flight.is_empty()
            && self.gaps.since().is_none()
    }

    /// Adds the records of one exchange to the same batch. If memory is short their bodies are dropped, and
    /// if that is not enough the records; either is reported as a loss.
    pub(crate) fn add(
        &mut self,
        host: &impl Host,
        now: &Now<'_>,
        new_records: &mut [PendingRecord<'_>],
    ) {
        let max_records = self.destination.batch.max_records;
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.encoder.frames() + new_records.len() > max_records)
        {
            self.seal(host, now);
        }
        let mut pushed = self.push(now, new_records);
        if pushed == Err(PushError::BatchFull) && self.open.is_some() {
            self.seal(host, now);
            pushed = self.push(now, new_records);
        }
        match pushed {
            Ok(()) => self.count_captured(now, new_records),
            Err(PushError::BatchFull) => {
                self.drop_records(GapReason::RecordTooLarge, now, new_records);
            }
            Err(PushError::BudgetExhausted) => {
                self.drop_records(GapReason::BufferFull, now, new_records);
            }
        }
        let BatchSettings {
            max_records,
            max_bytes,
            ..
        } = self.destination.batch;
        if self.open.as_ref().is_some_and(|OpenBatch { encoder, .. }| {
            encoder.frames() >= max_records || encoder.len() >= max_bytes
        }) {
            self.seal(host, now);
        }
    }

    /// Reports the loss of an exchange that was not recorded because the buffer was full.
    pub(crate) fn drop_exchange(&mut self, now: &Now<'_>, records: u64, bytes: u64) {
        self.record_loss(GapReason::BufferFull, now, records, bytes);
    }

    /// Seals the open batch after its delay, and retries calls whose response does not come.
    pub(crate) fn tick(&mut self, host: &impl Host, now: &Now<'_>) {
        let expired = self
            .in_flight
            .extract_if(.., |call| now.steady() >= call.until);
        let expired: Vec<_> = expired.map(|call| call.sealed).collect();
        for sealed in expired {
            self.retry(host, now, sealed, CollectorResponse::default());
        }
        // While other batches wait, the open one is not sealed: a fuller batch compresses better.
        if !self.queue.is_empty() || self.backoff.max_calls(now.steady()) == 0 {
            return;
        }
        let oldest = self
            .open
            .as_ref()
            .map(|open| open.since)
            .into_iter()
            .chain(self.gaps.since());
        let delay = u64::try_from(self.destination.batch.max_delay.as_micros()).unwrap_or(u64::MAX);
        if oldest
            .min()
            .is_some_and(|since| now.steady().saturating_sub(since) >= delay)
        {
            self.open_batch(now);
            self.seal(host, now);
        }
    }

    /// The next batch, if a call may start now. [`Self::record_call`] must follow.
    pub(crate) fn next_batch(&mut self, now: &Now<'_>) -> Option<Rc<SealedBatch>> {
        if self.in_flight.len() >= self.backoff.max_calls(now.steady()) {
            return None;
        }
        self.queue.pop_front()
    }

    /// Records that the call for a batch started, or, without a token, could not be started.
    pub(crate) fn record_call(
        &mut self,
        host: &impl Host,
        now: &Now<'_>,
        sealed: Rc<SealedBatch>,
        token: Option<u32>,
    ) {
        let Some(token) = token else {
            let cluster = &self.destination.collector.cluster;
            self.shared
                .warnings
                .warn(WarningKind::Unreachable, now.steady(), || {
                    format!(
                        "cannot call the cluster {cluster}: it is unknown or has no healthy host"
                    )
                });
            self.shared.metrics.increment(Counter::BatchesRetried, 1);
            self.backoff
                .record_failure(now.steady(), |bound| self.shared.random_below(host, bound));
            // To the end of the queue: a batch that fails for a reason of its own must not block others.
            self.queue.push_back(sealed);
            return;
        };
        let timeout =
            u64::try_from(self.destination.collector.timeout.as_micros()).unwrap_or(u64::MAX);
        let until = now
            .steady()
            .saturating_add(timeout)
            .saturating_add(RESPONSE_GRACE_MICROS);
        self.in_flight.push(InFlightCall {
            token,
            sealed,
            until,
        });
    }

    /// Handles the end of a call. Responses to expired calls are ignored: their batch is queued again.
    pub(crate) fn handle_response(
        &mut self,
        host: &impl Host,
        now: &Now<'_>,
        token: u32,
        response: CollectorResponse,
    ) {
        let Some(index) = self.in_flight.iter().position(|call| call.token == token) else {
            return;
        };
        let sealed = self.in_flight.swap_remove(index).sealed;
        match response.status {
            Some(200..=299) => {
                self.shared.metrics.increment(Counter::BatchesSent, 1);
                self.backoff.record_success();
                self.release(&sealed);
            }
            Some(status @ (400 | 413 | 415 | 422)) => self.reject(host, now, &sealed, status),
            _ => self.retry(host, now, sealed, response),
        }
    }

    /// Drops a batch that the collector rejected: sending it again would not help.
    fn reject(&mut self, host: &impl Host, now: &Now<'_>, sealed: &SealedBatch, status: u16) {
        self.shared.metrics.increment(Counter::BatchesFailed, 1);
        self.shared.warnings.warn(WarningKind::BatchRefused, now.steady(), || {
            let SealedBatch { id, records, .. } = sealed;
            format!("the collector rejected batch {id} with status {status}: {records} records are lost")
        });
        if sealed.records > 0 {
            let SealedBatch {
                records,
                body_bytes,
                ..
            } = *sealed;
            self.record_loss(GapReason::BatchRefused, now, records, body_bytes);
        }
        self.gaps.restore(sealed.gaps.clone(), now.steady());
        // A collector that rejects one batch may reject the next one too.
        self.backoff
            .record_failure(now.steady(), |bound| self.shared.random_below(host, bound));
        self.release(sealed);
    }

    /// Queues a batch again, with the same bytes: the outcome is unknown or the failure is temporary.
    fn retry(
        &mut self,
        host: &impl Host,
        now: &Now<'_>,
        sealed: Rc<SealedBatch>,
        response: CollectorResponse,
    ) {
        self.shared.metrics.increment(Counter::BatchesRetried, 1);
        let Destination { collector, .. } = &*self.destination;
        let kind = match response.status {
            None | Some(408 | 429 | 500..) => WarningKind::Unreachable,
            Some(_) => WarningKind::Misconfigured,
        };
        self.shared.warnings.warn(kind, now.steady(), || match response.status {
            None => format!("no response from the collector at {}", collector.cluster),
            Some(status @ (401 | 403)) => {
                format!(
                    "the collector responds with {status}: check collector.token and Envoy's client certificate"
                )
            }
            Some(status @ (408 | 429 | 500..)) => {
                format!("the collector at {} responds with {status}: retrying", collector.cluster)
            }
            Some(status) => format!(
                "the collector responds with {status}: check collector.cluster, .authority and .path ({})",
                collector.path
            ),
        });
        let below = |bound| self.shared.random_below(host, bound);
        match response {
            CollectorResponse {
                status: Some(429 | 503),
                retry_after: Some(seconds),
            } => {
                self.backoff.honor_retry_after(now.steady(), seconds, below);
            }
            _ => self.backoff.record_failure(now.steady(), below),
        }
        self.queue.push_back(sealed);
    }

    /// Adds all records or none.
    fn push(
        &mut self,
        now: &Now<'_>,
        new_records: &mut [PendingRecord<'_>],
    ) -> Result<(), PushError> {
        let (max_bytes, budget) = (
            self.destination.batch.max_bytes,
            Rc::clone(&self.shared.budget),
        );
        let was_open = self.open.is_some();
        let open = self.open_batch(now);
        let (checkpoint, before) = (
            open.encoder.checkpoint(),
            if was_open { open.encoder.len() } else { 0 },
        );
        let mut pushed = push_all(&mut open.encoder, new_records);
        if was_open && open.encoder.len() > max_bytes {
            pushed = Err(BatchLimitExceeded);
        }
        let mut added_bytes = open.encoder.len() - before;
        let has_body = new_records.iter().any(|pending| !pending.body.is_empty());
        if pushed.is_ok() && has_body && !budget.fits_body(added_bytes) {
            open.encoder.roll_back(checkpoint);
            for pending in &mut *new_records {
                pending.lost_bytes += pending.body.len() as u64;
                if !pending.body.is_empty() {
                    pending.record.body_missing = Some(BodyMissing::Dropped);
                }
                pending.body = Vec::new();
            }
            pushed = push_all(&mut open.encoder, new_records);
            added_bytes = open.encoder.len() - before;
        }
        let result = match pushed {
            Err(BatchLimitExceeded) => Err(PushError::BatchFull),
            Ok(()) if budget.fits_record(added_bytes) => Ok(()),
            Ok(()) => Err(PushError::BudgetExhausted),
        };
        if result.is_ok() {
            open.records += new_records.len() as u64;
            open.body_bytes += new_records
                .iter()
                .map(|pending| pending.body.len() as u64)
                .sum::<u64>();
        } else {
            open.encoder.roll_back(checkpoint);
            if !was_open {
                self.open = None;
            }
        }
        self.compress_open();
        self.update_reservation();
        result
    }

    /// Compresses what was just added. Compressing a whole batch at once would block the worker for
    /// milliseconds.
    fn compress_open(&mut self) {
        if let Some(open) = &mut self.open {
            open.encoder.drain(|bytes| self.compressor.add(bytes));
        }
    }

    fn open_batch(&mut self, now: &Now<'_>) -> &mut OpenBatch {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin_batch(now),
        };
        self.open.insert(open)
    }

    /// Begins a batch. A busy worker compresses only some batches, unless there is a backlog: then memory
    /// matters more than time.
    fn begin_batch(&mut self, now: &Now<'_>) -> OpenBatch {
        let configured = self.destination.batch.compression;
        let charges_limiter =
            configured == Compression::Fast && self.shared.compression_limiter.allows(now.steady());
        let compression =
            if configured != Compression::Fast || charges_limiter || self.is_backlogged() {
                configured
            } else {
                Compression::None
            };
        self.compressor.set_compression(compression);
        OpenBatch {
            encoder: Encoder::new(),
            since: now.steady(),
            records: 0,
            body_bytes: 0,
            charges_limiter,
        }
    }

    /// Whether one more batch of maximum size would fill more than a quarter of the buffer.
    fn is_backlogged(&self) -> bool {
        self.sealed_bytes + self.destination.batch.max_bytes > self.shared.budget.limit() / 4
    }

    fn count_captured(&mut self, now: &Now<'_>, new_records: &[PendingRecord<'_>]) {
        let metrics = &self.shared.metrics;
        metrics.increment(Counter::RecordsCaptured, new_records.len() as u64);
        let truncated = new_records
            .iter()
            .filter(|pending| pending.record.truncated)
            .count();
        metrics.increment(Counter::BodiesTruncated, truncated as u64);
        let dropped = new_records
            .iter()
            .filter(|pending| pending.record.body_missing == Some(BodyMissing::Dropped))
            .count();
        if dropped > 0 {
            metrics.increment(Counter::BodiesDropped, dropped as u64);
            let bytes = new_records.iter().map(|pending| pending.lost_bytes).sum();
            self.record_loss(GapReason::BodyDropped, now, 0, bytes);
        }
    }

    fn drop_records(
        &mut self,
        reason: GapReason,
        now: &Now<'_>,
        new_records: &[PendingRecord<'_>],
    ) {
        let bytes = new_records
            .iter()
            .map(|pending| pending.lost_bytes + pending.body.len() as u64)
            .sum();
        self.record_loss(reason, now, new_records.len() as u64, bytes);
    }

    fn record_loss(&mut self, reason: GapReason, now: &Now<'_>, records: u64, bytes: u64) {
        self.gaps.record(reason, records, bytes, now);
        let SharedState {
            metrics, warnings, ..
        } = &*self.shared;
        match reason {
            GapReason::BufferFull => metrics.increment(Counter::RecordsDroppedBufferFull, records),
            GapReason::RecordTooLarge => {
                metrics.increment(Counter::RecordsDroppedTooLarge, records);
            }
            GapReason::BatchRefused => {
                metrics.increment(Counter::RecordsDroppedBatchRefused, records);
            }
            GapReason::BodyDropped => {}
        }
        if matches!(reason, GapReason::BufferFull | GapReason::BodyDropped) {
            warnings.warn(WarningKind::BufferFull, now.steady(), || {
                "the buffer is full (buffer.max_bytes): bodies or records are dropped until the \
                 collector catches up"
                    .to_owned()
            });
        }
    }

    fn seal(&mut self, host: &impl Host, now: &Now<'_>) {
        let Some(OpenBatch {
            mut encoder,
            records,
            body_bytes,
            charges_limiter,
            ..
        }) = self.open.take()
        else {
            return;
        };
        let mut included = Vec::new();
        for gap in self.gaps.take() {
            if encoder.push_gap(&gap).is_ok() {
                included.push(gap);
            } else {
                self.gaps.restore(vec![gap], now.steady());
            }
        }
        let raw_bytes = encoder.len();
        self.compressor.add(&encoder.finish());
        let bytes = self.compressor.finish().into_boxed_slice();
        let compression = self.compressor.compression();
        if charges_limiter {
            self.shared.compression_limiter.charge(raw_bytes);
        }
        self.shared
            .metrics
            .increment(Counter::BytesRaw, raw_bytes as u64);
        self.shared
            .metrics
            .increment(Counter::BytesSent, bytes.len() as u64);
        let id: Uuid = self.shared.uuid(host, now.wall());
        let sealed = SealedBatch {
            id: id.to_string(),
            bytes,
            encoding: compression.content_encoding(),
            records,
            body_bytes,
            gaps: included,
        };
        self.sealed_bytes += sealed.cost();
        self.queue.push_back(Rc::new(sealed));
        self.update_reservation();
    }

    fn release(&mut self, sealed: &SealedBatch) {
        self.sealed_bytes = self.sealed_bytes.saturating_sub(sealed.cost());
        self.update_reservation();
    }

    /// Sets the reservation to what is used now.
    fn update_reservation(&mut self) {
        self.reservation
            .resize(self.compressor.buffered_bytes() + self.sealed_bytes);
    }
}

#[cfg(test)]
mod tests;

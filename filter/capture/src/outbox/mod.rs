//! Batches on their way to one collector: filled, sealed, sent, sent again, within the VM's budget.
//!
//! It is a plain state machine: time and answers come in, batches to send go out. It makes no calls
//! itself, so nothing can call back into it while it works.

mod gaps;
mod now;
mod pause;

use std::collections::VecDeque;
use std::rc::Rc;

use dossier_wire::compression::{BatchCompressor, Compression};
use dossier_wire::{
    BATCH_ID_HEADER, BatchLimitExceeded, BodyMissing, CONTENT_TYPE, Encoder, Gap, GapReason, Record,
};
use uuid::Uuid;

use crate::budget::Lease;
use crate::config::{Batch, Collector};
use crate::host::{Counter, Host, Post};
use crate::notices::Kind;
use crate::vm::Shared;
use gaps::Gaps;
pub use now::Now;
use pause::Pause;

/// Where an outbox sends, and how it packs.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) collector: Collector,
    /// Value of the `authorization` header.
    pub(crate) authorization: Option<String>,
    pub(crate) batch: Batch,
}

/// A record on its way into a batch.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) record: Record<'a>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body that would have been kept if there had been room.
    pub(crate) lost: u64,
}

/// A batch that will not change any more.
#[derive(Debug)]
pub(crate) struct Sealed {
    id: String,
    bytes: Box<[u8]>,
    encoding: Option<&'static str>,
    records: u64,
    body_bytes: u64,
    gaps: Vec<Gap>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; none: no answer came, so the outcome is unknown.
    pub status: Option<u16>,
    /// `retry-after` in seconds.
    pub retry_after: Option<u64>,
}

/// The batches for one collector.
#[derive(Debug)]
pub(crate) struct Outbox {
    shared: Rc<Shared>,
    target: Rc<Target>,
    open: Option<Open>,
    /// Packs the open batch. How, is settled when it is opened.
    compressor: BatchCompressor,
    waiting: VecDeque<Rc<Sealed>>,
    in_flight: Vec<InFlight>,
    /// Cost of all sealed batches, acknowledged ones excepted.
    sealed_bytes: usize,
    lease: Lease,
    gaps: Gaps,
    pause: Pause,
}

#[derive(Debug)]
struct Open {
    encoder: Encoder,
    since: u64,
    records: u64,
    body_bytes: u64,
    /// Whether its bytes are taken from what the worker may compress.
    by_allowance: bool,
}

#[derive(Debug)]
struct InFlight {
    token: u32,
    sealed: Rc<Sealed>,
    /// When the answer is not awaited any longer: if the context that made the call was deleted, none
    /// comes.
    until: u64,
}

/// What a sealed batch costs besides its bytes.
const SEALED_OVERHEAD: usize = 256;
/// How long after its timeout a call's answer may still come.
const SLACK_MICROS: u64 = 5_000_000;

impl Sealed {
    fn cost(&self) -> usize {
        self.bytes.len() + SEALED_OVERHEAD
    }
}

impl Target {
    /// The call that delivers a batch.
    pub(crate) fn post<'a>(&'a self, sealed: &'a Sealed) -> Post<'a> {
        let collector = &self.collector;
        let mut headers = vec![
            (":method", "POST"),
            (":path", collector.path.as_str()),
            (":authority", collector.authority.as_str()),
            ("content-type", CONTENT_TYPE),
            (BATCH_ID_HEADER, sealed.id.as_str()),
        ];
        headers.extend(
            sealed
                .encoding
                .map(|encoding| ("content-encoding", encoding)),
        );
        headers.extend(
            self.authorization
                .as_deref()
                .map(|value| ("authorization", value)),
        );
        Post {
            cluster: &collector.cluster,
            headers,
            body: &sealed.bytes,
            timeout: collector.timeout,
        }
    }

    /// Whether both name the same collector, so that one outbox serves them.
    pub(crate) fn same_destination(&self, other: &Self) -> bool {
        let key = |target: &Self| {
            let collector = &target.collector;
            (
                collector.cluster.clone(),
                collector.authority.clone(),
                collector.path.clone(),
            )
        };
        key(self) == key(other)
    }
}

impl Outbox {
    pub(crate) fn new(shared: Rc<Shared>, target: Rc<Target>) -> Self {
        let lease = Lease::new(Rc::clone(&shared.budget));
        let compressor = BatchCompressor::new(target.batch.compression);
        Self {
            shared,
            target,
            open: None,
            compressor,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            sealed_bytes: 0,
            lease,
            gaps: Gaps::default(),
            pause: Pause::default(),
        }
    }

    pub(crate) fn target(&self) -> &Rc<Target> {
        &self.target
    }

    /// From now on sends like this. A batch keeps its bytes, a corrected token applies to all.
    pub(crate) fn set_target(&mut self, target: Rc<Target>) {
        self.target = target;
    }

    /// Records that would be lost if the VM ended now.
    pub(crate) fn records_held(&self) -> u64 {
        let sealed = self
            .waiting
            .iter()
            .chain(self.in_flight.iter().map(|call| &call.sealed));
        let sealed: u64 = sealed.map(|sealed| sealed.records).sum();
        sealed + self.open.as_ref().map_or(0, |open| open.records)
    }

    /// Whether nothing is left to send or to tell.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none()
            && self.waiting.is_empty()
            && self.in_flight.is_empty()
            && self.gaps.since().is_none()
    }

    /// Takes the records of one exchange, all into the same batch. If there is no room their bodies
    /// are given up, and if there is still none the records; either is accounted for.
    pub(crate) fn add(&mut self, host: &impl Host, now: &Now<'_>, entries: &mut [Entry<'_>]) {
        let max_records = self.target.batch.max_records;
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.encoder.frames() + entries.len() > max_records)
        {
            self.seal(host, now);
        }
        let mut fitted = self.push(now, entries);
        if fitted == Err(NoRoom::Batch) && self.open.is_some() {
            self.seal(host, now);
            fitted = self.push(now, entries);
        }
        match fitted {
            Ok(()) => self.account(now, entries),
            Err(NoRoom::Batch) => self.lose(GapReason::RecordTooLarge, now, entries),
            Err(NoRoom::Budget) => self.lose(GapReason::BufferFull, now, entries),
        }
        let Batch {
            max_records,
            max_bytes,
            ..
        } = self.target.batch;
        if self.open.as_ref().is_some_and(|Open { encoder, .. }| {
            encoder.frames() >= max_records || encoder.len() >= max_bytes
        }) {
            self.seal(host, now);
        }
    }

    /// Accounts for an exchange that was not kept for want of room.
    pub(crate) fn lost(&mut self, now: &Now<'_>, records: u64, bytes: u64) {
        self.count_loss(GapReason::BufferFull, now, records, bytes);
    }

    /// Lets time pass: seals what has waited long enough, gives up calls whose answer will not come.
    pub(crate) fn tick(&mut self, host: &impl Host, now: &Now<'_>) {
        let given_up = self
            .in_flight
            .extract_if(.., |call| now.steady() >= call.until);
        let given_up: Vec<_> = given_up.map(|call| call.sealed).collect();
        for sealed in given_up {
            self.retry(host, now, sealed, Answer::default());
        }
        // While batches wait there is no use in sealing another: filled further it compresses better.
        if !self.waiting.is_empty() || self.pause.allowed(now.steady()) == 0 {
            return;
        }
        let oldest = self
            .open
            .as_ref()
            .map(|open| open.since)
            .into_iter()
            .chain(self.gaps.since());
        let delay = u64::try_from(self.target.batch.max_delay.as_micros()).unwrap_or(u64::MAX);
        if oldest
            .min()
            .is_some_and(|since| now.steady().saturating_sub(since) >= delay)
        {
            self.open_batch(now);
            self.seal(host, now);
        }
    }

    /// The next batch to send, if one may be sent now. [`Self::began`] must follow.
    pub(crate) fn next(&mut self, now: &Now<'_>) -> Option<Rc<Sealed>> {
        if self.in_flight.len() >= self.pause.allowed(now.steady()) {
            return None;
        }
        self.waiting.pop_front()
    }

    /// The call for a batch has begun, or could not begin.
    pub(crate) fn began(
        &mut self,
        host: &impl Host,
        now: &Now<'_>,
        sealed: Rc<Sealed>,
        token: Option<u32>,
    ) {
        let Some(token) = token else {
            let cluster = &self.target.collector.cluster;
            self.shared
                .notices
                .warn(Kind::Unreachable, now.steady(), || {
                    format!(
                        "cannot call the cluster {cluster}: it is unknown or has no healthy host"
                    )
                });
            self.shared.stats.count(Counter::BatchesRetried, 1);
            self.pause
                .failed(now.steady(), |bound| self.shared.below(host, bound));
            // It goes to the end: a batch that fails for a reason of its own must not block the rest.
            self.waiting.push_back(sealed);
            return;
        };
        let timeout = u64::try_from(self.target.collector.timeout.as_micros()).unwrap_or(u64::MAX);
        let until = now
            .steady()
            .saturating_add(timeout)
            .saturating_add(SLACK_MICROS);
        self.in_flight.push(InFlight {
            token,
            sealed,
            until,
        });
    }

    /// A call has ended. Answers to calls that were given up are ignored: their batch went back.
    pub(crate) fn answered(&mut self, host: &impl Host, now: &Now<'_>, token: u32, answer: Answer) {
        let Some(index) = self.in_flight.iter().position(|call| call.token == token) else {
            return;
        };
        let sealed = self.in_flight.swap_remove(index).sealed;
        match answer.status {
            Some(200..=299) => {
                self.shared.stats.count(Counter::BatchesSent, 1);
                self.pause.succeeded();
                self.release(&sealed);
            }
            Some(status @ (400 | 413 | 415 | 422)) => self.refused(host, now, &sealed, status),
            _ => self.retry(host, now, sealed, answer),
        }
    }

    /// The batch itself is at fault, so sending it again would not help.
    fn refused(&mut self, host: &impl Host, now: &Now<'_>, sealed: &Sealed, status: u16) {
        self.shared.stats.count(Counter::BatchesFailed, 1);
        self.shared.notices.warn(Kind::BatchRefused, now.steady(), || {
            let Sealed { id, records, .. } = sealed;
            format!("the collector refused batch {id} with status {status}: {records} records are lost")
        });
        if sealed.records > 0 {
            let Sealed {
                records,
                body_bytes,
                ..
            } = *sealed;
            self.count_loss(GapReason::BatchRefused, now, records, body_bytes);
        }
        self.gaps.give_back(sealed.gaps.clone(), now.steady());
        // A collector that refuses one batch may refuse the next, so do not rush.
        self.pause
            .failed(now.steady(), |bound| self.shared.below(host, bound));
        self.release(sealed);
    }

    /// The outcome is unknown or the collector cannot take it now: the same bytes go again.
    fn retry(&mut self, host: &impl Host, now: &Now<'_>, sealed: Rc<Sealed>, answer: Answer) {
        self.shared.stats.count(Counter::BatchesRetried, 1);
        let Target { collector, .. } = &*self.target;
        let kind = match answer.status {
            None | Some(408 | 429 | 500..) => Kind::Unreachable,
            Some(_) => Kind::Misconfigured,
        };
        self.shared.notices.warn(kind, now.steady(), || match answer.status {
            None => format!("no answer from the collector at {}", collector.cluster),
            Some(status @ (401 | 403)) => {
                format!(
                    "the collector answers {status}: check collector.token, and the certificate that Envoy shows it"
                )
            }
            Some(status @ (408 | 429 | 500..)) => {
                format!("the collector at {} answers {status}: trying again", collector.cluster)
            }
            Some(status) => format!(
                "the collector answers {status}: check collector.cluster, .authority and .path ({})",
                collector.path
            ),
        });
        let below = |bound| self.shared.below(host, bound);
        match answer {
            Answer {
                status: Some(429 | 503),
                retry_after: Some(seconds),
            } => {
                self.pause.asked_to_wait(now.steady(), seconds, below);
            }
            _ => self.pause.failed(now.steady(), below),
        }
        self.waiting.push_back(sealed);
    }

    /// Adds all entries or none.
    fn push(&mut self, now: &Now<'_>, entries: &mut [Entry<'_>]) -> Result<(), NoRoom> {
        let (max_bytes, budget) = (self.target.batch.max_bytes, Rc::clone(&self.shared.budget));
        let was_open = self.open.is_some();
        let open = self.open_batch(now);
        let (checkpoint, before) = (
            open.encoder.checkpoint(),
            if was_open { open.encoder.len() } else { 0 },
        );
        let mut fitted = push_all(&mut open.encoder, entries);
        if was_open && open.encoder.len() > max_bytes {
            fitted = Err(BatchLimitExceeded);
        }
        let mut grown = open.encoder.len() - before;
        let has_body = entries.iter().any(|entry| !entry.body.is_empty());
        if fitted.is_ok() && has_body && !budget.has_room_for_body(grown) {
            open.encoder.roll_back(checkpoint);
            for entry in &mut *entries {
                entry.lost += entry.body.len() as u64;
                if !entry.body.is_empty() {
                    entry.record.body_missing = Some(BodyMissing::Dropped);
                }
                entry.body = Vec::new();
            }
            fitted = push_all(&mut open.encoder, entries);
            grown = open.encoder.len() - before;
        }
        let result = match fitted {
            Err(BatchLimitExceeded) => Err(NoRoom::Batch),
            Ok(()) if budget.has_room(grown) => Ok(()),
            Ok(()) => Err(NoRoom::Budget),
        };
        if result.is_ok() {
            open.records += entries.len() as u64;
            open.body_bytes += entries
                .iter()
                .map(|entry| entry.body.len() as u64)
                .sum::<u64>();
        } else {
            open.encoder.roll_back(checkpoint);
            if !was_open {
                self.open = None;
            }
        }
        self.pack();
        self.settle();
        result
    }

    /// Packs what the open batch was just given. Bit by bit it holds nobody up; a whole batch would take
    /// milliseconds.
    fn pack(&mut self) {
        if let Some(open) = &mut self.open {
            open.encoder.drain(|bytes| self.compressor.add(bytes));
        }
    }

    fn open_batch(&mut self, now: &Now<'_>) -> &mut Open {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin_batch(now),
        };
        self.open.insert(open)
    }

    /// A batch that is begun now. A busy worker has better to do than to compress all of it, unless batches
    /// pile up: then room is dearer than time.
    fn begin_batch(&mut self, now: &Now<'_>) -> Open {
        let asked = self.target.batch.compression;
        let by_allowance =
            asked == Compression::Fast && self.shared.allowance.suffices(now.steady());
        let compression = if asked != Compression::Fast || by_allowance || self.piles_up() {
            asked
        } else {
            Compression::None
        };
        self.compressor.set_compression(compression);
        Open {
            encoder: Encoder::new(),
            since: now.steady(),
            records: 0,
            body_bytes: 0,
            by_allowance,
        }
    }

    /// Whether another batch, as long as it may get, would bring what waits to more than a quarter of what
    /// may be held.
    fn piles_up(&self) -> bool {
        self.sealed_bytes + self.target.batch.max_bytes > self.shared.budget.limit() / 4
    }

    fn account(&mut self, now: &Now<'_>, entries: &[Entry<'_>]) {
        let stats = &self.shared.stats;
        stats.count(Counter::RecordsCaptured, entries.len() as u64);
        let truncated = entries
            .iter()
            .filter(|entry| entry.record.truncated)
            .count();
        stats.count(Counter::BodiesTruncated, truncated as u64);
        let dropped = entries
            .iter()
            .filter(|entry| entry.record.body_missing == Some(BodyMissing::Dropped))
            .count();
        if dropped > 0 {
            stats.count(Counter::BodiesDropped, dropped as u64);
            let bytes = entries.iter().map(|entry| entry.lost).sum();
            self.count_loss(GapReason::BodyDropped, now, 0, bytes);
        }
    }

    fn lose(&mut self, reason: GapReason, now: &Now<'_>, entries: &[Entry<'_>]) {
        let bytes = entries
            .iter()
            .map(|entry| entry.lost + entry.body.len() as u64)
            .sum();
        self.count_loss(reason, now, entries.len() as u64, bytes);
    }

    fn count_loss(&mut self, reason: GapReason, now: &Now<'_>, records: u64, bytes: u64) {
        self.gaps.lost(reason, records, bytes, now);
        let Shared { stats, notices, .. } = &*self.shared;
        match reason {
            GapReason::BufferFull => stats.count(Counter::RecordsDroppedBufferFull, records),
            GapReason::RecordTooLarge => stats.count(Counter::RecordsDroppedTooLarge, records),
            GapReason::BatchRefused => stats.count(Counter::RecordsDroppedBatchRefused, records),
            GapReason::BodyDropped => {}
        }
        if matches!(reason, GapReason::BufferFull | GapReason::BodyDropped) {
            notices.warn(Kind::BufferFull, now.steady(), || {
                "buffer.max_bytes is used up: bodies or records are lost until the collector \
                 catches up"
                    .to_owned()
            });
        }
    }

    fn seal(&mut self, host: &impl Host, now: &Now<'_>) {
        let Some(Open {
            mut encoder,
            records,
            body_bytes,
            by_allowance,
            ..
        }) = self.open.take()
        else {
            return;
        };
        let mut told = Vec::new();
        for gap in self.gaps.take() {
            if encoder.push_gap(&gap).is_ok() {
                told.push(gap);
            } else {
                self.gaps.give_back(vec![gap], now.steady());
            }
        }
        let raw_bytes = encoder.len();
        self.compressor.add(&encoder.finish());
        let bytes = self.compressor.finish().into_boxed_slice();
        let compression = self.compressor.compression();
        if by_allowance {
            self.shared.allowance.spend(raw_bytes);
        }
        self.shared.stats.count(Counter::BytesRaw, raw_bytes as u64);
        self.shared
            .stats
            .count(Counter::BytesSent, bytes.len() as u64);
        let id: Uuid = self.shared.uuid(host, now.wall());
        let sealed = Sealed {
            id: id.to_string(),
            bytes,
            encoding: compression.content_encoding(),
            records,
            body_bytes,
            gaps: told,
        };
        self.sealed_bytes += sealed.cost();
        self.waiting.push_back(Rc::new(sealed));
        self.settle();
    }

    fn release(&mut self, sealed: &Sealed) {
        self.sealed_bytes = self.sealed_bytes.saturating_sub(sealed.cost());
        self.settle();
    }

    /// Brings the lease in line with what is held.
    fn settle(&mut self) {
        self.lease
            .set(self.compressor.buffered_bytes() + self.sealed_bytes);
    }
}

/// Why records cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoRoom {
    /// Not in this batch.
    Batch,
    /// Not in memory.
    Budget,
}

fn push_all(encoder: &mut Encoder, entries: &[Entry<'_>]) -> Result<(), BatchLimitExceeded> {
    entries
        .iter()
        .try_for_each(|Entry { record, body, .. }| encoder.push_record(record, body))
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod account;
#[cfg(test)]
mod tests;

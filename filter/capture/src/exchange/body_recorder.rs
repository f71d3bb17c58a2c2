//! Captures the body of one half: its beginning is stored, all of it is counted and hashed.

use std::rc::Rc;

use dossier_wire::{BodyMissing, Half};
use uuid::Uuid;
use uuid::fmt::Simple;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::host::Stream;
use crate::memory_budget::{MemoryBudget, MemoryReservation};

pub(super) struct BodyRecorder {
    size: u64,
    mode: Mode,
}

enum Mode {
    /// Only counts bytes.
    CountOnly,
    Capture(Box<CapturedBody>),
}

struct CapturedBody {
    bytes: Vec<u8>,
    reservation: MemoryReservation,
    max_bytes: usize,
    /// Created only when not all bytes are stored: hashing the stored bytes at once is much faster.
    hasher: Option<Box<Xxh3>>,
    /// The memory budget was exhausted.
    dropped: bool,
}

/// The result of a [`BodyRecorder`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FinishedBody {
    pub(super) bytes: Vec<u8>,
    pub(super) size: u64,
    /// None without a body, and if a part of it was not seen.
    pub(super) hash: Option<String>,
    /// Only the beginning was captured, because of `max_bytes`.
    pub(super) truncated: bool,
    /// Why nothing was captured of a body that had some bytes.
    pub(super) missing: Option<BodyMissing>,
    /// Bytes that were dropped because the budget was exhausted.
    pub(super) lost_bytes: u64,
}

/// Limits a single copy out of the host, so that a huge chunk does not need as much memory.
const MAX_COPY_BYTES: usize = 64 << 10;

impl BodyRecorder {
    /// Counts bytes until [`Self::start_capture`].
    pub(super) const fn new() -> Self {
        Self {
            size: 0,
            mode: Mode::CountOnly,
        }
    }

    /// Does nothing if a part of the body has already passed.
    pub(super) fn start_capture(&mut self, max_bytes: usize, budget: &Rc<MemoryBudget>) {
        if self.size == 0 {
            let reservation = MemoryReservation::new(Rc::clone(budget));
            let captured = CapturedBody {
                bytes: Vec::new(),
                reservation,
                max_bytes,
                hasher: None,
                dropped: false,
            };
            self.mode = Mode::Capture(Box::new(captured));
        }
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Discards what was captured: the following bytes are not a body.
    pub(super) fn stop_capture(&mut self) {
        self.mode = Mode::CountOnly;
    }

    /// Sets the size of a body that was not seen.
    pub(super) const fn set_size(&mut self, size: u64) {
        self.size = size;
    }

    pub(super) fn add_chunk(&mut self, stream: &impl Stream, half: Half, size: usize) {
        self.size = self.size.saturating_add(size as u64);
        let Mode::Capture(captured) = &mut self.mode else {
            return;
        };
        let mut start = 0;
        while start < size {
            let length = MAX_COPY_BYTES.min(size - start);
            match stream.body(half, start, length) {
                Some(piece) if piece.len() == length => captured.append(piece),
                // With missing bytes, neither prefix nor hash would be right.
                _ => return self.stop_capture(),
            }
            start += length;
        }
    }

    pub(super) fn finish(self) -> FinishedBody {
        let size = self.size;
        let Mode::Capture(captured) = self.mode else {
            return FinishedBody {
                size,
                missing: (size > 0).then_some(BodyMissing::NotCaptured),
                ..FinishedBody::default()
            };
        };
        let CapturedBody {
            bytes,
            reservation,
            max_bytes,
            hasher,
            dropped,
        } = *captured;
        drop(reservation);
        let hash = match hasher {
            Some(hasher) => Some(hasher.digest128()),
            None if bytes.is_empty() => None,
            None => Some(xxh3_128(&bytes)),
        };
        let missing = match (dropped, bytes.is_empty() && size > 0) {
            (true, _) => Some(BodyMissing::Dropped),
            // With `max_bytes` of 0.
            (false, true) => Some(BodyMissing::NotCaptured),
            (false, false) => None,
        };
        FinishedBody {
            size,
            hash: hash.map(hex),
            truncated: size > max_bytes as u64 && missing.is_none(),
            missing,
            lost_bytes: if dropped {
                size.min(max_bytes as u64)
            } else {
                0
            },
            bytes,
        }
    }
}

/// 32 hex digits. `format!` would be slower.
fn hex(hash: u128) -> String {
    let mut digits = [0; Simple::LENGTH];
    let digits = Uuid::from_u128(hash).simple().encode_lower(&mut digits);
    digits.to_owned()
}

impl CapturedBody {
    fn append(&mut self, piece: Vec<u8>) {
        let free = if self.dropped {
            0
        } else {
            self.max_bytes.saturating_sub(self.bytes.len())
        };
        let mut stored = free.min(piece.len());
        if stored > 0 && !self.reserve(stored) {
            self.dropped = true;
            stored = 0;
        }
        if stored < piece.len() || self.hasher.is_some() {
            let hasher = self.hasher.get_or_insert_with(|| {
                let mut hasher = Box::new(Xxh3::new());
                hasher.update(&self.bytes);
                hasher
            });
            hasher.update(&piece);
        }
        if self.dropped {
            self.bytes = Vec::new();
        } else if self.bytes.is_empty() && stored == piece.len() {
            self.bytes = piece;
        } else {
            self.bytes
                .extend_from_slice(piece.get(..stored).unwrap_or_default());
        }
        let hasher = self.hasher.as_ref().map_or(0, |_| size_of::<Xxh3>());
        self.reservation.resize(self.bytes.capacity() + hasher);
    }

    /// Makes room for more bytes; false if the budget does not allow it.
    fn reserve(&mut self, more: usize) -> bool {
        let needed = self.bytes.len() + more;
        if self.bytes.is_empty() {
            return self.reservation.budget().fits_body(needed);
        }
        if needed <= self.bytes.capacity() {
            return true;
        }
        let capacity = needed
            .max(self.bytes.capacity().saturating_mul(2))
            .min(self.max_bytes);
        let fits = self
            .reservation
            .budget()
            .fits_body(capacity - self.bytes.capacity());
        if fits {
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        fits
    }
}

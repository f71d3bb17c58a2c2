//! One half's body: the beginning is kept, the whole is counted and hashed.

use std::rc::Rc;

use dossier_wire::{BodyMissing, Half};
use uuid::Uuid;
use uuid::fmt::Simple;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::budget::{Budget, Lease};
use crate::host::Stream;

/// A body as far as it has come.
pub(super) struct Body {
    size: u64,
    reading: Reading,
}

enum Reading {
    /// Its bytes are only counted.
    No,
    Yes(Box<Reader>),
}

struct Reader {
    kept: Vec<u8>,
    lease: Lease,
    cap: usize,
    /// Only made when not everything is kept: hashing what is kept in one go is much faster.
    hasher: Option<Box<Xxh3>>,
    /// The memory budget ran out on the way.
    dropped: bool,
}

/// What is left of a body at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) kept: Vec<u8>,
    pub(super) size: u64,
    /// None if there was no body or it was not read as a whole.
    pub(super) hash: Option<String>,
    /// Only the beginning was kept, because of the cap.
    pub(super) truncated: bool,
    /// Why nothing was kept of a body that had some bytes.
    pub(super) missing: Option<BodyMissing>,
    /// Bytes that would have been kept but for the budget.
    pub(super) lost: u64,
}

/// Most bytes copied out of the host in one go, so that a huge chunk does not become huge memory.
const PIECE_BYTES: usize = 64 << 10;

impl Body {
    /// A body of which only the size is counted.
    pub(super) const fn counted() -> Self {
        Self {
            size: 0,
            reading: Reading::No,
        }
    }

    /// Keeps the beginning from now on. Bytes that have passed are not to be had again.
    pub(super) fn read(&mut self, cap: usize, budget: &Rc<Budget>) {
        if self.size == 0 {
            let lease = Lease::new(Rc::clone(budget));
            let reader = Reader {
                kept: Vec::new(),
                lease,
                cap,
                hasher: None,
                dropped: false,
            };
            self.reading = Reading::Yes(Box::new(reader));
        }
    }

    /// Bytes that have passed.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Gives up what was read: from here on the bytes are not a body any more.
    pub(super) fn stop_reading(&mut self) {
        self.reading = Reading::No;
    }

    /// A body of this size has passed unseen.
    pub(super) const fn passed(&mut self, size: u64) {
        self.size = size;
    }

    /// A chunk has arrived.
    pub(super) fn chunk(&mut self, stream: &impl Stream, half: Half, size: usize) {
        self.size = self.size.saturating_add(size as u64);
        let Reading::Yes(reader) = &mut self.reading else {
            return;
        };
        let mut start = 0;
        while start < size {
            let length = PIECE_BYTES.min(size - start);
            match stream.body(half, start, length) {
                Some(piece) if piece.len() == length => reader.take(piece),
                // Without these bytes neither prefix nor hash is the body's.
                _ => return self.stop_reading(),
            }
            start += length;
        }
    }

    pub(super) fn finish(self) -> Finished {
        let size = self.size;
        let Reading::Yes(reader) = self.reading else {
            return Finished {
                size,
                missing: (size > 0).then_some(BodyMissing::NotCaptured),
                ..Finished::default()
            };
        };
        let Reader {
            kept,
            lease,
            cap,
            hasher,
            dropped,
        } = *reader;
        drop(lease);
        let hash = match hasher {
            Some(hasher) => Some(hasher.digest128()),
            None if kept.is_empty() => None,
            None => Some(xxh3_128(&kept)),
        };
        let missing = match (dropped, kept.is_empty() && size > 0) {
            (true, _) => Some(BodyMissing::Dropped),
            // With a cap of nothing.
            (false, true) => Some(BodyMissing::NotCaptured),
            (false, false) => None,
        };
        Finished {
            size,
            hash: hash.map(hex),
            truncated: size > cap as u64 && missing.is_none(),
            missing,
            lost: if dropped { size.min(cap as u64) } else { 0 },
            kept,
        }
    }
}

/// 32 hex digits. `format!` looks at each of them by itself.
fn hex(hash: u128) -> String {
    let mut digits = [0; Simple::LENGTH];
    let digits = Uuid::from_u128(hash).simple().encode_lower(&mut digits);
    digits.to_owned()
}

impl Reader {
    fn take(&mut self, piece: Vec<u8>) {
        let room = if self.dropped {
            0
        } else {
            self.cap.saturating_sub(self.kept.len())
        };
        let mut keep = room.min(piece.len());
        if keep > 0 && !self.make_room(keep) {
            self.dropped = true;
            keep = 0;
        }
        if keep < piece.len() || self.hasher.is_some() {
            let hasher = self.hasher.get_or_insert_with(|| {
                let mut hasher = Box::new(Xxh3::new());
                hasher.update(&self.kept);
                hasher
            });
            hasher.update(&piece);
        }
        if self.dropped {
            self.kept = Vec::new();
        } else if self.kept.is_empty() && keep == piece.len() {
            self.kept = piece;
        } else {
            self.kept
                .extend_from_slice(piece.get(..keep).unwrap_or_default());
        }
        let hasher = self.hasher.as_ref().map_or(0, |_| size_of::<Xxh3>());
        self.lease.set(self.kept.capacity() + hasher);
    }

    /// Makes room for so many bytes more, if the budget has it.
    fn make_room(&mut self, more: usize) -> bool {
        let needed = self.kept.len() + more;
        if self.kept.is_empty() {
            return self.lease.budget().has_room_for_body(needed);
        }
        if needed <= self.kept.capacity() {
            return true;
        }
        let capacity = needed
            .max(self.kept.capacity().saturating_mul(2))
            .min(self.cap);
        let fits = self
            .lease
            .budget()
            .has_room_for_body(capacity - self.kept.capacity());
        if fits {
            self.kept.reserve_exact(capacity - self.kept.len());
        }
        fits
    }
}

//! Whether a new dictionary is worth having, and what is in it.

use std::sync::Arc;

use dossier_wire::{Half, StorageCompression};
use time::Duration;

use super::train::MAX_SAMPLE_BYTES;
use super::{Dictionaries, Dictionary, DictionaryId, Sample, train};
use crate::{Packer, Unpacked};

/// One body of so many is not learnt from, but packed to see what a dictionary is worth.
const HELD_BACK: usize = 5;
/// Bodies that pack worse than they once did by this factor have changed.
const DEGRADED: f32 = 1.1;
/// A dictionary that is older may be behind the times without being worse.
const OLD: Duration = Duration::days(7);
/// A new dictionary must pack by this factor better, or the old one stays.
const BETTER: f32 = 0.97;

/// The dictionary that bodies are packed with now.
#[derive(Debug)]
pub struct InUse {
    /// Itself.
    pub dictionary: Arc<Dictionary>,
    /// Bytes packed per byte, when it was made.
    pub ratio: f32,
    /// Since then.
    pub age: Duration,
}

/// A dictionary that is worth having.
#[derive(Debug)]
pub struct Learned {
    /// For zstd.
    pub bytes: Vec<u8>,
    /// Bytes packed per byte, of bodies that it was not made of.
    pub ratio: f32,
}

/// Bodies to learn from.
#[derive(Debug)]
pub struct Lesson {
    in_use: Option<InUse>,
    samples: Vec<(usize, Vec<u8>)>,
    /// Of all samples.
    bytes: usize,
}

impl Lesson {
    /// More bytes of bodies are not learnt from, those held back included.
    pub const MOST_BYTES: usize = MAX_SAMPLE_BYTES / (HELD_BACK - 1) * HELD_BACK;

    /// No bodies yet.
    #[must_use]
    pub const fn new(in_use: Option<InUse>) -> Self {
        Self {
            in_use,
            samples: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a body of the user of this number.
    pub fn add(&mut self, user: usize, body: Vec<u8>) {
        self.bytes += body.len();
        self.samples.push((user, body));
    }

    /// Whether there are as many bodies as are learnt from.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes >= Self::MOST_BYTES
    }

    /// Makes a new dictionary, if the one in use packs worse than it did, is old, or does not exist, and
    /// if the new one packs better. May take some seconds.
    #[must_use]
    pub fn learn(&self) -> Option<Learned> {
        let (held_back, learnt): (Vec<_>, Vec<_>) = self
            .samples
            .iter()
            .enumerate()
            .partition(|(number, _)| number % HELD_BACK == 0);
        let held_back: Vec<&[u8]> = held_back.iter().map(|(_, (_, it))| it.as_slice()).collect();
        let now = ratio(self.in_use.as_ref().map(|it| &it.dictionary), &held_back);
        let is_good = |it: &InUse| now <= it.ratio * DEGRADED && it.age < OLD;
        if self.in_use.as_ref().is_some_and(is_good) {
            return None;
        }
        let samples: Vec<_> = learnt
            .iter()
            .map(|(_, (user, bytes))| Sample { user: *user, bytes })
            .collect();
        let bytes = train(&samples)?;
        // It has no number yet, and no one else sees it.
        let candidate = Arc::new(Dictionary::new(DictionaryId(0), bytes.clone()).ok()?);
        let ratio = ratio(Some(&candidate), &held_back);
        (ratio < now * BETTER).then_some(Learned { bytes, ratio })
    }
}

/// Bytes packed per byte.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs three digits")]
fn ratio(dictionary: Option<&Arc<Dictionary>>, bodies: &[&[u8]]) -> f32 {
    let (endpoint, half) = ("", Half::Request);
    let mut dictionaries = Dictionaries::default();
    if let Some(dictionary) = dictionary {
        dictionaries.insert(endpoint.to_owned(), half, Arc::clone(dictionary));
    }
    let mut packer = Packer::new(&dictionaries);
    let mut stored = 0;
    for bytes in bodies {
        let body = Unpacked {
            bytes,
            keep: StorageCompression::Auto,
            encoding: None,
            content_type: None,
            endpoint,
            half,
        };
        stored += packer.pack(&body).1.len();
    }
    let bytes: usize = bodies.iter().map(|body| body.len()).sum();
    stored as f32 / bytes.max(1) as f32
}

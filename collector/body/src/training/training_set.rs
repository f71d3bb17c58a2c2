//! The bodies that a dictionary is trained on, and whether it is better than the current one.

use std::sync::Arc;

use dossier_wire::{Half, StorageCompression};
use time::Duration;

use super::builder::{MAX_SAMPLE_BYTES, build_dictionary};
use super::shared_fragments::Sample;
use crate::dictionary::{Dictionaries, Dictionary, DictionaryId};
use crate::packing::{BodyPacker, UnpackedBody};

/// One body of this many is held out to evaluate a dictionary.
const HOLDOUT_INTERVAL: usize = 5;
/// A dictionary is replaced when its ratio is worse than at training by this factor.
const MAX_DEGRADATION: f32 = 1.1;
/// An older dictionary is replaced if a new one is better.
const MAX_AGE: Duration = Duration::days(7);
/// A new dictionary must improve the ratio by this factor.
const MAX_RELATIVE_RATIO: f32 = 0.97;

/// The dictionary that is in use now.
#[derive(Debug)]
pub struct CurrentDictionary {
    /// The dictionary.
    pub dictionary: Arc<Dictionary>,
    /// Packed bytes per byte, when it was trained.
    pub ratio: f32,
    /// Time since then.
    pub age: Duration,
}

/// A new dictionary, better than the current one.
#[derive(Debug)]
pub struct TrainedDictionary {
    /// In the format of zstd.
    pub bytes: Vec<u8>,
    /// Packed bytes per byte, of bodies that were held out.
    pub ratio: f32,
}

/// Bodies to train on.
#[derive(Debug)]
pub struct TrainingSet {
    current: Option<CurrentDictionary>,
    samples: Vec<(usize, Vec<u8>)>,
    /// Of all samples.
    bytes: usize,
}

impl TrainingSet {
    /// Limit of its bytes, bodies held out included.
    pub const MAX_BYTES: usize = MAX_SAMPLE_BYTES / (HOLDOUT_INTERVAL - 1) * HOLDOUT_INTERVAL;

    /// Without bodies.
    #[must_use]
    pub const fn new(current: Option<CurrentDictionary>) -> Self {
        Self {
            current,
            samples: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a body; `user` is any number that stands for its user.
    pub fn add(&mut self, user: usize, body: Vec<u8>) {
        self.bytes += body.len();
        self.samples.push((user, body));
    }

    /// Whether the limit is reached.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes >= Self::MAX_BYTES
    }

    /// Trains a dictionary if the current one has degraded, is old or does not exist. `None` if the current one
    /// is good, or the new one is not better. May take some seconds.
    #[must_use]
    pub fn train(&self) -> Option<TrainedDictionary> {
        let (held_out, training): (Vec<_>, Vec<_>) = self
            .samples
            .iter()
            .enumerate()
            .partition(|(number, _)| number % HOLDOUT_INTERVAL == 0);
        let held_out: Vec<&[u8]> = held_out.iter().map(|(_, (_, it))| it.as_slice()).collect();
        let now = ratio(self.current.as_ref().map(|it| &it.dictionary), &held_out);
        let is_good =
            |it: &CurrentDictionary| now <= it.ratio * MAX_DEGRADATION && it.age < MAX_AGE;
        if self.current.as_ref().is_some_and(is_good) {
            return None;
        }
        let samples: Vec<_> = training
            .iter()
            .map(|(_, (user, bytes))| Sample { user: *user, bytes })
            .collect();
        let bytes = build_dictionary(&samples)?;
        // It has no id yet, and is not used elsewhere.
        let candidate = Arc::new(Dictionary::new(DictionaryId(0), bytes.clone()).ok()?);
        let ratio = ratio(Some(&candidate), &held_out);
        (ratio < now * MAX_RELATIVE_RATIO).then_some(TrainedDictionary { bytes, ratio })
    }
}

/// Packed bytes per byte.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs three digits")]
fn ratio(dictionary: Option<&Arc<Dictionary>>, bodies: &[&[u8]]) -> f32 {
    let (endpoint, half) = ("", Half::Request);
    let mut dictionaries = Dictionaries::default();
    if let Some(dictionary) = dictionary {
        dictionaries.insert(endpoint.to_owned(), half, Arc::clone(dictionary));
    }
    let mut packer = BodyPacker::new(&dictionaries);
    let mut packed_bytes = 0;
    for bytes in bodies {
        let body = UnpackedBody {
            bytes,
            compression: StorageCompression::Auto,
            encoding: None,
            content_type: None,
            endpoint,
            half,
        };
        packed_bytes += packer.pack(&body).1.len();
    }
    let bytes: usize = bodies.iter().map(|body| body.len()).sum();
    packed_bytes as f32 / bytes.max(1) as f32
}

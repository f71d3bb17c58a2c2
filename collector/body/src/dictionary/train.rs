//! Makes a dictionary of what bodies of several users have in common.

use std::collections::{BinaryHeap, HashMap};

use super::shared::{SHORTEST, Sample, fragments};
use super::tables::head_length;

/// A fragment stands in the bodies of so many users, or it does not become part of a dictionary.
pub const LEAST_USERS: usize = 8;
/// Most bytes of a dictionary's content.
const MAX_CONTENT_BYTES: usize = 64 * 1024;
/// About what it takes to refer to a fragment.
const COST: usize = 3;
/// Some bytes stand in many fragments: no more of these are looked at.
const MOST_PLACES: usize = 64;
/// As much of what is known already is kept beside what is new: one reference to both is less than two.
const CONTEXT: usize = 64;
/// Most bytes that samples have together; the others are not looked at.
pub(super) const MAX_SAMPLE_BYTES: usize = 4 << 20;

/// Makes one, if bodies of enough users have something in common. It holds no fragment that fewer than
/// [`LEAST_USERS`] users have sent or received. Takes some seconds for four mebibytes of samples.
#[must_use]
pub fn train(samples: &[Sample<'_>]) -> Option<Vec<u8>> {
    let samples = bounded(samples);
    let content = content(samples);
    if content.is_empty() {
        return None;
    }
    // Of zstd's own dictionary, whose content is whatever one body has, only the tables are taken: how
    // frequent bytes, lengths and distances are in all samples together.
    let bodies: Vec<_> = samples.iter().map(|sample| sample.bytes).collect();
    let trained = zstd::dict::from_samples(&bodies, MAX_CONTENT_BYTES).ok()?;
    let mut dictionary = trained.get(..head_length(&trained)?)?.to_vec();
    dictionary.extend_from_slice(&content);
    Some(dictionary)
}

fn bounded<'a, 'b>(samples: &'a [Sample<'b>]) -> &'a [Sample<'b>] {
    let mut bytes = 0;
    let fitting = samples.iter().take_while(|sample| {
        bytes += sample.bytes.len();
        bytes <= MAX_SAMPLE_BYTES
    });
    samples.get(..fitting.count()).unwrap_or_default()
}

/// Fragments one behind the other, the most frequent last: what is nearer is referred to in fewer bits.
/// Nothing tells which of them stood beside each other in a body.
fn content(samples: &[Sample<'_>]) -> Vec<u8> {
    choose(samples, LEAST_USERS).concat()
}

/// The fragments of at least so many users that together save most.
pub(super) fn choose<'a>(samples: &[Sample<'a>], users: usize) -> Vec<&'a [u8]> {
    let found = fragments(samples, users).into_iter();
    let mut waiting: BinaryHeap<_> = found
        .map(|(bytes, times)| Candidate::of(bytes, times))
        .collect();
    let mut chosen = Chosen::default();
    while let Some(best) = waiting.pop() {
        let Some(best) = chosen.left_of(best) else {
            continue;
        };
        if waiting.peek().is_some_and(|next| *next > best) {
            // The fragments chosen meanwhile save a part of what it would have saved.
            waiting.push(best);
            continue;
        }
        if chosen.size + best.bytes.len() > MAX_CONTENT_BYTES {
            break;
        }
        chosen.add(best);
    }
    chosen.fragments.sort_by_key(|fragment| fragment.times);
    chosen.fragments.iter().map(|it| it.bytes).collect()
}

/// A fragment that may be chosen. The one that saves most is the greatest; of those that save the same, always the
/// same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    saves: usize,
    bytes: &'a [u8],
    times: usize,
}

impl<'a> Candidate<'a> {
    fn of(bytes: &'a [u8], times: usize) -> Self {
        Self {
            saves: bytes.len().saturating_sub(COST) * times,
            bytes,
            times,
        }
    }
}

/// The fragments chosen so far.
#[derive(Default)]
struct Chosen<'a> {
    size: usize,
    fragments: Vec<Candidate<'a>>,
    /// Where some bytes stand: the number of the fragment, and the place in it.
    places: HashMap<&'a [u8], Vec<(usize, usize)>>,
}

impl<'a> Chosen<'a> {
    fn add(&mut self, fragment: Candidate<'a>) {
        let number = self.fragments.len();
        for (place, bytes) in fragment.bytes.windows(SHORTEST).enumerate() {
            let places = self.places.entry(bytes).or_default();
            if places.len() < MOST_PLACES {
                places.push((number, place));
            }
        }
        self.size += fragment.bytes.len();
        self.fragments.push(fragment);
    }

    /// What a fragment is worth beside those chosen: without a beginning and an end that stand in one of
    /// them, but for some bytes next to what is new.
    fn left_of(&self, fragment: Candidate<'a>) -> Option<Candidate<'a>> {
        let Candidate { bytes, times, .. } = fragment;
        let head = self.known_head(bytes);
        let (_, rest) = bytes.split_at_checked(head)?;
        let tail = self.known_tail(rest);
        let new = rest.len().checked_sub(tail)?;
        if new < SHORTEST {
            return None;
        }
        let end = bytes.len() - tail.saturating_sub(CONTEXT);
        Some(Candidate {
            saves: new.saturating_sub(COST) * times,
            bytes: bytes.get(head.saturating_sub(CONTEXT)..end)?,
            times,
        })
    }

    /// The longest beginning that stands in a fragment.
    fn known_head(&self, bytes: &[u8]) -> usize {
        let known = self.known(bytes.get(..SHORTEST).unwrap_or_default());
        let lengths = known.map(|(_, behind)| alike(bytes.iter(), behind.iter()));
        lengths.max().unwrap_or(0)
    }

    /// The longest end that stands in a fragment.
    fn known_tail(&self, bytes: &[u8]) -> usize {
        let last = bytes.len().saturating_sub(SHORTEST);
        let known = self.known(bytes.get(last..).unwrap_or_default());
        let lengths = known.map(|(before, behind)| {
            let upwards = before.iter().chain(behind.iter().take(SHORTEST)).rev();
            alike(bytes.iter().rev(), upwards)
        });
        lengths.max().unwrap_or(0)
    }

    /// Fragments in which these bytes stand, divided where they begin.
    fn known(&self, bytes: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let places = self.places.get(bytes).into_iter().flatten();
        places.filter_map(|(number, place)| {
            let fragment = self.fragments.get(*number)?;
            fragment.bytes.split_at_checked(*place)
        })
    }
}

/// How many bytes are the same from the first on.
fn alike<'a>(one: impl Iterator<Item = &'a u8>, other: impl Iterator<Item = &'a u8>) -> usize {
    one.zip(other).take_while(|(a, b)| a == b).count()
}

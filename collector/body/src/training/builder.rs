//! Builds a dictionary of what bodies of several users have in common.

use std::collections::{BinaryHeap, HashMap};

use super::entropy_tables::header_length;
use super::shared_fragments::{MIN_FRAGMENT_BYTES, Sample, shared_fragments};

/// A dictionary contains only fragments from the bodies of at least this many users.
pub const MIN_USERS: usize = 8;
/// Longest content of a dictionary.
const MAX_CONTENT_BYTES: usize = 64 * 1024;
/// Approximate size of a reference to a fragment.
const REFERENCE_BYTES: usize = 3;
/// Of bytes that occur in many fragments, only this many positions are indexed.
const MAX_POSITIONS: usize = 64;
/// New bytes are stored with this much of what is already chosen: one reference to both is shorter than two.
const CONTEXT_BYTES: usize = 64;
/// Limit of the bytes of all samples; the rest is ignored.
pub(super) const MAX_SAMPLE_BYTES: usize = 4 << 20;

/// `None` if bodies of enough users have nothing in common. Contains no fragment that fewer than
/// [`MIN_USERS`] users have sent or received. Takes some seconds for 4 MiB of samples.
pub(super) fn build_dictionary(samples: &[Sample<'_>]) -> Option<Vec<u8>> {
    let samples = within_limit(samples);
    let content = content(samples);
    if content.is_empty() {
        return None;
    }
    // zstd's own dictionary may contain anything of a single body, so only its entropy tables are used: they are
    // statistics of all samples.
    let bodies: Vec<_> = samples.iter().map(|sample| sample.bytes).collect();
    let trained = zstd::dict::from_samples(&bodies, MAX_CONTENT_BYTES).ok()?;
    let mut dictionary = trained.get(..header_length(&trained)?)?.to_vec();
    dictionary.extend_from_slice(&content);
    Some(dictionary)
}

fn within_limit<'a, 'b>(samples: &'a [Sample<'b>]) -> &'a [Sample<'b>] {
    let mut bytes = 0;
    let fitting = samples.iter().take_while(|sample| {
        bytes += sample.bytes.len();
        bytes <= MAX_SAMPLE_BYTES
    });
    samples.get(..fitting.count()).unwrap_or_default()
}

/// Concatenated fragments, the most frequent last, since nearer ones take fewer bits to refer to. Their order
/// does not reveal which of them were adjacent in a body.
fn content(samples: &[Sample<'_>]) -> Vec<u8> {
    choose(samples, MIN_USERS).concat()
}

/// The fragments of at least `users` users that together save most.
pub(super) fn choose<'a>(samples: &[Sample<'a>], users: usize) -> Vec<&'a [u8]> {
    let found = shared_fragments(samples, users).into_iter();
    let mut candidates: BinaryHeap<_> = found
        .map(|(bytes, times)| CountedFragment::new(bytes, times))
        .collect();
    let mut chosen = Chosen::default();
    while let Some(best) = candidates.pop() {
        let Some(best) = chosen.without_known_parts(best) else {
            continue;
        };
        if candidates.peek().is_some_and(|next| *next > best) {
            // Fragments chosen since it was added save part of what it would save.
            candidates.push(best);
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

/// A fragment that may be chosen, ordered by what it saves; ties are broken by its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CountedFragment<'a> {
    saves: usize,
    bytes: &'a [u8],
    times: usize,
}

impl<'a> CountedFragment<'a> {
    fn new(bytes: &'a [u8], times: usize) -> Self {
        Self {
            saves: bytes.len().saturating_sub(REFERENCE_BYTES) * times,
            bytes,
            times,
        }
    }
}

/// The fragments chosen so far.
#[derive(Default)]
struct Chosen<'a> {
    size: usize,
    fragments: Vec<CountedFragment<'a>>,
    /// Where bytes occur: index of the fragment, and position in it.
    positions: HashMap<&'a [u8], Vec<(usize, usize)>>,
}

impl<'a> Chosen<'a> {
    fn add(&mut self, fragment: CountedFragment<'a>) {
        let number = self.fragments.len();
        for (place, bytes) in fragment.bytes.windows(MIN_FRAGMENT_BYTES).enumerate() {
            let places = self.positions.entry(bytes).or_default();
            if places.len() < MAX_POSITIONS {
                places.push((number, place));
            }
        }
        self.size += fragment.bytes.len();
        self.fragments.push(fragment);
    }

    /// A fragment without the beginning and the end that occur in a chosen one, except for [`CONTEXT_BYTES`].
    fn without_known_parts(&self, fragment: CountedFragment<'a>) -> Option<CountedFragment<'a>> {
        let CountedFragment { bytes, times, .. } = fragment;
        let head = self.known_head(bytes);
        let (_, rest) = bytes.split_at_checked(head)?;
        let tail = self.known_tail(rest);
        let new = rest.len().checked_sub(tail)?;
        if new < MIN_FRAGMENT_BYTES {
            return None;
        }
        let end = bytes.len() - tail.saturating_sub(CONTEXT_BYTES);
        Some(CountedFragment {
            saves: new.saturating_sub(REFERENCE_BYTES) * times,
            bytes: bytes.get(head.saturating_sub(CONTEXT_BYTES)..end)?,
            times,
        })
    }

    /// Length of the longest beginning that occurs in a chosen fragment.
    fn known_head(&self, bytes: &[u8]) -> usize {
        let known = self.known(bytes.get(..MIN_FRAGMENT_BYTES).unwrap_or_default());
        let lengths = known.map(|(_, from)| common_prefix(bytes.iter(), from.iter()));
        lengths.max().unwrap_or(0)
    }

    /// Length of the longest end that occurs in a chosen fragment.
    fn known_tail(&self, bytes: &[u8]) -> usize {
        let last = bytes.len().saturating_sub(MIN_FRAGMENT_BYTES);
        let known = self.known(bytes.get(last..).unwrap_or_default());
        let lengths = known.map(|(before, from)| {
            let upwards = before
                .iter()
                .chain(from.iter().take(MIN_FRAGMENT_BYTES))
                .rev();
            common_prefix(bytes.iter().rev(), upwards)
        });
        lengths.max().unwrap_or(0)
    }

    /// Chosen fragments in which these bytes occur, split where they begin.
    fn known(&self, bytes: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let places = self.positions.get(bytes).into_iter().flatten();
        places.filter_map(|(number, place)| {
            let fragment = self.fragments.get(*number)?;
            fragment.bytes.split_at_checked(*place)
        })
    }
}

fn common_prefix<'a>(
    one: impl Iterator<Item = &'a u8>,
    other: impl Iterator<Item = &'a u8>,
) -> usize {
    one.zip(other).take_while(|(a, b)| a == b).count()
}

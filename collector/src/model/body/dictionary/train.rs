//! Makes a dictionary of what bodies of several users have in common.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::shared::{SHORTEST, Sample, fragments};
use super::tables::head_length;

/// A fragment stands in the bodies of so many users, or it does not become part of a dictionary.
pub const LEAST_USERS: usize = 8;
/// Most bytes of a dictionary's content.
const MAX_CONTENT_BYTES: usize = 64 * 1024;
/// About what it takes to refer to a fragment.
const COST: usize = 3;
/// Most bytes that samples have together; the others are not looked at.
const MAX_SAMPLE_BYTES: usize = 1 << 20;

/// Makes one, if bodies of enough users have something in common. It holds no fragment that fewer than
/// [`LEAST_USERS`] users have sent or received. Takes about a second for a mebibyte of samples.
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
    let mut found: Vec<_> = fragments(samples, LEAST_USERS).into_iter().collect();
    found.sort_unstable_by_key(|(fragment, times)| {
        (
            Reverse(fragment.len().saturating_sub(COST) * times),
            *fragment,
        )
    });
    let mut chosen = Chosen::default();
    for (fragment, times) in found {
        if chosen.size + fragment.len() > MAX_CONTENT_BYTES {
            break;
        }
        if !chosen.contains(fragment) {
            chosen.add(fragment, times);
        }
    }
    chosen.fragments.sort_by_key(|(times, _)| *times);
    let content: Vec<_> = chosen.fragments.iter().map(|(_, bytes)| *bytes).collect();
    content.concat()
}

/// The fragments chosen so far.
#[derive(Default)]
struct Chosen<'a> {
    size: usize,
    fragments: Vec<(usize, &'a [u8])>,
    /// Where each beginning of a fragment stands in one of them.
    places: HashMap<&'a [u8], Vec<&'a [u8]>>,
    seen: HashSet<&'a [u8]>,
}

impl<'a> Chosen<'a> {
    fn add(&mut self, fragment: &'a [u8], times: usize) {
        self.size += fragment.len();
        self.fragments.push((times, fragment));
        for (place, beginning) in fragment.windows(SHORTEST).enumerate() {
            let rest = fragment.get(place..).unwrap_or_default();
            if self.seen.insert(rest) {
                self.places.entry(beginning).or_default().push(rest);
            }
        }
    }

    /// Whether one of them contains it.
    fn contains(&self, fragment: &[u8]) -> bool {
        let beginning = fragment.get(..SHORTEST).unwrap_or_default();
        let rests = self.places.get(beginning);
        rests.is_some_and(|rests| rests.iter().any(|rest| rest.starts_with(fragment)))
    }
}

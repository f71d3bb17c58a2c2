//! What bodies of several users have in common.
//!
//! A fragment is shared if it stands, as a whole, in the bodies of so many different users that it is
//! nobody's own. All suffixes of the samples are sorted: those that begin alike are then neighbours, and
//! the shortest run of neighbours with enough users tells how long a beginning they share.

use std::collections::{HashMap, VecDeque};

/// A body to learn from.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Stands for its user: equal for bodies of the same user, different for others.
    pub user: usize,
    /// Its beginning.
    pub bytes: &'a [u8],
}

/// Shorter fragments save nothing: to refer to one takes about three bytes.
pub(super) const SHORTEST: usize = 5;
/// Longer fragments are cut, so that no comparison takes long.
const LONGEST: usize = 512;

/// The rest of a sample from some place on.
struct Suffix<'a> {
    user: usize,
    sample: usize,
    place: usize,
    bytes: &'a [u8],
}

/// Fragments that stand in bodies of at least `users` users, with how often they stand in the samples,
/// beside each other. In no order that tells which sample they come from.
pub(super) fn fragments<'a>(samples: &[Sample<'a>], users: usize) -> HashMap<&'a [u8], usize> {
    let suffixes = sorted_suffixes(samples);
    let lengths = shared_lengths(&suffixes, users);
    let mut by_place: Vec<_> = suffixes.iter().zip(lengths).collect();
    by_place.sort_unstable_by_key(|(suffix, _)| (suffix.sample, suffix.place));
    let mut found = HashMap::new();
    let mut free = (0, 0);
    for (suffix, length) in by_place {
        let place = (suffix.sample, suffix.place);
        if length < SHORTEST || place < free {
            continue;
        }
        if let Some(fragment) = suffix.bytes.get(..length) {
            *found.entry(fragment).or_insert(0) += 1;
            free = (suffix.sample, suffix.place + length);
        }
    }
    found
}

/// Of the places where words and signs begin: fragments that begin within a word are rarely of use.
fn sorted_suffixes<'a>(samples: &[Sample<'a>]) -> Vec<Suffix<'a>> {
    let mut suffixes = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let mut within = false;
        for (place, byte) in sample.bytes.iter().enumerate() {
            let begins = !within;
            within = byte.is_ascii_alphanumeric();
            if !begins && within {
                continue;
            }
            let rest = sample.bytes.get(place..).unwrap_or_default();
            suffixes.push(Suffix {
                user: sample.user,
                sample: number,
                place,
                bytes: rest.get(..LONGEST).unwrap_or(rest),
            });
        }
    }
    suffixes.sort_unstable_by_key(|suffix| suffix.bytes);
    suffixes
}

/// A shortest run of neighbours with enough users: where it begins, and how many bytes all share.
#[derive(Clone, Copy)]
struct Run {
    first: usize,
    shared: usize,
}

/// Of each suffix, how long a beginning it shares with so many users, its own one of them.
fn shared_lengths(suffixes: &[Suffix<'_>], users: usize) -> Vec<usize> {
    let runs = runs(suffixes, users);
    let mut lengths = Vec::with_capacity(suffixes.len());
    // Runs that a suffix is part of; those that share more than all behind them.
    let mut open: VecDeque<(usize, usize)> = VecDeque::new();
    let mut next = 0;
    for place in 0..suffixes.len() {
        while let Some(run) = runs.get(next) {
            if let Some(run) = run {
                if run.first > place {
                    break;
                }
                while open
                    .pop_back_if(|(_, shared)| *shared <= run.shared)
                    .is_some()
                {}
                open.push_back((next, run.shared));
            }
            next += 1;
        }
        while open.pop_front_if(|(last, _)| *last < place).is_some() {}
        lengths.push(open.front().map_or(0, |(_, shared)| *shared));
    }
    lengths
}

/// The run that ends at each suffix.
fn runs(suffixes: &[Suffix<'_>], users: usize) -> Vec<Option<Run>> {
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut members = VecDeque::new();
    // What neighbours share: the least from each place on, in rising order.
    let mut least: VecDeque<(usize, usize)> = VecDeque::new();
    let mut before: &[u8] = &[];
    let mut first = 0;
    let mut runs = Vec::with_capacity(suffixes.len());
    for (place, suffix) in suffixes.iter().enumerate() {
        let shared = common_beginning(before, suffix.bytes);
        before = suffix.bytes;
        while least.pop_back_if(|(_, other)| *other >= shared).is_some() {}
        least.push_back((place, shared));
        members.push_back(suffix.user);
        *seen.entry(suffix.user).or_insert(0) += 1;
        while let Some(user) = members.front().copied() {
            let times = seen.get(&user).copied().unwrap_or(0);
            if seen.len() < users || (seen.len() == users && times == 1) {
                break;
            }
            members.pop_front();
            first += 1;
            if times == 1 {
                seen.remove(&user);
            } else {
                seen.insert(user, times - 1);
            }
        }
        while least.pop_front_if(|(at, _)| *at <= first).is_some() {}
        runs.push((seen.len() >= users).then(|| {
            Run {
                first,
                shared: least
                    .front()
                    .map_or(suffix.bytes.len(), |(_, least)| *least),
            }
        }));
    }
    runs
}

fn common_beginning(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

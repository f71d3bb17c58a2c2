//! Finds what bodies of several users have in common.
//!
//! A fragment is shared if it occurs as a whole in the bodies of enough different users. All suffixes of the
//! samples are sorted, so that those with a common prefix are neighbours: the shortest run of neighbours of
//! enough users has the longest prefix that these share.

use std::collections::{HashMap, VecDeque};

/// A body to train on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    /// Equal for bodies of the same user, different for others.
    pub(super) user: usize,
    /// Its beginning.
    pub(super) bytes: &'a [u8],
}

/// Shorter fragments save nothing: a reference takes about three bytes.
pub(super) const MIN_FRAGMENT_BYTES: usize = 5;
/// Longer fragments are cut, to bound the time of comparisons.
const MAX_FRAGMENT_BYTES: usize = 512;

/// The rest of a sample from a position. Small, since there may be millions.
#[derive(Clone, Copy)]
struct Suffix {
    sample: u32,
    position: u32,
}

/// Looks up what suffixes refer to.
#[derive(Clone, Copy)]
struct Samples<'s, 'a>(&'s [Sample<'a>]);

impl<'a> Samples<'_, 'a> {
    fn sample(&self, suffix: Suffix) -> Option<&Sample<'a>> {
        self.0.get(suffix.sample as usize)
    }

    fn user(&self, suffix: Suffix) -> usize {
        self.sample(suffix).map_or(0, |sample| sample.user)
    }

    /// The bytes of a suffix that are compared.
    fn bytes(&self, suffix: Suffix) -> &'a [u8] {
        let sample = self.sample(suffix).map_or(&[][..], |sample| sample.bytes);
        let rest = sample.get(suffix.position as usize..).unwrap_or_default();
        rest.get(..MAX_FRAGMENT_BYTES).unwrap_or(rest)
    }
}

/// Fragments that occur in bodies of at least `users` users, with the number of their non-overlapping
/// occurrences. Unordered, so that nothing reveals which sample they come from.
pub(super) fn shared_fragments<'a>(
    samples: &[Sample<'a>],
    users: usize,
) -> HashMap<&'a [u8], usize> {
    let lengths = shared_lengths_by_position(samples, users);
    let mut remaining = lengths.as_slice();
    let mut found = HashMap::new();
    for sample in samples {
        let (lengths, rest) = remaining
            .split_at_checked(sample.bytes.len())
            .unwrap_or_default();
        remaining = rest;
        let mut free = 0;
        for (place, length) in lengths
            .iter()
            .map(|length| usize::from(*length))
            .enumerate()
        {
            if length < MIN_FRAGMENT_BYTES || place < free {
                continue;
            }
            if let Some(fragment) = sample.bytes.get(place..place + length) {
                *found.entry(fragment).or_insert(0) += 1;
                free = place + length;
            }
        }
    }
    found
}

/// For each byte of all samples, the length of the longest prefix from there that enough users share; 0 where no
/// word or sign begins.
fn shared_lengths_by_position(samples: &[Sample<'_>], users: usize) -> Vec<u16> {
    let mut begins = Vec::with_capacity(samples.len());
    let mut bytes = 0;
    for sample in samples {
        begins.push(bytes);
        bytes += sample.bytes.len();
    }
    let samples = Samples(samples);
    let suffixes = sorted_suffixes(samples);
    let shared = shared_lengths(samples, &suffixes, users);
    let mut lengths = vec![0; bytes];
    for (suffix, shared) in suffixes.iter().zip(shared) {
        let begin = begins.get(suffix.sample as usize).copied().unwrap_or(bytes);
        if let Some(length) = lengths.get_mut(begin + suffix.position as usize) {
            *length = shared;
        }
    }
    lengths
}

/// The suffixes that begin with a word or sign: fragments that begin within a word rarely help.
fn sorted_suffixes(samples: Samples<'_, '_>) -> Vec<Suffix> {
    let mut suffixes = Vec::new();
    for (sample, of) in (0_u32..).zip(samples.0) {
        let mut within = false;
        for (position, byte) in (0_u32..).zip(of.bytes) {
            let begins = !within;
            // Continuation bytes of UTF-8.
            let continues = matches!(byte, 0x80..=0xbf);
            within = continues || byte.is_ascii_alphanumeric();
            if !continues && (begins || !within) {
                suffixes.push(Suffix { sample, position });
            }
        }
    }
    suffixes.sort_unstable_by(|one, other| samples.bytes(*one).cmp(samples.bytes(*other)));
    suffixes
}

/// A shortest run of neighbours of enough users: its first suffix, and the length of their common prefix, 0 if
/// there is no such run.
#[derive(Clone, Copy)]
struct Run {
    first: u32,
    shared: u16,
}

/// For each suffix, the length of the longest prefix that it shares with enough users, its own included.
fn shared_lengths(samples: Samples<'_, '_>, suffixes: &[Suffix], users: usize) -> Vec<u16> {
    let runs = runs(samples, suffixes, users);
    let mut lengths = Vec::with_capacity(suffixes.len());
    // The runs that include the current suffix and share more than all later ones.
    let mut open: VecDeque<(usize, u16)> = VecDeque::new();
    let mut next = 0;
    for place in 0..suffixes.len() {
        while let Some(run) = runs.get(next) {
            if run.shared > 0 {
                if run.first as usize > place {
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

/// For each suffix, the run that ends there.
fn runs(samples: Samples<'_, '_>, suffixes: &[Suffix], users: usize) -> Vec<Run> {
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut members = VecDeque::new();
    // Sliding minimum of the common prefixes of neighbours, in rising order.
    let mut minima: VecDeque<(u32, usize)> = VecDeque::new();
    let mut before: &[u8] = &[];
    let mut first = 0;
    let mut runs = Vec::with_capacity(suffixes.len());
    for (place, suffix) in (0_u32..).zip(suffixes) {
        let (user, bytes) = (samples.user(*suffix), samples.bytes(*suffix));
        let shared = common_prefix(before, bytes);
        before = bytes;
        while minima.pop_back_if(|(_, other)| *other >= shared).is_some() {}
        minima.push_back((place, shared));
        members.push_back(user);
        *seen.entry(user).or_insert(0) += 1;
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
        while minima.pop_front_if(|(at, _)| *at <= first).is_some() {}
        let shared = minima.front().map_or(bytes.len(), |(_, least)| *least);
        let shared = if seen.len() >= users { shared } else { 0 };
        let shared = u16::try_from(shared).unwrap_or(u16::MAX);
        runs.push(Run { first, shared });
    }
    runs
}

fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

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

/// The rest of a sample from some place on. There may be millions of them: it is small.
#[derive(Clone, Copy)]
struct Suffix {
    sample: u32,
    place: u32,
}

/// The samples that suffixes are of.
#[derive(Clone, Copy)]
struct Samples<'s, 'a>(&'s [Sample<'a>]);

impl<'a> Samples<'_, 'a> {
    fn of(&self, suffix: Suffix) -> Option<&Sample<'a>> {
        self.0.get(suffix.sample as usize)
    }

    fn user(&self, suffix: Suffix) -> usize {
        self.of(suffix).map_or(0, |sample| sample.user)
    }

    /// As many bytes of a suffix as are compared.
    fn bytes(&self, suffix: Suffix) -> &'a [u8] {
        let sample = self.of(suffix).map_or(&[][..], |sample| sample.bytes);
        let rest = sample.get(suffix.place as usize..).unwrap_or_default();
        rest.get(..LONGEST).unwrap_or(rest)
    }
}

/// Fragments that stand in bodies of at least `users` users, with how often they stand in the samples,
/// beside each other. In no order that tells which sample they come from.
pub(super) fn fragments<'a>(samples: &[Sample<'a>], users: usize) -> HashMap<&'a [u8], usize> {
    let lengths = lengths_by_place(samples, users);
    let mut behind = lengths.as_slice();
    let mut found = HashMap::new();
    for sample in samples {
        let (lengths, rest) = behind
            .split_at_checked(sample.bytes.len())
            .unwrap_or_default();
        behind = rest;
        let mut free = 0;
        for (place, length) in lengths
            .iter()
            .map(|length| usize::from(*length))
            .enumerate()
        {
            if length < SHORTEST || place < free {
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

/// For each byte of all samples, how long a beginning of what follows it is shared by so many users; 0 where
/// no word or sign begins.
fn lengths_by_place(samples: &[Sample<'_>], users: usize) -> Vec<u16> {
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
        if let Some(length) = lengths.get_mut(begin + suffix.place as usize) {
            *length = shared;
        }
    }
    lengths
}

/// Of the places where words and signs begin: fragments that begin within a word are rarely of use.
fn sorted_suffixes(samples: Samples<'_, '_>) -> Vec<Suffix> {
    let mut suffixes = Vec::new();
    for (sample, of) in (0_u32..).zip(samples.0) {
        let mut within = false;
        for (place, byte) in (0_u32..).zip(of.bytes) {
            let begins = !within;
            // The further bytes of a character beyond ASCII.
            let continues = matches!(byte, 0x80..=0xbf);
            within = continues || byte.is_ascii_alphanumeric();
            if !continues && (begins || !within) {
                suffixes.push(Suffix { sample, place });
            }
        }
    }
    suffixes.sort_unstable_by(|one, other| samples.bytes(*one).cmp(samples.bytes(*other)));
    suffixes
}

/// A shortest run of neighbours with enough users: where it begins, and how many bytes all share. None: 0.
#[derive(Clone, Copy)]
struct Run {
    first: u32,
    shared: u16,
}

/// Of each suffix, how long a beginning it shares with so many users, its own one of them.
fn shared_lengths(samples: Samples<'_, '_>, suffixes: &[Suffix], users: usize) -> Vec<u16> {
    let runs = runs(samples, suffixes, users);
    let mut lengths = Vec::with_capacity(suffixes.len());
    // Runs that a suffix is part of; those that share more than all behind them.
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

/// The run that ends at each suffix.
fn runs(samples: Samples<'_, '_>, suffixes: &[Suffix], users: usize) -> Vec<Run> {
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut members = VecDeque::new();
    // What neighbours share: the least from each place on, in rising order.
    let mut least: VecDeque<(u32, usize)> = VecDeque::new();
    let mut before: &[u8] = &[];
    let mut first = 0;
    let mut runs = Vec::with_capacity(suffixes.len());
    for (place, suffix) in (0_u32..).zip(suffixes) {
        let (user, bytes) = (samples.user(*suffix), samples.bytes(*suffix));
        let shared = common_beginning(before, bytes);
        before = bytes;
        while least.pop_back_if(|(_, other)| *other >= shared).is_some() {}
        least.push_back((place, shared));
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
        while least.pop_front_if(|(at, _)| *at <= first).is_some() {}
        let shared = least.front().map_or(bytes.len(), |(_, least)| *least);
        let shared = if seen.len() >= users { shared } else { 0 };
        let shared = u16::try_from(shared).unwrap_or(u16::MAX);
        runs.push(Run { first, shared });
    }
    runs
}

fn common_beginning(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

//! The command line.

use std::path::PathBuf;

use crate::price::{Protocol, Variant};

/// What to measure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    Streaming(Streaming),
    Filter(Price),
    Retention(Retention),
    Ingest(Ingest),
    /// Whether the filter's memory stays where it is.
    Soak {
        /// Of full load.
        minutes: usize,
    },
    /// What the collector adds to the bare SQL.
    Query {
        /// Turns of each question.
        rounds: usize,
    },
    /// How much of the disk bodies take.
    Storage {
        /// Turns of each way to read.
        rounds: usize,
    },
}

/// Whether events arrive as soon as without the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streaming {
    /// Turns of each Envoy.
    pub(crate) rounds: usize,
    /// Streams in a turn.
    pub(crate) streams: usize,
}

/// What recording costs each request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Price {
    /// Turns of each Envoy.
    pub(crate) rounds: usize,
    /// Envoys that are compared; the first is always the plain one.
    pub(crate) variants: Vec<Variant>,
    /// Bytes of the bodies.
    pub(crate) sizes: Vec<usize>,
    /// Worker threads of each Envoy.
    pub(crate) workers: Vec<u16>,
    pub(crate) protocols: Vec<Protocol>,
    /// Where the tables go.
    pub(crate) out: PathBuf,
}

/// How expired entries leave while batches come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Each with its own expired entries.
    pub(crate) rounds: usize,
    /// Entries that have expired, each with a body.
    pub(crate) entries: usize,
    /// How long batches come alone, and again while the entries leave.
    pub(crate) seconds: usize,
}

/// How fast batches get in, beside `psql`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ingest {
    /// Turns of both.
    pub(crate) rounds: usize,
    /// Records of a turn.
    pub(crate) records: usize,
    /// Bytes of the bodies.
    pub(crate) sizes: Vec<usize>,
    /// HTTP connections, each with one batch under way.
    pub(crate) connections: usize,
    /// How many `psql` share the rows.
    pub(crate) copies: usize,
}

const USAGE: &str = "usage: dossier-bench streaming [--rounds 1..1000] [--streams 1..1000]
       dossier-bench filter [--rounds 1..1000] [--sizes BYTES,..] [--workers 1..8,..] [--protocols 1,2]
                            [--variants 0..14,..] [--out FOLDER]
       dossier-bench soak [--minutes 1..1000]
       dossier-bench query [--rounds 1..1000]
       dossier-bench storage [--rounds 1..1000]
       dossier-bench ingest [--rounds 1..1000] [--records 1..10000000] [--sizes BYTES,..] [--connections 1..1000]
                            [--copies 1..8]
       dossier-bench retention [--rounds 1..1000] [--entries 1..10000000] [--seconds 1..1000]";
const MOST: usize = 1000;
/// Bodies larger than this are beyond what is recorded.
const MOST_BYTES: usize = 1 << 20;
const MOST_WORKERS: u16 = 8;
const MOST_ENTRIES: usize = 10_000_000;
const MOST_COPIES: usize = 8;

impl Arguments {
    /// Reads them, without the program's name.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, &'static str> {
        match words.next().as_deref() {
            Some("streaming") => Streaming::read(words).map(Self::Streaming),
            Some("filter") => Price::read(words).map(Self::Filter),
            Some("retention") => Retention::read(words).map(Self::Retention),
            Some("ingest") => Ingest::read(words).map(Self::Ingest),
            Some("soak") => read_one(words, "--minutes", 10).map(|minutes| Self::Soak { minutes }),
            Some("query") => read_rounds(words).map(|rounds| Self::Query { rounds }),
            Some("storage") => read_rounds(words).map(|rounds| Self::Storage { rounds }),
            _ => None,
        }
        .ok_or(USAGE)
    }
}

/// How many rounds.
fn read_rounds(words: impl Iterator<Item = String>) -> Option<usize> {
    read_one(words, "--rounds", 50)
}

/// The one number that there is.
fn read_one(
    mut words: impl Iterator<Item = String>,
    name: &str,
    otherwise: usize,
) -> Option<usize> {
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Some(otherwise),
        (Some(given), Some(number), None) if given == name => count(&number),
        _ => None,
    }
}

impl Streaming {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self {
            rounds: 20,
            streams: 30,
        };
        while let Some(word) = words.next() {
            let place = match word.as_str() {
                "--rounds" => &mut arguments.rounds,
                "--streams" => &mut arguments.streams,
                _ => return None,
            };
            *place = count(&words.next()?)?;
        }
        Some(arguments)
    }
}

impl Retention {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self {
            rounds: 1,
            entries: 1_000_000,
            seconds: 20,
        };
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--rounds" => arguments.rounds = count(&value)?,
                "--seconds" => arguments.seconds = count(&value)?,
                "--entries" => arguments.entries = entries(&value)?,
                _ => return None,
            }
        }
        Some(arguments)
    }
}

impl Ingest {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self {
            rounds: 10,
            records: 60_000,
            sizes: vec![1 << 10, 4 << 10],
            connections: 24,
            copies: 1,
        };
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--rounds" => arguments.rounds = count(&value)?,
                "--records" => arguments.records = entries(&value)?,
                "--sizes" => arguments.sizes = list(&value, body_size)?,
                "--connections" => arguments.connections = count(&value)?,
                "--copies" => {
                    let copies = value.parse().ok();
                    arguments.copies =
                        copies.filter(|copies| (1..=MOST_COPIES).contains(copies))?;
                }
                _ => return None,
            }
        }
        Some(arguments)
    }
}

impl Price {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self {
            rounds: 12,
            variants: Variant::ALL.to_vec(),
            sizes: vec![0, 1 << 10, 16 << 10, 256 << 10],
            workers: vec![1, 2],
            protocols: vec![Protocol::Http1, Protocol::Http2],
            out: PathBuf::from("target/bench"),
        };
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--rounds" => arguments.rounds = count(&value)?,
                "--sizes" => arguments.sizes = list(&value, body_size)?,
                "--workers" => {
                    let worker = |text: &str| {
                        text.parse()
                            .ok()
                            .filter(|workers| (1..=MOST_WORKERS).contains(workers))
                    };
                    arguments.workers = list(&value, worker)?;
                }
                "--protocols" => {
                    arguments.protocols = list(&value, |text| match text {
                        "1" => Some(Protocol::Http1),
                        "2" => Some(Protocol::Http2),
                        _ => None,
                    })?;
                }
                "--variants" => {
                    let variant =
                        |text: &str| Variant::ALL.get(text.parse::<usize>().ok()?).copied();
                    arguments.variants = list(&value, variant)?;
                    // What the others are compared with.
                    arguments
                        .variants
                        .retain(|variant| *variant != Variant::Plain);
                    arguments.variants.insert(0, Variant::Plain);
                }
                "--out" => arguments.out = PathBuf::from(value),
                _ => return None,
            }
        }
        Some(arguments)
    }
}

fn count(word: &str) -> Option<usize> {
    let number = word.parse().ok()?;
    (1..=MOST).contains(&number).then_some(number)
}

fn entries(word: &str) -> Option<usize> {
    let number = word.parse().ok()?;
    (1..=MOST_ENTRIES).contains(&number).then_some(number)
}

fn body_size(word: &str) -> Option<usize> {
    word.parse().ok().filter(|size| *size <= MOST_BYTES)
}

/// All of them or none.
fn list<T>(words: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    words.split(',').map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, &'static str> {
        Arguments::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn numbers_are_bounded_and_the_rest_is_refused() {
        let (rounds, streams) = (2, 1000);
        let given = read("streaming --streams 1000 --rounds 2");
        assert_eq!(
            given,
            Ok(Arguments::Streaming(Streaming { rounds, streams }))
        );
        assert_eq!(read("query"), Ok(Arguments::Query { rounds: 50 }));
        assert_eq!(read("query --rounds 7"), Ok(Arguments::Query { rounds: 7 }));
        for wrong in [
            "",
            "loading",
            "streaming --rounds",
            "streaming --rounds 0",
            "streaming --streams 1001",
            "streaming --stream 5",
            "query --rounds",
            "query --rounds 1001",
            "query --rounds 5 --rounds 5",
            "query --streams 5",
            "filter --rounds 0",
            "filter --sizes 1,x",
            "filter --sizes 2000000",
            "filter --workers 0",
            "filter --protocols 3",
            "filter --variants 15",
            "filter --out",
            "soak --minutes 0",
            "soak --rounds 5",
            "storage --rounds 0",
            "ingest --copies 9",
            "ingest --connections 0",
            "ingest --sizes 2000000",
            "retention --rounds 0",
            "retention --entries 10000001",
            "retention --seconds",
        ] {
            assert_eq!(read(wrong), Err(USAGE), "{wrong}");
        }
    }

    #[test]
    fn the_plain_envoy_is_always_among_those_compared() {
        let Ok(Arguments::Filter(price)) = read("filter --variants 8,0,5 --sizes 0,1024") else {
            panic!("refused");
        };
        let expected = [Variant::Plain, Variant::Both, Variant::NotMatching];
        assert_eq!(price.variants, expected);
        assert_eq!(price.sizes, [0, 1024]);
        assert_eq!(price.rounds, 12);
    }
}

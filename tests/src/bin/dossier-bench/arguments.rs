//! The command line.

/// What to measure, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// What recording adds to streams.
    Streaming {
        /// Turns of each Envoy.
        rounds: usize,
        /// Streams in a turn.
        streams: usize,
    },
    /// What the collector adds to the bare SQL.
    Query {
        /// Turns of each question.
        rounds: usize,
    },
}

const USAGE: &str = "usage: dossier-bench streaming [--rounds 1..1000] [--streams 1..1000]\n       \
                     dossier-bench query [--rounds 1..1000]";
const MOST: usize = 1000;

impl Arguments {
    /// Reads them, without the program's name.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, &'static str> {
        let mut arguments = match words.next().as_deref() {
            Some("streaming") => Self::Streaming {
                rounds: 20,
                streams: 30,
            },
            Some("query") => Self::Query { rounds: 50 },
            _ => return Err(USAGE),
        };
        while let Some(word) = words.next() {
            let place = match (&mut arguments, word.as_str()) {
                (Self::Streaming { rounds, .. } | Self::Query { rounds }, "--rounds") => rounds,
                (Self::Streaming { streams, .. }, "--streams") => streams,
                _ => return Err(USAGE),
            };
            let number = words.next().and_then(|word| word.parse().ok());
            *place = number
                .filter(|number| (1..=MOST).contains(number))
                .ok_or(USAGE)?;
        }
        Ok(arguments)
    }
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
        assert_eq!(given, Ok(Arguments::Streaming { rounds, streams }));
        assert_eq!(read("query --rounds 2"), Ok(Arguments::Query { rounds }));
        assert!(read("streaming").is_ok());
        for wrong in [
            "",
            "loading",
            "streaming --rounds",
            "streaming --rounds 0",
            "streaming --streams 1001",
            "streaming --stream 5",
            "query --streams 5",
        ] {
            assert_eq!(read(wrong), Err(USAGE), "{wrong}");
        }
    }
}

//! The command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};

use crate::filter::{Protocol, Variant};

const MAX_COUNT: u64 = 1000;
/// Bodies larger than this are not recorded whole.
const MAX_BODY_BYTES: u64 = 1 << 20;
const MAX_WORKERS: i64 = 8;
const MAX_ENTRIES: u64 = 10_000_000;
const MAX_COPIES: u64 = 8;

/// Measure what recording, reading and deletion cost, with the real programs, and print Markdown tables
#[derive(Debug, PartialEq, Eq, Parser)]
#[command(
    name = "dossier-bench",
    version,
    arg_required_else_help = true,
    after_help = "\
Run it by `.ci/tools/bench COMMAND [OPTIONS]`, which installs and builds what it needs. \
docs/performance.md explains the tables."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Compare the delay of streamed events with and without the filter
    Streaming(StreamingArgs),
    /// Compare Envoys with and without the filter: CPU, throughput, latency and memory of requests
    Filter(FilterArgs),
    /// Watch the filter's memory under full load
    Soak(SoakArgs),
    /// Compare queries with the bare SQL, over five million entries
    Query(QueryArgs),
    /// Measure the disk space of bodies, and what reading compressed bodies costs
    Storage(StorageArgs),
    /// Compare the ingest of batches with `psql` copying the same rows
    Ingest(IngestArgs),
    /// Drop expired entries while batches arrive, and measure how long batches wait
    Retention(RetentionArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct StreamingArgs {
    /// Rounds in which each Envoy has a turn
    #[arg(long, value_name = "N", default_value = "20", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) rounds: usize,
    /// Streams in a turn
    #[arg(long, value_name = "N", default_value = "30", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) streams: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = list_variants())]
pub(crate) struct FilterArgs {
    /// Rounds in which each Envoy has a turn
    #[arg(long, value_name = "N", default_value = "12", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) rounds: usize,
    /// Sizes of both bodies, separated by commas
    #[arg(
        long,
        value_name = "BYTES",
        value_delimiter = ',',
        default_value = "0,1024,16384,262144",
        value_parser = in_range(0..=MAX_BODY_BYTES)
    )]
    pub(crate) sizes: Vec<usize>,
    /// Numbers of worker threads of each Envoy, separated by commas
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,2",
        value_parser = clap::value_parser!(u16).range(1..=MAX_WORKERS)
    )]
    pub(crate) workers: Vec<u16>,
    /// Versions of HTTP, separated by commas: 1 or 2
    #[arg(
        long,
        value_name = "VERSION",
        value_delimiter = ',',
        default_value = "1,2",
        value_parser = parse_protocol
    )]
    pub(crate) protocols: Vec<Protocol>,
    /// Numbers of the Envoys to compare, separated by commas; 0 is always among them [default: all]
    #[arg(
        long,
        value_name = "NUMBER",
        value_delimiter = ',',
        value_parser = parse_variant
    )]
    variants: Vec<Variant>,
    /// The folder for the tables, a CSV file and a picture
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct SoakArgs {
    /// Minutes of full load
    #[arg(long, value_name = "N", default_value = "10", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) minutes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct QueryArgs {
    /// Rounds in which each query runs
    #[arg(long, value_name = "N", default_value = "50", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct StorageArgs {
    /// Rounds in which pages of compressed and of plain bodies are read
    #[arg(long, value_name = "N", default_value = "50", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) rounds: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct IngestArgs {
    /// Rounds in which the collector and `psql` have a turn each
    #[arg(long, value_name = "N", default_value = "10", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) rounds: usize,
    /// Records in a turn
    #[arg(long, value_name = "N", default_value = "60000", value_parser = in_range(1..=MAX_ENTRIES))]
    pub(crate) records: usize,
    /// Sizes of bodies, separated by commas
    #[arg(
        long,
        value_name = "BYTES",
        value_delimiter = ',',
        default_value = "1024,4096",
        value_parser = in_range(0..=MAX_BODY_BYTES)
    )]
    pub(crate) sizes: Vec<usize>,
    /// HTTP connections, each with one batch in flight
    #[arg(long, value_name = "N", default_value = "24", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) connections: usize,
    /// Processes of `psql` that share the rows
    #[arg(long, value_name = "N", default_value = "1", value_parser = in_range(1..=MAX_COPIES))]
    pub(crate) copies: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct RetentionArgs {
    /// Rounds, each with new expired entries
    #[arg(long, value_name = "N", default_value = "1", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) rounds: usize,
    /// Expired entries, each with a body
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = in_range(1..=MAX_ENTRIES))]
    pub(crate) entries: usize,
    /// Seconds of batches alone, and again while entries are dropped
    #[arg(long, value_name = "N", default_value = "20", value_parser = in_range(1..=MAX_COUNT))]
    pub(crate) seconds: usize,
}

impl FilterArgs {
    /// The Envoys to compare; the first is the plain one, to which the others are compared.
    pub(crate) fn compared_variants(&self) -> Vec<Variant> {
        let chosen = if self.variants.is_empty() {
            Variant::ALL.as_slice()
        } else {
            &self.variants
        };
        let others = chosen.iter().filter(|variant| **variant != Variant::Plain);
        std::iter::once(&Variant::Plain)
            .chain(others)
            .copied()
            .collect()
    }
}

fn in_range(range: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

fn parse_protocol(version: &str) -> Result<Protocol, String> {
    match version {
        "1" => Ok(Protocol::Http1),
        "2" => Ok(Protocol::Http2),
        _ => Err("expected 1 or 2".to_owned()),
    }
}

fn parse_variant(number: &str) -> Result<Variant, String> {
    let number: Option<usize> = number.parse().ok();
    let variant = number.and_then(|number| Variant::ALL.get(number));
    variant
        .copied()
        .ok_or_else(|| format!("expected 0 to {}", Variant::ALL.len() - 1))
}

fn list_variants() -> String {
    let names = Variant::ALL.iter().enumerate();
    let lines = names.map(|(number, variant)| format!("\n  {number:>2}  {}", variant.name()));
    format!("Envoys:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("dossier-bench").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.command)
    }

    #[test]
    fn describes_valid_command_line() {
        Cli::command().debug_assert();
    }

    #[test]
    fn accepts_numbers_within_bounds() {
        let (rounds, streams) = (2, 1000);
        let given = parse("streaming --streams 1000 --rounds 2").unwrap();
        let expected = Command::Streaming(StreamingArgs { rounds, streams });
        assert_eq!(given, expected);
        let query = |rounds| Command::Query(QueryArgs { rounds });
        assert_eq!(parse("query").unwrap(), query(50));
        assert_eq!(parse("query --rounds 7").unwrap(), query(7));
    }

    #[test]
    fn rejects_invalid_arguments_with_exit_code_2() {
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
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn names_option_and_bounds_of_invalid_number() {
        let error = parse("soak --minutes 0").unwrap_err().to_string();
        assert!(error.contains("--minutes"), "{error}");
        assert!(error.contains("1..=1000"), "{error}");
        let error = parse("filter --variants 15").unwrap_err().to_string();
        assert!(error.contains("expected 0 to 14"), "{error}");
    }

    #[test]
    fn compares_with_plain_envoy_first() {
        let Ok(Command::Filter(arguments)) = parse("filter --variants 8,0,5 --sizes 0,1024") else {
            panic!("refused");
        };
        let expected = [Variant::Plain, Variant::Both, Variant::NotMatching];
        assert_eq!(arguments.compared_variants(), expected);
        assert_eq!(arguments.sizes, [0, 1024]);
        assert_eq!(arguments.rounds, 12);
    }

    #[test]
    fn compares_all_variants_by_default() {
        let Ok(Command::Filter(arguments)) = parse("filter") else {
            panic!("refused");
        };
        assert_eq!(arguments.compared_variants(), Variant::ALL);
        assert_eq!(arguments.sizes, [0, 1 << 10, 16 << 10, 256 << 10]);
        assert_eq!(arguments.workers, [1, 2]);
        assert_eq!(arguments.protocols, [Protocol::Http1, Protocol::Http2]);
    }
}

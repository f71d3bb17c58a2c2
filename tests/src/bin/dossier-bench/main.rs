//! `dossier-bench`: measures what recording, reading and deletion cost, with the real programs, and prints
//! Markdown tables. `make bench` and the other `bench-` targets run it.
//!
//! Machines are noisy, so the subjects of a comparison run in turns, and the tables show the ratios within
//! each round: their median and spread.

mod arguments;
mod bare_filter;
mod filter;
mod ingest;
mod query;
mod recorder;
mod retention;
mod statistics;
mod storage;
mod streaming;

use std::process::ExitCode;

use arguments::{Cli, Command};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let table = match Cli::parse().command {
        Command::Streaming(arguments) => streaming::run(arguments).await,
        Command::Filter(arguments) => filter::run(&arguments).await,
        Command::Soak(arguments) => filter::soak::run(arguments.minutes).await,
        Command::Retention(arguments) => retention::run(arguments).await,
        Command::Query(arguments) => query::run(arguments.rounds).await,
        Command::Ingest(arguments) => ingest::run(&arguments).await,
        Command::Storage(arguments) => storage::run(arguments.rounds).await,
    };
    match table {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dossier-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `dossier-bench`: measures what recording costs, with the real Envoy, and prints Markdown tables.
//! `make bench` runs it.
//!
//! Machines are noisy, so Envoys run side by side, with the filter and without, and take turns.
//! What counts is the ratio within each round; its median over the rounds is told with its spread.

mod arguments;
mod empty_filter;
mod price;
mod service;
mod statistics;
mod streaming;

use std::process::ExitCode;

use arguments::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let table = match arguments {
        Arguments::Streaming(arguments) => streaming::run(arguments).await,
        Arguments::Filter(arguments) => price::run(&arguments).await,
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

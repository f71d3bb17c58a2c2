//! `dossier-bench`: measures what recording and reading cost, with the real programs, and prints
//! Markdown tables. `make bench` and `make bench-query` run it.
//!
//! Machines are noisy, so what is compared runs side by side and takes turns.
//! What counts is the ratio within each round; its median over the rounds is told with its spread.

mod arguments;
mod cases;
mod dataset;
mod queries;
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
    let measuring = async {
        match arguments {
            Arguments::Streaming { rounds, streams } => streaming::run(rounds, streams).await,
            Arguments::Query { rounds } => queries::run(rounds).await,
        }
    };
    match measuring.await {
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

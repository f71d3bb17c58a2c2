//! `dossier-bench`: measures what recording, reading and letting go cost, with the real programs, and prints
//! Markdown tables. `make bench` and its fellows run it.
//!
//! Machines are noisy, so what is compared runs side by side and takes turns.
//! What counts is the ratio within each round; its median over the rounds is told with its spread.

mod arguments;
mod bare_filter;
mod ingest;
mod price;
mod query;
mod recorder;
mod retention;
mod statistics;
mod storage;
mod stream;

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
        Arguments::Streaming(arguments) => stream::run(arguments).await,
        Arguments::Filter(arguments) => price::run(&arguments).await,
        Arguments::Soak { minutes } => price::soak::run(minutes).await,
        Arguments::Retention(arguments) => retention::run(arguments).await,
        Arguments::Query { rounds } => query::run(rounds).await,
        Arguments::Ingest(arguments) => ingest::run(&arguments).await,
        Arguments::Storage { rounds } => storage::run(rounds).await,
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

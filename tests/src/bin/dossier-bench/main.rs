//! `dossier-bench`: measures Dossier beside the same Envoy without it. `make bench` runs it.
//!
//! Machines that others use too are noisy, so both are up all the time and take turns in short
//! rounds, and what is told is the ratio within each round.
//!
//! - [`streaming`]: when the events of a stream reach the client.
//! - [`rounds`]: taking turns, and what the rounds amount to.

mod rounds;
mod streaming;

use std::process::ExitCode;

const USAGE: &str = "usage: dossier-bench streaming [ROUNDS]";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let bench = arguments.next().unwrap_or_default();
    let rounds = arguments
        .next()
        .map_or(Ok(rounds::DEFAULT), |it| it.parse());
    let (true, Ok(rounds)) = (bench == "streaming", rounds) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match streaming::run(rounds).await {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dossier-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

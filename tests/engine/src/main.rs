//! `dossier-engine`: counts the instructions of the built filter. `make bench-keys` and
//! `make bench-counts` run it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dossier_engine::counts;
use dossier_engine::keys::{self, Case, Cost};
use dossier_engine::traffic::Exchange;
use dossier_engine::{EngineError, Filter};

/// Count the instructions that the built filter executes
#[derive(Debug, Parser)]
#[command(
    name = "dossier-engine",
    version,
    arg_required_else_help = true,
    after_help = "DOSSIER_FILTER_WASM names a filter other than the one that `make filter` builds."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what each configuration key costs, as the table in docs/figures/keys.md
    Keys,
    /// Write tests/engine/counts.json: what an exchange costs, which a test compares
    Counts,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Keys => print_keys(),
        Command::Counts => write_counts(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dossier-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_keys() -> Result<(), EngineError> {
    let filter = Filter::load()?;
    let of = |configuration| keys::measure_exchange(&filter, &configuration, Exchange::json);
    let (minimal, unrecorded) = (of(keys::minimal())?, of(keys::unrecorded())?);
    let sizes = Exchange::json(7);
    println!(
        "Bodies of {} and {} bytes. With the fewest keys (`storage_type: both`) an exchange takes {} instructions and calls the\nproxy {} times; not recorded, {} and {}.\n",
        sizes.request_body.len(),
        sizes.response_body.len(),
        grouped(minimal.instructions),
        minimal.calls,
        grouped(unrecorded.instructions),
        unrecorded.calls,
    );
    println!("| key | set to | instructions more | of the fewest |");
    println!("|---|---|---:|---:|");
    for case in keys::cases() {
        println!(
            "{}",
            row(&case, case.measure(&filter)?, minimal.instructions)
        );
    }
    Ok(())
}

fn write_counts() -> Result<(), EngineError> {
    let filter = Filter::load()?;
    let mut expected = counts::read_expected()?;
    expected.extend(counts::measure(&filter)?);
    let text = format!("{:#}\n", serde_json::json!(expected));
    let path = counts::find_file()?;
    std::fs::write(&path, &text).map_err(|source| EngineError::Unwritten { path, source })?;
    print!("{text}");
    Ok(())
}

fn row(case: &Case, cost: Cost, minimal: u64) -> String {
    let keys: Vec<_> = case.keys.iter().map(|key| format!("`{key}`")).collect();
    let keys = match keys.as_slice() {
        [] => "a route's own keys".to_owned(),
        keys => keys.join(", "),
    };
    let sign = if cost.with < cost.without { "−" } else { "" };
    let more = cost.with.abs_diff(cost.without);
    let thousandths = more * 1000 / minimal.max(1);
    format!(
        "| {} | {} | {sign}{} | {sign}{}.{} % |",
        keys,
        case.set.replace('|', "\\|"),
        grouped(more),
        thousandths / 10,
        thousandths % 10,
    )
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

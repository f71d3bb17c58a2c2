//! Watches the memory of an Envoy that records both halves, under full load for minutes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use dossier_tests::HarnessError;

use super::load::{Clients, Protocol};
use super::servers::Servers;
use super::traffic::Bodies;
use super::{FilterCounts, Variant, start_one};

const BYTES: usize = 1 << 10;
const MINUTE: Duration = Duration::from_mins(1);

/// Returns a table with a row for each minute.
pub(crate) async fn run(minutes: usize) -> Result<String, HarnessError> {
    let bodies = Arc::new(Bodies::generate(BYTES));
    let servers = Servers::start(vec![(BYTES, Arc::clone(&bodies))]).await?;
    let subject = start_one(Variant::Both, 1, &servers).await?;
    let clients = Clients::new(subject.envoy.address, Protocol::Http1, BYTES, bodies)?;
    let mut table = format!(
        "One worker, HTTP/1.1, both bodies of {BYTES} bytes; of the whole Envoy, at the end of each minute.\n\n\
         | minute | requests of it | records lost so far | memory |\n|---:|---:|---:|---:|\n"
    );
    for minute in 1..=minutes {
        let answered = clients.send_at_full_speed(MINUTE).await?;
        let lost = FilterCounts::read(&subject).await?.records_lost;
        let mebibytes = subject.envoy.resident_bytes()? >> 20;
        eprintln!("dossier-bench: minute {minute}: {mebibytes} MiB");
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {minute} | {answered} | {lost} | {mebibytes} MiB |"
        );
    }
    Ok(table)
}

//! The collector's tests from outside, most with a private Postgres. One program, so that it is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod config;
mod dictionaries;
mod fuzz;
mod jwks;
mod output;
mod plans;
mod sessions;
mod store;
mod validate;

/// The built program `dossier`. `CARGO_BIN_EXE_dossier` would be wrong in a clone that was moved.
fn program() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("dossier")
}

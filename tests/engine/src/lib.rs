//! The built filter in an interpreter that counts instructions. Neither clocks nor other load change the
//! number: it is the same on every machine, so that differences of one percent show.
//!
//! - [`Filter`]: the compiled `.wasm`, and a VM of it with a configuration.
//! - [`traffic`]: exchanges to feed it with.
//! - [`keys`]: what each configuration key costs.
//! - [`counts`]: what an exchange costs, compared with expected numbers.
//!
//! It counts executed WebAssembly instructions; one that copies memory counts once more for each 64
//! bytes. The proxy's own work is not counted.

mod counting;
pub mod counts;
mod error;
mod filter;
mod host;
pub mod keys;
mod metadata;

pub mod traffic;

pub use error::EngineError;
pub use filter::{ExecutionCost, Filter, Vm};

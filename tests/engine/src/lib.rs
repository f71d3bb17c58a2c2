//! The built filter in an interpreter that counts instructions. There is no clock in it and no other
//! load: the same filter takes the same number on every machine, so that changes of a hundredth show.
//!
//! - [`Filter`]: the compiled `.wasm`, and a VM of it with a configuration.
//! - [`traffic`]: exchanges to feed it with.
//! - [`keys`]: what each configuration key costs.
//! - [`counts`]: what an exchange costs, held against numbers that are kept.
//!
//! What is counted are executed WebAssembly instructions; one that copies memory counts once more for
//! each 64 bytes. What the proxy does by itself is not in it.

mod counting;
pub mod counts;
mod error;
mod filter;
mod host;
pub mod keys;
mod metadata;

pub mod traffic;

pub use error::EngineError;
pub use filter::{Filter, Spent, Vm};

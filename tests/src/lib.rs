//! The real parts, started and stopped by a program: Envoy with the filter, the collector with a
//! Postgres of its own, and an example service behind them.
//!
//! `make run` (the program `dossier-stack`) and the end-to-end tests are built on it.
//!
//! - [`stack`]: everything at once; the place to begin reading.
//! - [`upstream`], [`collector`], [`envoy`]: one part each.
//! - [`bootstrap`]: the shipped Envoy configuration, bent to other addresses.
//! - [`live`]: the filter's configuration, changed while Envoy runs.
//! - [`load`]: many clients at once, until something happens.
//! - [`client`], [`traffic`]: what talks to the collector and to Envoy.
//! - [`contract`]: what the collector may answer.
//! - [`harness`]: Envoy alone; a test scripts both of its sides: [`raw_client`], [`scripted`], [`mirror`],
//!   [`grpc`], [`inbox`].
//! - [`authority`]: certificates for tests.
//! - [`identity`]: who signs the tokens of clients.
//! - [`producer`]: batches from something that is not Envoy.
//! - [`fault_proxy`]: a connection that a test can cut, refuse or leave unanswered.
//! - [`testing`]: stacks for tests, each in a folder of its own.
//! - [`paths`]: where the repository, the built programs, Envoy and the filter are.
//! - [`database`]: a Postgres that a test can take away from a collector.
//! - [`process`], [`postgres`]: children that never outlive the program that started them.
//! - [`wait`]: bounded waiting.

pub mod authority;
pub mod bootstrap;
pub mod client;
pub mod clock;
pub mod collector;
pub mod contract;
pub mod database;
pub mod envoy;
pub mod error;
pub mod fault_proxy;
pub mod grpc;
pub mod harness;
pub mod identity;
pub mod inbox;
pub mod keys;
pub mod live;
pub mod load;
pub mod log;
pub mod mirror;
pub mod paths;
pub mod postgres;
pub mod process;
pub mod producer;
pub mod raw_client;
pub mod scripted;
pub mod stack;
pub mod testing;
pub mod traffic;
pub mod upstream;
pub mod wait;

mod listening;

pub use error::HarnessError;

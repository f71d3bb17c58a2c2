//! The real parts, started and stopped by a program: Envoy with the filter, the collector with a
//! Postgres of its own, and an example service behind them.
//!
//! `make run` (the program `dossier-stack`) and the end-to-end tests are built on it.
//!
//! - [`stack`]: the whole stack; start reading here.
//! - [`upstream`], [`collector`], [`envoy`]: one part each.
//! - [`bootstrap`]: the shipped Envoy configurations, changed for tests.
//! - [`config_delivery`]: the filter's configuration, changed while Envoy runs.
//! - [`load`]: constant load of many clients.
//! - [`client`], [`traffic`]: what talks to the collector and to Envoy.
//! - [`contract`]: checks responses against the API's description.
//! - [`harness`]: Envoy alone; a test scripts both of its sides: [`raw_client`], [`scripted_service`], [`echo_service`],
//!   [`grpc`], [`stub_collector`].
//! - [`certificate_authority`]: certificates for tests.
//! - [`identity_provider`]: who signs the tokens of clients.
//! - [`producer`]: batches from a producer other than Envoy.
//! - [`fault_proxy`]: a proxy that refuses, cuts or does not answer connections.
//! - [`testing`]: stacks for tests, each in a folder of its own.
//! - [`otlp_receiver`]: what a collector exports its traces to.
//! - [`paths`]: where the repository, the built programs, Envoy and the filter are.
//! - [`database`]: a Postgres that a test can stop and restart.
//! - [`process`], [`postgres`]: children that never outlive the program that started them.
//! - [`wait`]: bounded waiting.

pub mod bootstrap;
pub mod certificate_authority;
pub mod client;
pub mod clock;
pub mod collector;
pub mod config_delivery;
pub mod contract;
pub mod database;
pub mod echo_service;
pub mod envoy;
pub mod error;
pub mod fault_proxy;
pub mod grpc;
pub mod harness;
pub mod identity_provider;
pub mod keys;
pub mod load;
pub mod log;
pub mod otlp_receiver;
pub mod paths;
pub mod postgres;
pub mod process;
pub mod producer;
pub mod raw_client;
pub mod scripted_service;
pub mod stack;
pub mod stub_collector;
pub mod testing;
pub mod traffic;
pub mod upstream;
pub mod wait;

mod listener;

pub use error::HarnessError;

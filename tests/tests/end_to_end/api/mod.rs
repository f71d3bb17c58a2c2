//! The collector's API for readers, subject by subject.

mod auth;
mod bodies;
mod connections;
mod contract;
mod deletion;
mod doctor;
mod entries;
mod extremes;
mod facts;
mod fuzz;
mod isolation_matrix;
mod jwks;
mod query;
mod reference;
mod regressions;
mod rejected;
mod sessions;

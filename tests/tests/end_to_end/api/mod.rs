//! The collector's API for readers, subject by subject.

mod auth;
mod bodies;
mod deletion;
mod doctor;
mod entries;
mod fuzz;
mod isolation_matrix;
mod query;
mod reference;
mod sessions;

//! The collector's API, subject by subject.

mod auth;
mod isolation_matrix;

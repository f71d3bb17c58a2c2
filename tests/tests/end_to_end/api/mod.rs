//! The collector's API, subject by subject.

mod auth;
mod doctor;
mod isolation_matrix;

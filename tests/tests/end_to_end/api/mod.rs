//! The collector's API for readers, by endpoint.

mod deletion;
mod entries;
mod query;

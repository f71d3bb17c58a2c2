//! The collector's API, endpoint by endpoint.

mod bodies;
mod sessions;

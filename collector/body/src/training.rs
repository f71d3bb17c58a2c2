//! Trains dictionaries on recent bodies.
//!
//! - [`training_set`]: the bodies, and whether a new dictionary is better than the current one.
//! - [`builder`]: builds a dictionary of the fragments that save most.
//! - [`shared_fragments`]: finds fragments that occur in the bodies of several users.
//! - [`entropy_tables`]: the header of a zstd dictionary.

mod builder;
mod entropy_tables;
mod shared_fragments;
mod training_set;

pub use self::builder::MIN_USERS;
pub use self::training_set::{CurrentDictionary, TrainedDictionary, TrainingSet};

#[cfg(test)]
mod tests;

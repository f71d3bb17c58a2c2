//! Dictionaries: what the bodies of one endpoint have in common, so that it is not stored with each.
//!
//! - [`shared`]: fragments that stand in the bodies of several users.
//! - [`tables`]: the head of a zstd dictionary.
//! - [`train`](mod@train): makes a dictionary of both.
//! - [`lesson`]: whether a new dictionary is worth having.

mod lesson;
mod shared;
mod tables;
mod train;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use dossier_wire::Half;
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::pace::Effort;

pub use self::lesson::{InUse, Learned, Lesson};
pub use self::shared::Sample;
pub use self::train::{LEAST_USERS, train};

/// Higher levels take much longer for little.
const THOROUGH_LEVEL: i32 = 12;
/// Takes a fraction of the time and gives a fifth more bytes. Those between take nearly as long as the higher,
/// or give nearly as many bytes as the lower: level 3 saves two bytes of a hundred.
const QUICK_LEVEL: i32 = 1;

/// The number of a dictionary in the store. It is never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DictionaryId(pub i32);

/// A dictionary, prepared for use. What is packed with it can be unpacked with it alone.
pub struct Dictionary {
    id: DictionaryId,
    bytes: Vec<u8>,
    decoder: DecoderDictionary<'static>,
    /// Large, and not needed for reading.
    thorough: OnceLock<EncoderDictionary<'static>>,
    quick: OnceLock<EncoderDictionary<'static>>,
}

/// The dictionaries to pack with, by endpoint and half.
#[derive(Debug, Clone, Default)]
pub struct Dictionaries {
    by_endpoint: HashMap<String, [Option<Arc<Dictionary>>; 2]>,
}

impl Dictionary {
    /// Prepares one.
    ///
    /// # Errors
    /// If the bytes are no dictionary of zstd.
    pub fn new(id: DictionaryId, bytes: Vec<u8>) -> io::Result<Self> {
        Ok(Self {
            id,
            decoder: DecoderDictionary::try_copy(&bytes)?,
            bytes,
            thorough: OnceLock::new(),
            quick: OnceLock::new(),
        })
    }

    /// Its number in the store.
    #[must_use]
    pub const fn id(&self) -> DictionaryId {
        self.id
    }

    /// Whether it was used to pack, and holds what that takes.
    #[must_use]
    pub fn has_packed(&self) -> bool {
        self.thorough.get().is_some() || self.quick.get().is_some()
    }

    pub(super) const fn decoder(&self) -> &DecoderDictionary<'static> {
        &self.decoder
    }

    pub(super) fn encoder(&self, effort: Effort) -> io::Result<&EncoderDictionary<'static>> {
        let (place, level) = match effort {
            Effort::Thorough => (&self.thorough, THOROUGH_LEVEL),
            Effort::Quick => (&self.quick, QUICK_LEVEL),
        };
        if let Some(encoder) = place.get() {
            return Ok(encoder);
        }
        let encoder = EncoderDictionary::try_copy(&self.bytes, level)?;
        Ok(place.get_or_init(|| encoder))
    }
}

impl std::fmt::Debug for Dictionary {
    /// Without its content.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Dictionary").field(&self.id).finish()
    }
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Dictionary {}

impl Dictionaries {
    /// Adds one.
    pub fn insert(&mut self, endpoint: String, half: Half, dictionary: Arc<Dictionary>) {
        let [request, response] = self.by_endpoint.entry(endpoint).or_default();
        match half {
            Half::Request => *request = Some(dictionary),
            Half::Response => *response = Some(dictionary),
        }
    }

    /// The one for bodies of this half of this endpoint.
    #[must_use]
    pub fn of(&self, endpoint: &str, half: Half) -> Option<&Arc<Dictionary>> {
        let [request, response] = self.by_endpoint.get(endpoint)?;
        match half {
            Half::Request => request.as_ref(),
            Half::Response => response.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests;

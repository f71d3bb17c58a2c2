//! zstd dictionaries: what the bodies of one endpoint have in common, so that it is stored once.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use dossier_wire::Half;
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use crate::load_meter::CompressionEffort;

/// Higher levels take much longer and gain little.
const THOROUGH_LEVEL: i32 = 12;
/// Takes a fraction of the time, for a fifth more bytes. The levels between take nearly as long as the higher
/// one, or save little: level 3 saves 2 %.
const QUICK_LEVEL: i32 = 1;

/// Id of a dictionary in the store. Ids are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DictionaryId(pub i32);

/// A dictionary, prepared for use. What is packed with it cannot be unpacked without it.
pub struct Dictionary {
    id: DictionaryId,
    bytes: Vec<u8>,
    decoder: DecoderDictionary<'static>,
    /// Large, and not needed for unpacking, so prepared at the first use.
    thorough: OnceLock<EncoderDictionary<'static>>,
    quick: OnceLock<EncoderDictionary<'static>>,
}

/// The dictionaries in use for packing, by endpoint and half.
#[derive(Debug, Clone, Default)]
pub struct Dictionaries {
    by_endpoint: HashMap<String, [Option<Arc<Dictionary>>; 2]>,
}

impl Dictionary {
    /// # Errors
    /// If the bytes are not a zstd dictionary.
    pub fn new(id: DictionaryId, bytes: Vec<u8>) -> io::Result<Self> {
        Ok(Self {
            id,
            decoder: DecoderDictionary::try_copy(&bytes)?,
            bytes,
            thorough: OnceLock::new(),
            quick: OnceLock::new(),
        })
    }

    /// Its id in the store.
    #[must_use]
    pub const fn id(&self) -> DictionaryId {
        self.id
    }

    /// Whether it was used for packing, which takes additional memory.
    #[must_use]
    pub fn has_packed(&self) -> bool {
        self.thorough.get().is_some() || self.quick.get().is_some()
    }

    pub(crate) const fn decoder(&self) -> &DecoderDictionary<'static> {
        &self.decoder
    }

    pub(crate) fn encoder(
        &self,
        effort: CompressionEffort,
    ) -> io::Result<&EncoderDictionary<'static>> {
        let (cell, level) = match effort {
            CompressionEffort::Thorough => (&self.thorough, THOROUGH_LEVEL),
            CompressionEffort::Quick => (&self.quick, QUICK_LEVEL),
        };
        if let Some(encoder) = cell.get() {
            return Ok(encoder);
        }
        let encoder = EncoderDictionary::try_copy(&self.bytes, level)?;
        Ok(cell.get_or_init(|| encoder))
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
    /// Adds a dictionary, in place of one for the same bodies.
    pub fn insert(&mut self, endpoint: String, half: Half, dictionary: Arc<Dictionary>) {
        let [request, response] = self.by_endpoint.entry(endpoint).or_default();
        match half {
            Half::Request => *request = Some(dictionary),
            Half::Response => *response = Some(dictionary),
        }
    }

    /// The dictionary for bodies of this half of this endpoint.
    #[must_use]
    pub fn get(&self, endpoint: &str, half: Half) -> Option<&Arc<Dictionary>> {
        let [request, response] = self.by_endpoint.get(endpoint)?;
        match half {
            Half::Request => request.as_ref(),
            Half::Response => response.as_ref(),
        }
    }
}

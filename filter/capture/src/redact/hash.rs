//! Replaces values by keyed hashes, so that equal values stay comparable and short ones cannot be
//! guessed without the key.

use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Of a [`HashKey`].
pub const MIN_KEY_BYTES: usize = 16;
/// Enough to tell values apart, short enough to read.
const HASH_BYTES: usize = 16;

/// Never shown in logs or debug output.
#[derive(Clone)]
pub struct HashKey(Hmac<Sha256>);

/// The key is shorter than [`MIN_KEY_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of at least {MIN_KEY_BYTES} bytes")]
pub struct KeyTooShort;

impl HashKey {
    /// Takes a key.
    ///
    /// # Errors
    /// [`KeyTooShort`].
    pub fn new(key: &[u8]) -> Result<Self, KeyTooShort> {
        if key.len() < MIN_KEY_BYTES {
            return Err(KeyTooShort);
        }
        // Any length is valid: the error exists for other algorithms.
        Hmac::new_from_slice(key).map(Self).map_err(|_| KeyTooShort)
    }

    /// `hmac:` and 32 hex digits.
    pub(super) fn replacement(&self, value: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(value);
        let hash = mac.finalize().into_bytes();
        let mut text = String::from("hmac:");
        for byte in hash.iter().take(HASH_BYTES) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HashKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn equal_values_have_equal_hashes() {
        let key = HashKey::new(b"Jefe and a longer key").unwrap();
        let other = HashKey::new(b"another key of 24 bytes.").unwrap();
        let hash = key.replacement(b"value");
        assert_eq!(hash.len(), 37);
        assert_eq!(hash, key.replacement(b"value"));
        assert_ne!(hash, key.replacement(b"value2"));
        assert_ne!(hash, other.replacement(b"value"));
    }

    #[test]
    fn hash_is_truncated_hmac_sha256() {
        // RFC 4231, test case 6: a key of 131 bytes.
        let key = HashKey::new(&[0xaa; 131]).unwrap();
        let value = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(
            key.replacement(value),
            "hmac:60e431591ee0b67f0d8a26aacbf5b77f"
        );
    }

    #[test]
    fn rejects_short_key_and_hides_keys() {
        assert_eq!(HashKey::new(&[b'k'; 15]).unwrap_err(), KeyTooShort);
        let key = HashKey::new(&[b'k'; 16]).unwrap();
        assert_eq!(format!("{key:?}"), "HashKey(…)");
    }
}

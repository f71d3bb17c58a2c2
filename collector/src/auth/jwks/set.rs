//! A JSON Web Key Set (RFC 7517). Only keys for the accepted algorithms are kept: a symmetric key in a
//! public place would be known to everyone.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Providers publish a handful.
const MAX_KEYS: usize = 100;

/// Public keys by their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySet(Vec<PublicKey>);

#[derive(Debug, Clone)]
struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

/// Why a document is not a usable key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is not a JSON Web Key Set.
    #[error("expected a JSON Web Key Set, {{\"keys\": […]}}, got something else")]
    NotKeySet,
    /// None of its keys, of this number, is usable.
    #[error(
        "expected keys for signatures, RSA for RS256 or P-256 for ES256, got none among {0} keys"
    )]
    NoUsableKey(usize),
}

impl KeySet {
    /// Parses a set. Keys of other kinds are ignored, as the RFC requires.
    pub(super) fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(document).map_err(|_| KeySetError::NotKeySet)?;
        let count = document.keys.len();
        let keys: Vec<_> = document
            .keys
            .into_iter()
            .filter_map(public_key)
            .take(MAX_KEYS)
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey(count));
        }
        Ok(Self(keys))
    }

    /// The key of this id. Without an id, the only key for the algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut matching = self
            .0
            .iter()
            .filter(|key| key.algorithm == algorithm)
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        match (matching.next(), matching.next()) {
            (Some(key), None) => Some(Arc::clone(&key.key)),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn public_key(value: Value) -> Option<PublicKey> {
    let key: Jwk = serde_json::from_value(value).ok()?;
    let (algorithm, name) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    let common = &key.common;
    let is_for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|use_| *use_ == PublicKeyUse::Signature);
    let is_for_algorithm = common.key_algorithm.is_none_or(|given| given == name);
    (is_for_signatures && is_for_algorithm).then_some(())?;
    Some(PublicKey {
        key: Arc::new(DecodingKey::from_jwk(&key).ok()?),
        id: key.common.key_id,
        algorithm,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // From RFC 7517, appendix A.1.
    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn curve(extra: &Value) -> Value {
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y});
        for (name, value) in extra.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::parse(&serde_json::to_vec(&json!({"keys": keys})).unwrap())
    }

    #[test]
    fn keeps_only_keys_for_accepted_algorithms() {
        let rsa = json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"});
        let set = parse(&[
            rsa,
            curve(&json!({"kid": "e", "use": "sig", "alg": "ES256"})),
        ])
        .unwrap();
        assert_eq!(set.len(), 2);
        for other in [
            json!({"kty": "oct", "kid": "o", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": X}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "PS256"}),
            json!({"kty": "new", "x": 1}),
            curve(&json!({"use": "enc"})),
            curve(&json!({"alg": "ES384"})),
            json!({"kty": "EC", "crv": "P-384", "x": X, "y": Y}),
            json!("key"),
        ] {
            let set = parse(std::slice::from_ref(&other));
            assert!(matches!(set, Err(KeySetError::NoUsableKey(1))), "{other}");
        }
    }

    #[test]
    fn finds_key_by_id_and_algorithm() {
        let set = parse(&[curve(&json!({"kid": "a"})), curve(&json!({"kid": "b"}))]).unwrap();
        assert!(set.find(Some("a"), Algorithm::ES256).is_some());
        assert!(set.find(Some("a"), Algorithm::RS256).is_none());
        assert!(set.find(Some("c"), Algorithm::ES256).is_none());
        assert!(set.find(None, Algorithm::ES256).is_none(), "two keys match");
        let one = parse(&[curve(&json!({}))]).unwrap();
        assert!(one.find(None, Algorithm::ES256).is_some());
        assert!(one.find(Some("a"), Algorithm::ES256).is_none());
    }

    #[test]
    fn rejects_documents_without_key_set() {
        for document in ["", "[]", "{}", "{\"keys\": {}}", "<html>"] {
            let set = KeySet::parse(document.as_bytes());
            assert!(matches!(set, Err(KeySetError::NotKeySet)), "{document}");
        }
        assert!(matches!(parse(&[]), Err(KeySetError::NoUsableKey(0))));
    }

    #[test]
    fn keeps_at_most_max_keys() {
        let keys: Vec<_> = (0..=MAX_KEYS)
            .map(|number| curve(&json!({"kid": number.to_string()})))
            .collect();
        assert_eq!(parse(&keys).unwrap().len(), MAX_KEYS);
    }
}

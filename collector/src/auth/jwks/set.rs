//! A set of public keys, as RFC 7517 writes them down. Only keys that can verify what is taken here
//! are kept: a symmetric key in a public place would be anybody's.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys that are kept of a set. Providers publish a handful.
const MOST_KEYS: usize = 100;

/// Public keys by their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySet(Vec<PublicKey>);

#[derive(Debug, Clone)]
struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

/// Why a document is no set of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeySetFault {
    /// It is something else.
    #[error("expected a JSON Web Key Set, {{\"keys\": […]}}, got something else")]
    NoSet,
    /// It has none that is of use.
    #[error(
        "expected keys for signatures, RSA for RS256 or P-256 for ES256, got none among {0} keys"
    )]
    NoKey(usize),
}

impl KeySet {
    /// Reads a set. Keys of other kinds are passed over, as the RFC asks.
    pub(super) fn parse(document: &[u8]) -> Result<Self, KeySetFault> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(document).map_err(|_| KeySetFault::NoSet)?;
        let count = document.keys.len();
        let keys: Vec<_> = document
            .keys
            .into_iter()
            .filter_map(public_key)
            .take(MOST_KEYS)
            .collect();
        if keys.is_empty() {
            return Err(KeySetFault::NoKey(count));
        }
        Ok(Self(keys))
    }

    /// The key of this id. Without an id, the only key for the algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut fitting = self
            .0
            .iter()
            .filter(|key| key.algorithm == algorithm)
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        match (fitting.next(), fitting.next()) {
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
    let for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|use_| *use_ == PublicKeyUse::Signature);
    let for_this = common.key_algorithm.is_none_or(|given| given == name);
    (for_signatures && for_this).then_some(())?;
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

    fn parse(keys: &[Value]) -> Result<KeySet, KeySetFault> {
        KeySet::parse(&serde_json::to_vec(&json!({"keys": keys})).unwrap())
    }

    #[test]
    fn only_keys_for_what_is_taken_here_are_kept() {
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
            assert!(matches!(set, Err(KeySetFault::NoKey(1))), "{other}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_id_and_its_algorithm() {
        let set = parse(&[curve(&json!({"kid": "a"})), curve(&json!({"kid": "b"}))]).unwrap();
        assert!(set.find(Some("a"), Algorithm::ES256).is_some());
        assert!(set.find(Some("a"), Algorithm::RS256).is_none());
        assert!(set.find(Some("c"), Algorithm::ES256).is_none());
        assert!(set.find(None, Algorithm::ES256).is_none(), "which of two?");
        let one = parse(&[curve(&json!({}))]).unwrap();
        assert!(one.find(None, Algorithm::ES256).is_some());
        assert!(one.find(Some("a"), Algorithm::ES256).is_none());
    }

    #[test]
    fn what_is_no_set_is_said_to_be_none() {
        for document in ["", "[]", "{}", "{\"keys\": {}}", "<html>"] {
            let set = KeySet::parse(document.as_bytes());
            assert!(matches!(set, Err(KeySetFault::NoSet)), "{document}");
        }
        assert!(matches!(parse(&[]), Err(KeySetFault::NoKey(0))));
    }

    #[test]
    fn a_set_has_a_bound() {
        let keys: Vec<_> = (0..=MOST_KEYS)
            .map(|number| curve(&json!({"kid": number.to_string()})))
            .collect();
        assert_eq!(parse(&keys).unwrap().len(), MOST_KEYS);
    }
}

//! Claims of a token that Envoy's `jwt_authn` filter has verified. They are read from its dynamic
//! metadata, never from the token itself, which anyone could have written.

use prost::Message;
use prost_types::{Struct, Value, value::Kind};

use super::reader::to_integer;
use super::route_metadata::MetadataMessage;

/// Where `jwt_authn` writes the payloads of tokens, by the names of `payload_in_metadata`.
const NAMESPACE: &str = "envoy.filters.http.jwt_authn";
/// Limits the work on the worker's thread.
const MAX_BYTES: usize = 256 << 10;

/// Finds a claim by its path, in a stream's serialised dynamic metadata. Only strings and integers are
/// accepted as users.
pub(crate) fn find_claim(metadata: &[u8], names: &[String]) -> Option<String> {
    if metadata.len() > MAX_BYTES {
        return None;
    }
    let metadata = MetadataMessage::decode(metadata).ok()?;
    let payloads = metadata.filter_metadata.get(NAMESPACE)?;
    payloads
        .fields
        .values()
        .filter_map(as_struct)
        .find_map(|payload| to_user_id(lookup(payload, names)?))
}

fn lookup<'p>(payload: &'p Struct, names: &[String]) -> Option<&'p Value> {
    let (last, way) = names.split_last()?;
    let inner = way
        .iter()
        .try_fold(payload, |inner, name| as_struct(inner.fields.get(name)?))?;
    inner.fields.get(last)
}

const fn as_struct(value: &Value) -> Option<&Struct> {
    match &value.kind {
        Some(Kind::StructValue(inner)) => Some(inner),
        _ => None,
    }
}

fn to_user_id(value: &Value) -> Option<String> {
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        Some(Kind::NumberValue(number)) => {
            to_integer(&serde_json::Value::from(*number)).map(|whole| whole.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::serialised_metadata;
    use super::*;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_claim_in_any_verified_payload() {
        let metadata = serialised_metadata(&json!({
            "other": {"payload": {"sub": "mallory"}},
            NAMESPACE: {"first": {"aud": "x"}, "second": {"sub": "alice", "realm": {"id": 7}, "ok": true}},
        }));
        let find = |claim_name: &str| {
            let names: Vec<_> = claim_name.split('.').map(str::to_owned).collect();
            find_claim(&metadata, &names)
        };
        assert_eq!(find("sub").as_deref(), Some("alice"));
        assert_eq!(find("realm.id").as_deref(), Some("7"));
        for absent in ["nobody", "ok", "realm", "sub.id"] {
            assert_eq!(find(absent), None, "{absent}");
        }
        assert_eq!(find_claim(&[0xff; 9], &["sub".to_owned()]), None);
        assert_eq!(
            find_claim(&vec![0; MAX_BYTES + 1], &["sub".to_owned()]),
            None
        );
    }
}

//! Claims of a token that Envoy's `jwt_authn` filter has verified. They are read from its dynamic
//! metadata, never from the token itself, which anyone could have written.

use prost::Message;
use prost_types::{Struct, Value, value::Kind};

use super::reader::whole_number;
use super::route_metadata::Metadata;

/// Where `jwt_authn` writes the payloads of tokens, each under the name that `payload_in_metadata`
/// gives it.
const NAMESPACE: &str = "envoy.filters.http.jwt_authn";
/// The metadata is read on the worker's thread, so it may not be arbitrarily long.
const MAX_BYTES: usize = 256 << 10;

/// The claim at the end of these names, in the serialised dynamic metadata of a stream. Texts and
/// whole numbers name a user; nothing else does.
pub(crate) fn claim(metadata: &[u8], names: &[String]) -> Option<String> {
    if metadata.len() > MAX_BYTES {
        return None;
    }
    let metadata = Metadata::decode(metadata).ok()?;
    let payloads = metadata.filter_metadata.get(NAMESPACE)?;
    payloads
        .fields
        .values()
        .filter_map(as_struct)
        .find_map(|payload| text(lookup(payload, names)?))
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

fn text(value: &Value) -> Option<String> {
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        Some(Kind::NumberValue(number)) => {
            whole_number(&serde_json::Value::from(*number)).map(|whole| whole.to_string())
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
    fn a_claim_is_found_in_any_verified_payload() {
        let metadata = serialised_metadata(&json!({
            "other": {"payload": {"sub": "mallory"}},
            NAMESPACE: {"first": {"aud": "x"}, "second": {"sub": "alice", "realm": {"id": 7}, "ok": true}},
        }));
        let find = |claim_name: &str| {
            let names: Vec<_> = claim_name.split('.').map(str::to_owned).collect();
            claim(&metadata, &names)
        };
        assert_eq!(find("sub").as_deref(), Some("alice"));
        assert_eq!(find("realm.id").as_deref(), Some("7"));
        for absent in ["nobody", "ok", "realm", "sub.id"] {
            assert_eq!(find(absent), None, "{absent}");
        }
        assert_eq!(claim(&[0xff; 9], &["sub".to_owned()]), None);
        assert_eq!(claim(&vec![0; MAX_BYTES + 1], &["sub".to_owned()]), None);
    }
}

//! A route's own capture keys: Envoy hands out the route's metadata as a serialised
//! `envoy.config.core.v3.Metadata`, and the keys stand in its `filter_metadata.dossier`.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{Struct, value::Kind};
use serde_json::{Map, Number, Value};

use super::capture::Keys;
use super::reader::{Collected, Node, Path, Problems};

/// The part of Envoy's message that matters here. Other fields are skipped.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) filter_metadata: BTreeMap<String, Struct>,
}

const NAMESPACE: &str = "dossier";
const ROOT: &str = "metadata.filter_metadata.dossier";
/// A route's metadata is read on the worker's thread, so it may not be arbitrarily long.
const MAX_BYTES: usize = 64 << 10;

/// Reads the keys, if the metadata has any of ours.
pub(super) fn read(bytes: &[u8], has_hash_key: bool) -> Result<Option<Keys>, Problems> {
    if bytes.len() > MAX_BYTES {
        return Err(Problems::one(format!(
            "metadata: expected at most {MAX_BYTES} bytes, got {}",
            bytes.len()
        )));
    }
    let metadata = Metadata::decode(bytes)
        .map_err(|_| Problems::one("metadata: expected a serialised Metadata message"))?;
    let Some(ours) = metadata.filter_metadata.get(NAMESPACE) else {
        return Ok(None);
    };
    let value = object(ours);
    let problems = Collected::default();
    let node = Node {
        value: &value,
        path: Path::Root(ROOT),
        problems: &problems,
    };
    let keys = Keys::read(&node);
    keys.check(&node, has_hash_key);
    let problems = problems.into_problems();
    if problems.is_empty() {
        Ok(Some(keys))
    } else {
        Err(problems)
    }
}

/// Reads a serialised `google.protobuf.Struct`.
pub(super) fn serialised_struct(bytes: &[u8]) -> Option<Value> {
    Struct::decode(bytes).ok().map(|fields| object(&fields))
}

fn object(fields: &Struct) -> Value {
    let entries = fields.fields.iter();
    Value::Object(
        entries
            .map(|(name, value)| (name.clone(), json(value)))
            .collect::<Map<_, _>>(),
    )
}

/// prost refuses messages nested deeper than a hundred levels, so this recursion is bounded.
fn json(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => {
            Number::from_f64(*number).map_or(Value::Null, Value::Number)
        }
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::StructValue(fields)) => object(fields),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json).collect()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn proto(value: &Value) -> prost_types::Value {
        let kind = match value {
            Value::Null => Kind::NullValue(0),
            Value::Bool(flag) => Kind::BoolValue(*flag),
            Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Array(items) => Kind::ListValue(prost_types::ListValue {
                values: items.iter().map(proto).collect(),
            }),
            Value::Object(_) => Kind::StructValue(fields(value)),
        };
        prost_types::Value { kind: Some(kind) }
    }

    fn fields(value: &Value) -> Struct {
        let fields = value
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), proto(v)));
        Struct {
            fields: fields.collect(),
        }
    }

    /// What Envoy would hand out for a route with this `filter_metadata`.
    pub(crate) fn serialised(filter_metadata: &Value) -> Vec<u8> {
        let namespaces = filter_metadata.as_object().unwrap().iter();
        let filter_metadata = namespaces
            .map(|(name, value)| (name.clone(), fields(value)))
            .collect();
        Metadata { filter_metadata }.encode_to_vec()
    }

    #[test]
    fn numbers_come_as_doubles_and_other_namespaces_are_left_alone() {
        let bytes = serialised(&serde_json::json!({
            "istio": {"config": "/apis/x"},
            "dossier": {"storage_type": "both", "ttl_days": 7, "metadata": {"n": 4, "f": 0.5}},
        }));
        let plan = read(&bytes, true).unwrap().unwrap().plan(None);
        assert_eq!(plan.ttl_days.unwrap().get(), 7);
        assert_eq!(
            Value::Object(plan.metadata),
            serde_json::json!({"n": 4, "f": 0.5})
        );
    }

    #[test]
    fn metadata_without_our_namespace_overrides_nothing() {
        assert_eq!(
            read(&serialised(&serde_json::json!({"istio": {}})), true),
            Ok(None)
        );
        assert_eq!(read(&[], true), Ok(None));
    }

    #[test]
    fn faults_are_told_by_path() {
        let bytes =
            serialised(&serde_json::json!({"dossier": {"ttl_days": "7d", "storage": "both"}}));
        let problems = read(&bytes, true).unwrap_err();
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            [
                "metadata.filter_metadata.dossier.ttl_days: expected a whole number of days from 1 to 3650, got \"7d\"",
                "metadata.filter_metadata.dossier.storage: unknown key, expected one of storage_type, session_timeout_minutes, session, ttl_days, body_ttl_days, compress, endpoint, metadata, headers, content_types, max_body_bytes, sample, when, redact",
            ]
        );
        assert!(read(&[0xff; 10], true).is_err());
        assert!(read(&vec![0; MAX_BYTES + 1], true).is_err());
    }
}

//! Reads a route's own capture keys: Envoy gives the route's metadata as a serialised
//! `envoy.config.core.v3.Metadata`, with the keys in `filter_metadata.dossier`.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{Struct, value::Kind};
use serde_json::{Map, Number, Value};

use super::capture_keys::CaptureKeys;
use super::reader::{ConfigNode, KeyPath, ProblemCollector, Problems};

/// The part of Envoy's message that is needed; other fields are skipped.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MetadataMessage {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) filter_metadata: BTreeMap<String, Struct>,
}

const NAMESPACE: &str = "dossier";
const ROOT: &str = "metadata.filter_metadata.dossier";
/// Limits the work on the worker's thread.
const MAX_BYTES: usize = 64 << 10;

/// None if the metadata has none of our keys.
pub(super) fn read_keys(bytes: &[u8], has_hash_key: bool) -> Result<Option<CaptureKeys>, Problems> {
    if bytes.len() > MAX_BYTES {
        return Err(Problems::single(format!(
            "metadata: expected at most {MAX_BYTES} bytes, got {}",
            bytes.len()
        )));
    }
    let metadata = MetadataMessage::decode(bytes)
        .map_err(|_| Problems::single("metadata: expected a serialised Metadata message"))?;
    let Some(ours) = metadata.filter_metadata.get(NAMESPACE) else {
        return Ok(None);
    };
    let value = struct_to_json(ours);
    let problems = ProblemCollector::default();
    let node = ConfigNode {
        value: &value,
        path: KeyPath::Root(ROOT),
        problems: &problems,
    };
    let keys = CaptureKeys::read(&node);
    keys.check(&node, has_hash_key);
    let problems = problems.into_problems();
    if problems.is_empty() {
        Ok(Some(keys))
    } else {
        Err(problems)
    }
}

/// Decodes a `google.protobuf.Struct`.
pub(super) fn decode_struct(bytes: &[u8]) -> Option<Value> {
    Struct::decode(bytes)
        .ok()
        .map(|fields| struct_to_json(&fields))
}

fn struct_to_json(fields: &Struct) -> Value {
    let entries = fields.fields.iter();
    Value::Object(
        entries
            .map(|(name, value)| (name.clone(), value_to_json(value)))
            .collect::<Map<_, _>>(),
    )
}

/// prost rejects messages nested deeper than a hundred levels, so this recursion is bounded.
fn value_to_json(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => {
            Number::from_f64(*number).map_or(Value::Null, Value::Number)
        }
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::StructValue(fields)) => struct_to_json(fields),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.iter().map(value_to_json).collect())
        }
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

    /// Route metadata as Envoy serialises it.
    pub(crate) fn serialised(filter_metadata: &Value) -> Vec<u8> {
        let namespaces = filter_metadata.as_object().unwrap().iter();
        let filter_metadata = namespaces
            .map(|(name, value)| (name.clone(), fields(value)))
            .collect();
        MetadataMessage { filter_metadata }.encode_to_vec()
    }

    #[test]
    fn reads_own_namespace_with_double_numbers() {
        let bytes = serialised(&serde_json::json!({
            "istio": {"config": "/apis/x"},
            "dossier": {"storage_type": "both", "ttl_days": 7, "metadata": {"n": 4, "f": 0.5}},
        }));
        let plan = read_keys(&bytes, true).unwrap().unwrap().compile_plan(None);
        assert_eq!(plan.ttl_days.unwrap().get(), 7);
        assert_eq!(
            Value::Object(plan.metadata),
            serde_json::json!({"n": 4, "f": 0.5})
        );
    }

    #[test]
    fn other_namespaces_override_nothing() {
        assert_eq!(
            read_keys(&serialised(&serde_json::json!({"istio": {}})), true),
            Ok(None)
        );
        assert_eq!(read_keys(&[], true), Ok(None));
    }

    #[test]
    fn problems_name_path_in_metadata() {
        let bytes =
            serialised(&serde_json::json!({"dossier": {"ttl_days": "7d", "storage": "both"}}));
        let problems = read_keys(&bytes, true).unwrap_err();
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            [
                "metadata.filter_metadata.dossier.ttl_days: expected a whole number of days from 1 to 3650, got \"7d\"",
                "metadata.filter_metadata.dossier.storage: unknown key, expected one of storage_type, session_timeout_minutes, session, ttl_days, body_ttl_days, compress, endpoint, metadata, headers, content_types, max_body_bytes, sample, when, redact",
            ]
        );
        assert!(read_keys(&[0xff; 10], true).is_err());
        assert!(read_keys(&vec![0; MAX_BYTES + 1], true).is_err());
    }
}

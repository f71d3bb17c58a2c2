//! Envoy's `Metadata` message, as it hands it to a filter.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Proto};
use serde_json::Value;

/// The part of Envoy's message that matters here.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    filter_metadata: BTreeMap<String, Struct>,
}

/// Serialised metadata with this object under a name.
pub(crate) fn metadata(name: &str, object: &Value) -> Vec<u8> {
    let filter_metadata = [(name.to_owned(), fields(object))].into();
    Metadata { filter_metadata }.encode_to_vec()
}

fn fields(object: &Value) -> Struct {
    let entries = object.as_object().into_iter().flatten();
    Struct {
        fields: entries
            .map(|(name, value)| (name.clone(), proto(value)))
            .collect(),
    }
}

fn proto(value: &Value) -> Proto {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(proto).collect(),
        }),
        Value::Object(_) => Kind::StructValue(fields(value)),
    };
    Proto { kind: Some(kind) }
}

//! Protobuf messages as Envoy serialises the same JSON.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Proto};
use serde_json::{Map, Value};

/// A serialised `google.protobuf.Struct`.
pub(crate) fn serialised_struct(object: &Value) -> Vec<u8> {
    fields(object.as_object().unwrap()).encode_to_vec()
}

/// A serialised `envoy.config.core.v3.Metadata` with one namespace.
pub(crate) fn serialised_metadata(namespace: &str, object: &Value) -> Vec<u8> {
    let entry = [
        field(1, namespace.as_bytes()),
        field(2, &serialised_struct(object)),
    ];
    field(1, &entry.concat())
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    const LENGTH_DELIMITED: u8 = 2;
    let mut bytes = vec![number << 3 | LENGTH_DELIMITED];
    prost::encode_length_delimiter(content.len(), &mut bytes).unwrap();
    bytes.extend(content);
    bytes
}

fn fields(object: &Map<String, Value>) -> Struct {
    let fields = object
        .iter()
        .map(|(name, value)| (name.clone(), proto(value)));
    Struct {
        fields: fields.collect(),
    }
}

fn proto(value: &Value) -> Proto {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(proto).collect(),
        }),
        Value::Object(object) => Kind::StructValue(fields(object)),
    };
    Proto { kind: Some(kind) }
}

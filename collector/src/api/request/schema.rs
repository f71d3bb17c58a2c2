//! The fields of one request, and how the API document describes them.

use serde_json::{Map, Value, json};

use super::field::{AnyField, Field, FieldKind};
use super::json_object::insert;
use crate::http::middleware::MAX_URL_BYTES;

/// Bytes of the longest character in a URL: four bytes, each escaped.
const MAX_ESCAPED_CHARACTER_BYTES: usize = 12;

/// The fields that one endpoint accepts.
pub struct Request {
    /// Of the schema in the document.
    pub name: &'static str,
    pub groups: &'static [&'static [&'static dyn AnyField]],
    /// The fields that the example of the request holds.
    pub example: &'static [&'static dyn AnyField],
}

impl Request {
    pub fn fields(&self) -> impl Iterator<Item = &'static dyn AnyField> {
        self.groups.iter().copied().flatten().copied()
    }

    /// A body with the examples of some fields.
    pub fn example(&self) -> Value {
        let examples = self.example.iter();
        let examples = examples.map(|field| (field.name().to_owned(), field.example()));
        examples.collect::<Map<_, _>>().into()
    }

    /// JSON Schema of a body.
    pub fn schema(&self) -> Value {
        let properties: Map<_, _> = self
            .fields()
            .map(|field| (field.name().to_owned(), body_field(field)))
            .collect();
        let mut schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
            "description": "Unknown fields are refused; a field that is null counts as absent.",
            "example": self.example(),
        });
        let required = self.fields().filter(|field| field.is_required());
        let required: Vec<_> = required.map(AnyField::name).collect();
        if !required.is_empty() {
            insert(&mut schema, "required", json!(required));
        }
        schema
    }

    /// The parameters of a URL.
    pub fn parameters(&self) -> Vec<Value> {
        let parameter = |field: &'static dyn AnyField| {
            let mut described = parameter(field, "query");
            let in_example = self.example.iter().any(|it| it.name() == field.name());
            if !in_example && let Some(described) = described.as_object_mut() {
                described.remove("example");
            }
            described
        };
        self.fields().map(parameter).collect()
    }
}

/// A parameter in the path.
pub fn path_parameter<K: FieldKind>(field: &Field<K>) -> Value {
    let mut described = parameter(field, "path");
    insert(&mut described, "required", json!(true));
    described
}

fn parameter(field: &dyn AnyField, location: &str) -> Value {
    let mut schema = field.schema();
    let mut described = json!({"name": field.name(), "in": location});
    for name in ["description", "example"] {
        let moved = schema
            .as_object_mut()
            .and_then(|schema| schema.remove(name));
        if let Some(moved) = moved {
            insert(&mut described, name, moved);
        }
    }
    bound_in_url(&mut schema);
    insert(&mut described, "schema", schema);
    described
}

/// A string that is bounded in bytes must fit into a URL whatever its characters are.
fn bound_in_url(schema: &mut Value) {
    let max_length = schema.get("maxLength").and_then(Value::as_u64);
    let Some(max_bytes) = max_length.and_then(|it| usize::try_from(it).ok()) else {
        return;
    };
    if max_bytes * MAX_ESCAPED_CHARACTER_BYTES > MAX_URL_BYTES {
        insert(schema, "maxLength", json!(max_bytes / 4));
    }
}

/// A field of a body: null is accepted unless the field is required.
fn body_field(field: &dyn AnyField) -> Value {
    let mut schema = field.schema();
    if field.is_required() {
        return schema;
    }
    if let Some(reference) = schema.get("$ref").cloned() {
        insert(
            &mut schema,
            "anyOf",
            json!([{"$ref": reference}, {"type": "null"}]),
        );
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$ref");
        }
    }
    if let Some(json_type) = schema.get("type").cloned() {
        insert(&mut schema, "type", json!([json_type, "null"]));
    }
    if let Some(Value::Array(choices)) = schema.get_mut("enum") {
        choices.push(Value::Null);
    }
    schema
}

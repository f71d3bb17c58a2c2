//! A field of a request: its name, what it accepts, what it means.

use serde_json::Value;

use super::json_object::insert;
use crate::http::error::{ApiError, FieldError};

/// One field of a request.
#[derive(Debug)]
pub struct Field<K> {
    pub name: &'static str,
    pub kind: K,
    pub description: &'static str,
    /// A value that the parser accepts.
    pub example: fn() -> Value,
}

/// What a field accepts. The parser and the API document use the same bounds.
pub trait FieldKind: Sync {
    type Value;
    const IS_REQUIRED: bool = false;

    /// # Errors
    /// [`InvalidValue`]
    fn parse(&self, value: &Value) -> Result<Self::Value, InvalidValue>;

    /// JSON Schema of the values other than null. A description in it is added to that of the field.
    fn schema(&self) -> Value;

    /// The JSON that a parameter of a URL or path stands for.
    fn json_of_text(&self, text: &str) -> Value {
        Value::from(text)
    }
}

/// A kind whose values can be written as JSON, so that a default can be documented.
pub trait ToJson: FieldKind {
    fn to_json(&self, value: &Self::Value) -> Value;
}

/// A kind with a value for requests that leave the field out.
#[derive(Debug)]
pub struct OrDefault<K: FieldKind> {
    pub kind: K,
    pub default: K::Value,
}

/// A kind that a request must not leave out.
#[derive(Debug)]
pub struct Required<K>(pub K);

/// Why a value is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidValue {
    message: String,
    error_type: &'static str,
}

/// A field whatever its kind, for what concerns all fields of a request.
pub trait AnyField: Sync {
    fn name(&self) -> &'static str;
    fn is_required(&self) -> bool;
    fn example(&self) -> Value;
    fn json_of_text(&self, text: &str) -> Value;

    /// JSON Schema of the values other than null, with description and example.
    fn schema(&self) -> Value;

    /// The error that a request with this value gets.
    fn error_for(&self, value: &Value) -> ApiError;
}

impl<K: FieldKind> AnyField for Field<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_required(&self) -> bool {
        K::IS_REQUIRED
    }

    fn example(&self) -> Value {
        (self.example)()
    }

    fn json_of_text(&self, text: &str) -> Value {
        self.kind.json_of_text(text)
    }

    fn schema(&self) -> Value {
        let mut schema = self.kind.schema();
        let description = match schema.get("description").and_then(Value::as_str) {
            Some(of_kind) => format!("{} {of_kind}", self.description),
            None => self.description.to_owned(),
        };
        insert(&mut schema, "description", description.into());
        insert(&mut schema, "example", self.example());
        schema
    }

    fn error_for(&self, value: &Value) -> ApiError {
        let invalid = self.kind.parse(value).err();
        let errors = invalid.map(|invalid| invalid.of_field(self.name));
        ApiError::Invalid(errors.into_iter().collect())
    }
}

impl<K: ToJson<Value: Sync>> FieldKind for OrDefault<K> {
    type Value = K::Value;

    fn parse(&self, value: &Value) -> Result<Self::Value, InvalidValue> {
        self.kind.parse(value)
    }

    fn schema(&self) -> Value {
        let mut schema = self.kind.schema();
        insert(&mut schema, "default", self.kind.to_json(&self.default));
        schema
    }

    fn json_of_text(&self, text: &str) -> Value {
        self.kind.json_of_text(text)
    }
}

impl<K: FieldKind> FieldKind for Required<K> {
    type Value = K::Value;
    const IS_REQUIRED: bool = true;

    fn parse(&self, value: &Value) -> Result<Self::Value, InvalidValue> {
        self.0.parse(value)
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }

    fn json_of_text(&self, text: &str) -> Value {
        self.0.json_of_text(text)
    }
}

impl InvalidValue {
    /// The JSON type is right, the value is not.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(message, "value_error")
    }

    /// The JSON type is wrong.
    pub fn wrong_type(message: impl Into<String>) -> Self {
        Self::new(message, "type_error")
    }

    /// `error_type` is part of the API.
    pub fn new(message: impl Into<String>, error_type: &'static str) -> Self {
        Self {
            message: message.into(),
            error_type,
        }
    }

    pub fn of_field(self, name: impl Into<String>) -> FieldError {
        FieldError {
            field: name.into(),
            message: self.message,
            kind: self.error_type,
        }
    }
}

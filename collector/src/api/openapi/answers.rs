//! What an operation may answer: the envelope around good news, and the errors.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schemas::{put, reference};
use crate::http::envelope::{EXAMPLE_ID, example_of};
use crate::http::error::ApiError;

const JSON: &str = "application/json";

/// A good answer.
pub(super) enum Good {
    /// In the envelope.
    Enveloped {
        message: &'static str,
        data: Value,
        example: Value,
    },
    /// As it is.
    Bare {
        media_type: &'static str,
        description: &'static str,
        /// None for bytes that may be anything.
        schema: Option<Value>,
        example: Value,
    },
}

/// Describes all answers of an operation.
pub(super) fn describe(good: Good, errors: &[ApiError]) -> Value {
    let mut answers = Map::new();
    answers.insert("200".to_owned(), describe_good(good));
    let mut by_status: BTreeMap<u16, Vec<&ApiError>> = BTreeMap::new();
    for error in errors {
        let status = error.status().as_u16();
        by_status.entry(status).or_default().push(error);
    }
    for (status, errors) in by_status {
        answers.insert(status.to_string(), describe_errors(&errors));
    }
    answers.into()
}

fn describe_good(good: Good) -> Value {
    match good {
        Good::Enveloped {
            message,
            data,
            example,
        } => {
            let example = json!({
                "success": true,
                "message": message,
                "data": example,
                "warnings": [],
                "metadata": {"request_id": EXAMPLE_ID, "took_ms": 1.8},
            });
            let content = json!({"schema": enveloped(&data), "example": example});
            json!({"description": message, "headers": headers(), "content": {JSON: content}})
        }
        Good::Bare {
            media_type,
            description,
            schema,
            example,
        } => {
            let mut content = json!({"example": example});
            if let Some(schema) = schema {
                put(&mut content, "schema", schema);
            }
            json!({"description": description, "headers": headers(), "content": {media_type: content}})
        }
    }
}

fn enveloped(data: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["success", "message", "data", "warnings", "metadata"],
        "properties": {
            "success": {"const": true},
            "message": {"type": "string", "description": "For people."},
            "data": data,
            "warnings": {
                "type": "array",
                "items": reference("Warning"),
                "description": "The most severe first, each code once.",
            },
            "metadata": reference("Metadata"),
        },
    })
}

fn describe_errors(errors: &[&ApiError]) -> Value {
    let mut codes: Vec<_> = errors.iter().map(|error| error.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    let examples: Map<_, _> = errors
        .iter()
        .enumerate()
        .map(|(place, error)| {
            let name = format!("{}-{}", error.code(), place + 1);
            let example = json!({"summary": error.to_string(), "value": example_of(error)});
            (name, example)
        })
        .collect();
    let mut headers = headers();
    if errors
        .iter()
        .any(|error| error.retry_after_seconds().is_some())
    {
        let seconds = json!({"description": "Seconds to wait.", "schema": {"type": "integer"}});
        put(&mut headers, "Retry-After", seconds);
    }
    if errors.iter().any(|error| error.status().as_u16() == 401) {
        let scheme = json!({"schema": {"const": "Bearer"}});
        put(&mut headers, "WWW-Authenticate", scheme);
    }
    json!({
        "description": codes.join(", "),
        "headers": headers,
        "content": {JSON: {"schema": failure(&codes), "examples": examples}},
    })
}

fn failure(codes: &[&str]) -> Value {
    json!({
        "type": "object",
        "required": ["success", "message", "data", "warnings", "metadata", "error"],
        "properties": {
            "success": {"const": false},
            "message": {"type": "string", "description": "For people."},
            "data": {"type": "null"},
            "warnings": {"type": "array", "maxItems": 0},
            "metadata": reference("Metadata"),
            "error": {
                "type": "object",
                "required": ["code", "details"],
                "properties": {
                    "code": {"enum": codes, "description": "Stable."},
                    "details": reference("ErrorDetails"),
                },
            },
        },
    })
}

fn headers() -> Value {
    json!({
        "X-Request-ID": {
            "description": "The request's id, as in `metadata`.",
            "schema": {"type": "string", "maxLength": 128},
        },
    })
}

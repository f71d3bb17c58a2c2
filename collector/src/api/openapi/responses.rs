//! The responses of an operation: of success, in the envelope or bare, and of each error.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::request::{insert, reference};
use crate::http::envelope::{EXAMPLE_ID, example_of};
use crate::http::error::ApiError;

const JSON: &str = "application/json";

/// A response with status 200.
pub(super) enum SuccessResponse {
    /// `example` is that of `data`.
    Enveloped {
        message: &'static str,
        data: Value,
        example: Value,
    },
    Bare {
        media_type: &'static str,
        description: &'static str,
        /// None for any bytes.
        schema: Option<Value>,
        example: Value,
    },
}

pub(super) fn describe(success: SuccessResponse, errors: &[ApiError]) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), describe_success(success));
    let mut by_status: BTreeMap<u16, Vec<&ApiError>> = BTreeMap::new();
    for error in errors {
        let status = error.status().as_u16();
        by_status.entry(status).or_default().push(error);
    }
    for (status, errors) in by_status {
        responses.insert(status.to_string(), describe_errors(&errors));
    }
    responses.into()
}

fn describe_success(success: SuccessResponse) -> Value {
    match success {
        SuccessResponse::Enveloped {
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
        SuccessResponse::Bare {
            media_type,
            description,
            schema,
            example,
        } => {
            let mut content = json!({"example": example});
            if let Some(schema) = schema {
                insert(&mut content, "schema", schema);
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
            "message": {"type": "string", "description": "For people; it may change."},
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
        .map(|(number, error)| {
            let name = format!("{}-{}", error.code(), number + 1);
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
        insert(&mut headers, "Retry-After", seconds);
    }
    if errors.iter().any(|error| error.status().as_u16() == 401) {
        let scheme = json!({"schema": {"const": "Bearer"}});
        insert(&mut headers, "WWW-Authenticate", scheme);
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
            "message": {"type": "string", "description": "For people; it may change."},
            "data": {"type": "null"},
            "warnings": {"type": "array", "maxItems": 0},
            "metadata": reference("Metadata"),
            "error": {
                "type": "object",
                "required": ["code", "details"],
                "properties": {
                    "code": {"enum": codes, "description": "For programs; it does not change."},
                    "details": reference("ErrorDetails"),
                },
            },
        },
    })
}

fn headers() -> Value {
    json!({
        "X-Request-ID": {
            "description": "The request id, as in `metadata`.",
            "schema": {"type": "string", "maxLength": 128},
        },
    })
}

//! What may be asked. The code that reads requests takes them field by field, to tell all faults at
//! once; so their shapes are written here, from the bounds that it enforces.

use serde_json::{Map, Value, json};

use super::examples;
use super::schemas::{put, reference};
use crate::api::delete::MAX_IDS;
use crate::api::fields::MAX_TIME_BYTES;
use crate::api::query::filter::{MAX_ENDPOINT_BYTES, MAX_METHOD_BYTES};
use crate::api::query::metadata::{MAX_CHOICES, MAX_FILTERS, MAX_PATTERN_BYTES};
use crate::api::query::{DEFAULT_PAGE_SIZE, MAX_PAGE, MAX_PAGE_SIZE, MAX_SEARCH_BYTES};
use crate::api::sessions::{DEFAULT_ENTRIES, LIST_FIELDS, MAX_ENTRIES};
use crate::api::{query, sessions};
use crate::model::ids::UserId;

/// The shapes of requests and of what stands in them, by name.
pub(super) fn schemas() -> [(String, Value); 5] {
    let mut entries = filters(query::MAX_CURSOR_BYTES);
    entries.insert("search".to_owned(), search());
    let mut with_entries = filters(sessions::MAX_CURSOR_BYTES);
    with_entries.insert("search".to_owned(), search());
    with_entries.insert("entries_per_session".to_owned(), entries_per_session());
    [
        ("EntryQuery", object(&entries, &examples::entry_query())),
        (
            "SessionQuery",
            object(&with_entries, &examples::session_query()),
        ),
        ("MetadataFilters", metadata_filters()),
        ("DeletionRequest", deletion()),
        ("ErrorDetails", error_details()),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
}

/// The parameters of the list of sessions.
pub(super) fn list_parameters() -> Vec<Value> {
    let mut fields = filters(sessions::MAX_CURSOR_BYTES);
    let mut parameter = |name: &&str| {
        let mut schema = fields.remove(*name)?;
        let given = schema.as_object_mut()?;
        let description = given.remove("description");
        // There is no null in a URL.
        if let Some(Value::Array(types)) = given.get("type") {
            let first = types.first().cloned()?;
            given.insert("type".to_owned(), first);
        }
        if let Some(Value::Array(choices)) = given.get_mut("enum") {
            choices.retain(|choice| !choice.is_null());
        }
        if *name == "endpoint" {
            // The bound is in bytes: of one-byte characters more may fit, but any so many do, in the URL too.
            given.insert("maxLength".to_owned(), json!(MAX_ENDPOINT_BYTES / 4));
        }
        Some(json!({"name": name, "in": "query", "schema": schema, "description": description}))
    };
    LIST_FIELDS.iter().filter_map(&mut parameter).collect()
}

fn filters(cursor_bytes: usize) -> Map<String, Value> {
    let halves = json!(["request", "response", "both", null]);
    let fields = [
        (
            "storage_type",
            json!({"type": ["string", "null"], "enum": halves, "description": "In any case; `both` is either."}),
        ),
        (
            "type",
            json!({"type": ["string", "null"], "enum": halves, "description": "The same as `storage_type`."}),
        ),
        (
            "endpoint",
            text(
                MAX_ENDPOINT_BYTES,
                "Brought to the form in which endpoints are stored; else it is looked for in any case, with and without `/api` and `/v1`.",
            ),
        ),
        (
            "start_date",
            time("From this instant, or from the beginning of this UTC day."),
        ),
        (
            "end_date",
            time("To this instant, or to the end of this UTC day."),
        ),
        (
            "metadata_filters",
            json!({"anyOf": [reference("MetadataFilters"), {"type": "null"}], "description": "All must hold."}),
        ),
        ("session_id", uuid("Of one session.")),
        ("exchange_id", uuid("Of one exchange.")),
        (
            "status",
            whole(100, 599, None, "HTTP status of the response."),
        ),
        (
            "method",
            text(MAX_METHOD_BYTES, "HTTP method, in any case."),
        ),
        (
            "user_id",
            text(
                UserId::MAX_BYTES,
                "Of this user; of another than oneself for admins only.",
            ),
        ),
        (
            "page",
            whole(
                1,
                MAX_PAGE,
                Some(1),
                "Which page; what lies deeper is reached by `cursor`.",
            ),
        ),
        (
            "page_size",
            whole(
                1,
                MAX_PAGE_SIZE.into(),
                Some(DEFAULT_PAGE_SIZE.into()),
                "How many on a page.",
            ),
        ),
        (
            "cursor",
            text(cursor_bytes, "`next_cursor` of the page before."),
        ),
        (
            "order",
            json!({"type": ["string", "null"], "enum": ["desc", "asc", null], "default": "desc", "description": "The newest first, or last."}),
        ),
        (
            "include",
            json!({"type": ["array", "null"], "items": {"enum": ["data", "headers"]}, "default": ["data"], "description": "What is shown of entries beside what is always shown."}),
        ),
    ];
    fields
        .map(|(name, field)| (name.to_owned(), field))
        .into_iter()
        .collect()
}

fn search() -> Value {
    text(
        MAX_SEARCH_BYTES,
        "Refused with 501: bodies cannot be searched.",
    )
}

fn entries_per_session() -> Value {
    let about = "How many entries are shown of each session.";
    whole(1, MAX_ENTRIES.into(), Some(DEFAULT_ENTRIES.into()), about)
}

fn object(fields: &Map<String, Value>, example: &Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": fields,
        "description": "Unknown fields are refused; a field that is null counts as absent.",
        "example": example,
    })
}

fn metadata_filters() -> Value {
    let bound = json!({"type": ["number", "string"]});
    let operators = json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": {
            "gt": bound,
            "gte": bound,
            "lt": bound,
            "lte": bound,
            "regex": {"type": "string", "minLength": 1, "maxLength": MAX_PATTERN_BYTES, "description": "As Postgres understands it."},
            "in": {"type": "array", "minItems": 1, "maxItems": MAX_CHOICES, "items": {"type": ["string", "number", "boolean", "null"]}},
            "exists": {"type": "boolean"},
            "contains": {"description": "A part of a list, of an object or of a text."},
        },
    });
    json!({
        "type": "object",
        "maxProperties": MAX_FILTERS,
        "propertyNames": {"minLength": 1},
        "additionalProperties": {"anyOf": [{"type": ["string", "number", "boolean", "null"]}, operators]},
        "description": "By the path of a value, with dots: a value to equal (`1` is not `\"1\"`; null is present and null), or operators that all must hold.",
        "example": {"model": "gpt-4", "usage.tokens": {"gte": 10, "lt": 20}},
    })
}

fn deletion() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["storage_ids"],
        "properties": {
            "storage_ids": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_IDS,
                "items": {"type": "integer", "minimum": 1, "maximum": i64::MAX},
                "description": "Numbers of entries.",
            },
            "force": {
                "type": ["boolean", "null"],
                "default": false,
                "description": "Also those whose time has not come.",
            },
        },
        "example": examples::deletion_request(),
    })
}

fn error_details() -> Value {
    json!({
        "type": "object",
        "description": "More for programs; what it holds depends on the code.",
        "properties": {
            "errors": {"type": "array", "items": reference("FieldError"), "description": "Of `VAL_CONSTRAINT_VIOLATION`: all invalid fields."},
            "required_roles": {"type": "array", "items": {"type": "string"}, "description": "Of `AUTH_INSUFFICIENT_PERMISSIONS`."},
            "limit_bytes": {"type": "integer", "description": "Of `PAYLOAD_TOO_LARGE` and `VAL_URL_TOO_LONG`."},
            "reason": {"type": "string", "description": "Of `NOT_FOUND`: why the body of an entry that exists is not here."},
        },
    })
}

/// The bound is in bytes, and a character takes one or more of them.
fn text(most: usize, about: &str) -> Value {
    let about = format!("{about} At most {most} bytes.");
    json!({"type": ["string", "null"], "minLength": 1, "maxLength": most, "description": about})
}

fn time(about: &str) -> Value {
    let about = format!("{about} RFC 3339 with any offset, or `YYYY-MM-DD`.");
    json!({"type": ["string", "null"], "minLength": 1, "maxLength": MAX_TIME_BYTES, "description": about})
}

fn uuid(about: &str) -> Value {
    json!({"type": ["string", "null"], "format": "uuid", "description": about})
}

fn whole(least: i64, most: i64, default: Option<i64>, about: &str) -> Value {
    let mut schema = json!({
        "type": ["integer", "null"],
        "minimum": least,
        "maximum": most,
        "description": about,
    });
    if let Some(default) = default {
        put(&mut schema, "default", json!(default));
    }
    schema
}

//! Examples of responses, and of what requests hold beside the fields of `api::request`.

use serde_json::{Value, json};

use crate::api::request::insert;

const USER: &str = "alice";
const EXCHANGE: &str = "0198a3c5-7f00-7000-8000-000000000001";
const SESSION: &str = "0198a3c5-7f00-7000-8000-000000000002";
/// In microseconds.
const STARTED_AT: u64 = 1_772_366_400_000_000;
pub(super) const BATCH: &str = "0198a3c5-7f00-7000-8000-000000000003";

pub(super) fn entry() -> Value {
    json!({
        "id": 1,
        "type": "response",
        "endpoint": "/api/v1/ai/generate",
        "created_at": "2026-03-01T12:00:00.25Z",
        "ttl": "2026-03-31T12:00:00Z",
        "storage_info": {"model": "gpt-4", "session_id": SESSION},
        "data": {"text": "Generated response", "tokens": 150},
        "user_id": USER,
        "exchange_id": EXCHANGE,
        "method": "POST",
        "path": "/api/v1/ai/generate",
        "query": "stream=false",
        "host": "api.example.com",
        "route": "ai",
        "request_id": "7f3c2a9e-5d0b-4b0e-9a51-1f6b6c0d4a11",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "status": 200,
        "timing": {
            "started_at": "2026-03-01T12:00:00Z",
            "first_byte_at": "2026-03-01T12:00:00.25Z",
            "ended_at": "2026-03-01T12:00:00.251Z",
            "duration_ms": 251.0,
        },
        "content": {
            "type": "application/json",
            "form": "json",
            "encoding": null,
            "decoded": false,
            "size": 42,
            "stored_size": 42,
            "truncated": false,
            "completion": "complete",
            "redactions": 0,
        },
    })
}

/// With what only a single entry shows.
pub(super) fn complete_entry() -> Value {
    let mut entry = entry();
    let headers = json!([["content-type", "application/json"]]);
    insert(&mut entry, "headers", headers);
    insert(&mut entry, "trailers", json!([]));
    if let Some(content) = entry.get_mut("content") {
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        insert(content, "redactions_by_rule", json!({}));
        insert(content, "sha256", json!(sha256));
    }
    entry
}

pub(super) fn entry_page() -> Value {
    json!({
        "items": [entry()],
        "total": 1,
        "total_exact": true,
        "page": 1,
        "page_size": 20,
        "has_more": false,
        "next_cursor": null,
    })
}

pub(super) fn exchange() -> Value {
    json!({
        "exchange_id": EXCHANGE,
        "user_id": USER,
        "session_id": SESSION,
        "request": null,
        "response": complete_entry(),
    })
}

/// With the entries of each session, or without.
pub(super) fn session_page(with_entries: bool) -> Value {
    let mut session = json!({
        "session_id": SESSION,
        "external_id": null,
        "user_id": USER,
        "created_at": "2026-03-01T12:00:00Z",
        "last_activity": "2026-03-01T12:10:00Z",
        "endpoints": ["/api/v1/ai/generate"],
        "total_entries": 4,
        "entries_shown": 0,
        "has_more_entries": true,
    });
    if with_entries {
        insert(&mut session, "entries", json!([entry()]));
        insert(&mut session, "entries_shown", json!(1));
    }
    json!({
        "sessions": [session],
        "total": 1,
        "total_exact": true,
        "page": 1,
        "page_size": 20,
        "has_more": false,
        "next_cursor": null,
    })
}

pub(super) fn deletion() -> Value {
    json!({
        "deleted_count": 1,
        "deleted": [1],
        "skipped": [{"id": 2, "reason": "ttl_not_expired"}],
    })
}

/// A record, as a line of a batch.
pub(super) fn line() -> Value {
    let line = json!({
        "exchange_id": EXCHANGE, "type": "request", "user_id": "alice", "endpoint": "/hello", "method": "POST",
        "path": "/hello", "started_at": STARTED_AT, "first_byte_at": STARTED_AT, "ended_at": STARTED_AT,
        "body_size": 17, "content_type": "application/json", "completion": "complete",
        "body_json": {"hello": "world"},
    });
    json!(line.to_string())
}

pub(super) fn receipt() -> Value {
    json!({"batch_id": BATCH, "duplicate": false, "spooled": false, "records": 2, "expired": 0, "rejected": 0})
}

fn rejected_item() -> Value {
    json!({
        "id": format!("{BATCH}:1"),
        "batch_id": BATCH,
        "position": 1,
        "received_at": "2026-03-01T12:00:00.25Z",
        "reason": "user_id: expected 1 to 256 bytes without NUL",
        "header_bytes": 12,
        "body_bytes": 2,
        "truncated": false,
    })
}

pub(super) fn rejected_page() -> Value {
    json!({"rejected": [rejected_item()], "has_more": false, "next_cursor": null})
}

pub(super) fn rejected_record() -> Value {
    let mut record = rejected_item();
    let content = json!({
        "header_text": "{\"user_id\":\"\"}", "header_base64": null, "body_text": "{}", "body_base64": null,
    });
    insert(&mut record, "content", content);
    record
}

pub(super) fn rejected_outcome() -> Value {
    json!({"id": format!("{BATCH}:1")})
}

pub(super) fn gap_page() -> Value {
    let gap = json!({
        "batch_id": BATCH,
        "received_at": "2026-03-01T12:00:00.25Z",
        "reason": "buffer_full",
        "records": 12,
        "bytes": 34567,
        "first_at": "2026-03-01T11:59:58Z",
        "last_at": "2026-03-01T11:59:59.5Z",
    });
    json!({"gaps": [gap], "has_more": false, "next_cursor": null})
}

pub(super) fn readiness() -> Value {
    let spool = json!({"batches": 0, "bytes": 0, "max_bytes": 1 << 30, "damaged": 0});
    json!({"postgres": "up", "spool": spool})
}

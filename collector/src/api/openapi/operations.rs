//! Every operation: what it is for, who may, what it takes, what it answers.

use dossier_wire::{BATCH_ID_HEADER, BatchError, CONTENT_TYPE, INGEST_PATH};
use serde_json::{Value, json};

use super::answers::{self, Good};
use super::schemas::{put, reference};
use super::{examples, requests};
use crate::api::MAX_REQUEST_BYTES;
use crate::auth::{ADMINS, READERS, TokenError, WRITERS};
use crate::http::error::{ApiError, FieldError, InternalCause};
use crate::http::middleware::MAX_URL_BYTES;
use crate::ingest::{MAX_SENT_BYTES, ndjson};
use crate::model::key::Role;

/// The groups of operations, in the order in which they are shown.
pub(super) const TAGS: [(&str, &str); 3] = [
    ("storage", "What was recorded."),
    ("ingest", "How records come in."),
    ("operations", "For those who operate the collector."),
];

/// One of them.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    about: &'static str,
    roles: &'static [Role],
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Value,
}

impl Operation {
    pub(super) fn describe(&self) -> Value {
        let roles: Vec<_> = self.roles.iter().map(|role| role.as_str()).collect();
        let (security, who) = if roles.is_empty() {
            (json!([]), "Needs no key.".to_owned())
        } else {
            let who = format!("For the roles {}.", roles.join(", "));
            (json!([{"bearer": []}, {"key": []}]), who)
        };
        let mut described = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "description": format!("{} {who}", self.about).trim_start(),
            "security": security,
            "responses": self.answers,
        });
        if !self.parameters.is_empty() {
            put(&mut described, "parameters", json!(self.parameters));
        }
        if let Some(body) = &self.body {
            put(&mut described, "requestBody", body.clone());
        }
        described
    }
}

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    let mut all = vec![query(), list_sessions(), query_sessions(), entry(), body()];
    all.extend([exchange(), delete(), ingest(), alive(), ready(), metrics()]);
    all.extend([document(), page()]);
    all
}

fn query() -> Operation {
    let mut errors = post_errors(
        READERS,
        "page_size",
        "expected a whole number from 1 to 100",
    );
    errors.push(ApiError::SearchNotEnabled);
    Operation {
        method: "post",
        path: "/storage/query",
        id: "queryEntries",
        tag: "storage",
        summary: "Find entries",
        about: "Pages of the caller's entries that pass all filters, the newest first. An empty page comes with the warning `NO_RESULTS_FOUND`, which tells why.",
        roles: READERS,
        parameters: Vec::new(),
        body: Some(json_body("EntryQuery", &examples::entry_query())),
        answers: answers::describe(
            Good::Enveloped {
                message: "Storage entries retrieved",
                data: reference("EntryPage"),
                example: examples::entry_page(),
            },
            &errors,
        ),
    }
}

fn list_sessions() -> Operation {
    let mut parameters = requests::list_parameters();
    for parameter in &mut parameters {
        let example = match parameter.get("name").and_then(Value::as_str) {
            Some("page") => json!(1),
            Some("page_size") => json!(20),
            Some("storage_type") => json!("response"),
            _ => continue,
        };
        put(parameter, "example", example);
    }
    let mut errors = reader_errors(READERS);
    errors.push(invalid(
        "page_size",
        "expected a whole number from 1 to 100",
    ));
    Operation {
        method: "get",
        path: "/storage/sessions",
        id: "listSessions",
        tag: "storage",
        summary: "List sessions",
        about: "Pages of the caller's sessions that hold an entry which passes all filters, the latest activity first. An empty page comes with the warning `NO_RESULTS_FOUND`, which tells why.",
        roles: READERS,
        parameters,
        body: None,
        answers: answers::describe(
            Good::Enveloped {
                message: "Storage sessions retrieved",
                data: reference("SessionPage"),
                example: examples::session_page(false),
            },
            &errors,
        ),
    }
}

fn query_sessions() -> Operation {
    let expected = "expected a whole number from 1 to 100";
    let mut errors = post_errors(READERS, "entries_per_session", expected);
    errors.push(ApiError::SearchNotEnabled);
    Operation {
        method: "post",
        path: "/storage/sessions/query",
        id: "querySessions",
        tag: "storage",
        summary: "Find sessions with their entries",
        about: "As the list of sessions, by all filters of entries; each session with its newest entries that pass them.",
        roles: READERS,
        parameters: Vec::new(),
        body: Some(json_body("SessionQuery", &examples::session_query())),
        answers: answers::describe(
            Good::Enveloped {
                message: "Storage sessions retrieved",
                data: reference("SessionPage"),
                example: examples::session_page(true),
            },
            &errors,
        ),
    }
}

fn entry() -> Operation {
    Operation {
        method: "get",
        path: "/storage/entries/{id}",
        id: "getEntry",
        tag: "storage",
        summary: "One entry",
        about: "All that is known of it.",
        roles: READERS,
        parameters: vec![entry_id()],
        body: None,
        answers: answers::describe(
            Good::Enveloped {
                message: "Entry retrieved",
                data: reference("Entry"),
                example: examples::whole_entry(),
            },
            &one_errors("id", "expected the number of an entry"),
        ),
    }
}

fn body() -> Operation {
    let mut errors = one_errors("id", "expected the number of an entry");
    errors.push(ApiError::BodyNotStored("expired"));
    Operation {
        method: "get",
        path: "/storage/entries/{id}/body",
        id: "getEntryBody",
        tag: "storage",
        summary: "The body of an entry",
        about: "Its exact bytes, with the content type that was sent. If they are still in a content encoding, `X-Body-Encoding` names it.",
        roles: READERS,
        parameters: vec![entry_id()],
        body: None,
        answers: answers::describe(
            Good::Bare {
                media_type: "*/*",
                description: "The bytes",
                schema: None,
                example: json!("{\"text\": \"Generated response\", \"tokens\": 150}"),
            },
            &errors,
        ),
    }
}

fn exchange() -> Operation {
    let id = json!({
        "name": "exchange_id",
        "in": "path",
        "required": true,
        "schema": {"type": "string", "format": "uuid"},
        "example": examples::EXCHANGE,
        "description": "`exchange_id` of either half.",
    });
    Operation {
        method: "get",
        path: "/storage/exchanges/{exchange_id}",
        id: "getExchange",
        tag: "storage",
        summary: "Both halves of an exchange",
        about: "",
        roles: READERS,
        parameters: vec![id],
        body: None,
        answers: answers::describe(
            Good::Enveloped {
                message: "Exchange retrieved",
                data: reference("Exchange"),
                example: examples::exchange(),
            },
            &one_errors("exchange_id", "expected a UUID"),
        ),
    }
}

fn delete() -> Operation {
    Operation {
        method: "post",
        path: "/storage/delete",
        id: "deleteEntries",
        tag: "storage",
        summary: "Delete entries",
        about: "Without `force`, only entries past their time go. Every deletion is noted for audits.",
        roles: ADMINS,
        parameters: Vec::new(),
        body: Some(json_body("DeletionRequest", &examples::deletion_request())),
        answers: answers::describe(
            Good::Enveloped {
                message: "Storage entries deleted",
                data: reference("Deletion"),
                example: examples::deletion(),
            },
            &post_errors(ADMINS, "storage_ids", "this field is needed"),
        ),
    }
}

fn ingest() -> Operation {
    let mut errors = caller_errors(WRITERS);
    errors.extend([
        ApiError::MissingCertificate,
        ApiError::InvalidHeader("x-dossier-batch: expected the batch's UUID"),
        ApiError::UnsupportedMedia(
            "content-type: expected application/vnd.dossier.batch or application/x-ndjson",
        ),
        ApiError::TooLarge(MAX_SENT_BYTES),
        ApiError::InvalidBatch(BatchError::NotABatch),
        ApiError::InvalidNdjson("it has no line"),
        ApiError::InvalidCompression,
        ApiError::TooManyInFlight,
        ApiError::IncompleteBody,
    ]);
    let parameters = vec![
        json!({
            "name": BATCH_ID_HEADER,
            "in": "header",
            "required": true,
            "schema": {"type": "string", "format": "uuid"},
            "example": examples::BATCH,
            "description": "The batch's id; what is sent again under the same id is stored once.",
        }),
        json!({
            "name": "Content-Encoding",
            "in": "header",
            "schema": {"enum": ["identity", "deflate"]},
            "example": "deflate",
            "description": "`deflate` is a zlib stream.",
        }),
    ];
    let content = json!({
        CONTENT_TYPE: {
            "schema": {"type": "string", "format": "binary"},
            "example": "the bytes of a batch",
        },
        ndjson::CONTENT_TYPE: {
            "schema": {
                "type": "string",
                "description": "A record in each line: a JSON object with the fields of a record's header, and of its body one of `body_json`, `body_text` and `body_base64`.",
            },
            "example": examples::line(),
        },
    });
    Operation {
        method: "post",
        path: INGEST_PATH,
        id: "ingestBatch",
        tag: "ingest",
        summary: "Store a batch of records",
        about: "The batch is acknowledged when it is durable: in Postgres or, while that is away, in the collector's spool. Malformed records in a well-formed batch are rejected and counted.",
        roles: WRITERS,
        parameters,
        body: Some(json!({"required": true, "content": content})),
        answers: answers::describe(
            Good::Enveloped {
                message: "Batch stored",
                data: reference("BatchReceipt"),
                example: examples::receipt(),
            },
            &errors,
        ),
    }
}

fn alive() -> Operation {
    let version = env!("CARGO_PKG_VERSION");
    let data = json!({
        "type": "object",
        "required": ["version"],
        "properties": {"version": {"type": "string"}},
    });
    open(
        "/healthz",
        "alive",
        "Does the process run?",
        Good::Enveloped {
            message: "The collector is alive",
            data,
            example: json!({"version": version}),
        },
        Vec::new(),
    )
}

fn ready() -> Operation {
    open(
        "/readyz",
        "ready",
        "Can batches be made durable, in Postgres or in the spool?",
        Good::Enveloped {
            message: "The collector is ready",
            data: reference("Readiness"),
            example: examples::readiness(),
        },
        vec![ApiError::Unavailable(InternalCause::default())],
    )
}

fn metrics() -> Operation {
    open(
        "/metrics",
        "metrics",
        "Metrics for Prometheus",
        Good::Bare {
            media_type: "application/openmetrics-text",
            description: "OpenMetrics text",
            schema: Some(json!({"type": "string"})),
            example: json!("dossier_records_total 2\n# EOF\n"),
        },
        Vec::new(),
    )
}

fn document() -> Operation {
    open(
        "/openapi.json",
        "document",
        "This description, for programs",
        Good::Bare {
            media_type: "application/json",
            description: "OpenAPI 3.1",
            schema: Some(
                json!({"type": "object", "required": ["openapi"], "additionalProperties": true}),
            ),
            example: json!({"openapi": "3.1.0"}),
        },
        Vec::new(),
    )
}

fn page() -> Operation {
    open(
        "/docs",
        "page",
        "This description, for people",
        Good::Bare {
            media_type: "text/html",
            description: "A page",
            schema: Some(json!({"type": "string"})),
            example: json!("<!doctype html>"),
        },
        Vec::new(),
    )
}

/// An operation for everyone who can reach the collector.
fn open(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    good: Good,
    mut errors: Vec<ApiError>,
) -> Operation {
    errors.extend(any_errors());
    Operation {
        method: "get",
        path,
        id,
        tag: "operations",
        summary,
        about: "",
        roles: &[],
        parameters: Vec::new(),
        body: None,
        answers: answers::describe(good, &errors),
    }
}

fn entry_id() -> Value {
    json!({
        "name": "id",
        "in": "path",
        "required": true,
        "schema": {"type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX},
        "example": 1,
        "description": "The entry's number.",
    })
}

fn json_body(schema: &str, example: &Value) -> Value {
    let content = json!({"schema": reference(schema), "example": example});
    json!({"required": true, "content": {"application/json": content}})
}

/// What anyone may be answered.
fn any_errors() -> [ApiError; 3] {
    [
        ApiError::UrlTooLong(MAX_URL_BYTES),
        ApiError::TimedOut,
        ApiError::Internal(InternalCause::default()),
    ]
}

/// What any caller with a key or token may be answered.
fn caller_errors(roles: &'static [Role]) -> Vec<ApiError> {
    let mut errors = vec![
        ApiError::MissingCredentials,
        ApiError::InvalidToken(TokenError::UnknownKey),
        ApiError::Forbidden(roles),
        ApiError::Unavailable(InternalCause::default()),
        ApiError::JwksUnavailable,
    ];
    errors.extend(any_errors());
    errors
}

fn reader_errors(roles: &'static [Role]) -> Vec<ApiError> {
    let mut errors = caller_errors(roles);
    errors.push(ApiError::RateLimited);
    errors
}

fn one_errors(field: &str, expected: &str) -> Vec<ApiError> {
    let mut errors = reader_errors(READERS);
    errors.extend([ApiError::NotFound, invalid(field, expected)]);
    errors
}

fn post_errors(roles: &'static [Role], field: &str, expected: &str) -> Vec<ApiError> {
    let mut errors = reader_errors(roles);
    errors.extend([
        ApiError::NotJsonObject,
        ApiError::TooLarge(MAX_REQUEST_BYTES),
        ApiError::IncompleteBody,
        invalid(field, expected),
    ]);
    errors
}

fn invalid(field: &str, expected: &str) -> ApiError {
    ApiError::Invalid(vec![FieldError {
        field: field.to_owned(),
        message: expected.to_owned(),
        kind: "value_error",
    }])
}

//! The operations of the API: what each is for, which roles may call it, what it accepts and returns.

use dossier_wire::{BATCH_ID_HEADER, BatchError, CONTENT_TYPE, INGEST_PATH};
use serde_json::{Value, json};

use super::examples;
use super::responses::{self, SuccessResponse};
use crate::api::query::fields::{ENTRY_QUERY, PAGE_SIZE};
use crate::api::request::{AnyField, MAX_BODY_BYTES, Request, insert, path_parameter, reference};
use crate::api::sessions::fields::{ENTRIES_PER_SESSION, SESSION_LIST, SESSION_QUERY};
use crate::api::{admin, deletion, entries, exchanges};
use crate::auth::{ADMINS, READERS, TokenError, WRITERS};
use crate::http::error::{ApiError, InternalCause};
use crate::http::middleware::MAX_URL_BYTES;
use crate::ingest::{MAX_SENT_BYTES, ndjson};
use crate::model::key::Role;

/// The groups of operations, in the order of the page.
pub(super) const TAGS: [(&str, &str); 4] = [
    ("storage", "Query and delete what was recorded."),
    ("ingest", "Send records."),
    ("admin", "Look after what could not be recorded."),
    ("operations", "Operate the collector."),
];

pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    roles: &'static [Role],
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Value,
}

impl Operation {
    pub(super) fn describe(&self) -> Value {
        let roles: Vec<&str> = self.roles.iter().map(Into::into).collect();
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
            "description": format!("{} {who}", self.description).trim_start(),
            "security": security,
            "responses": self.responses,
        });
        if !self.parameters.is_empty() {
            insert(&mut described, "parameters", json!(self.parameters));
        }
        if let Some(body) = &self.body {
            insert(&mut described, "requestBody", body.clone());
        }
        described
    }
}

pub(super) fn all() -> Vec<Operation> {
    let mut all = vec![query(), list_sessions(), query_sessions(), entry(), body()];
    all.extend([exchange(), delete(), ingest(), list_rejected(), rejected()]);
    all.extend([delete_rejected(), retry_rejected(), list_gaps()]);
    all.extend([alive(), ready(), metrics()]);
    all.extend([document(), page()]);
    all
}

fn query() -> Operation {
    let mut errors = post_errors(READERS, PAGE_SIZE.error_for(&json!(0)));
    errors.push(ApiError::SearchNotEnabled);
    Operation {
        method: "post",
        path: "/storage/query",
        id: "queryEntries",
        tag: "storage",
        summary: "Find entries",
        description: "Pages of the caller's entries that match all filters, the newest first. An empty page has the warning `NO_RESULTS_FOUND`, which says why.",
        roles: READERS,
        parameters: Vec::new(),
        body: Some(json_body(&ENTRY_QUERY)),
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Storage entries retrieved",
                data: reference("EntryPage"),
                example: examples::entry_page(),
            },
            &errors,
        ),
    }
}

fn list_sessions() -> Operation {
    let mut errors = reader_errors(READERS);
    errors.push(PAGE_SIZE.error_for(&json!(0)));
    Operation {
        method: "get",
        path: "/storage/sessions",
        id: "listSessions",
        tag: "storage",
        summary: "List sessions",
        description: "Pages of the caller's sessions with an entry that matches all filters, the latest activity first. An empty page has the warning `NO_RESULTS_FOUND`, which says why.",
        roles: READERS,
        parameters: SESSION_LIST.parameters(),
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Storage sessions retrieved",
                data: reference("SessionPage"),
                example: examples::session_page(false),
            },
            &errors,
        ),
    }
}

fn query_sessions() -> Operation {
    let invalid = ENTRIES_PER_SESSION.error_for(&json!(0));
    let mut errors = post_errors(READERS, invalid);
    errors.push(ApiError::SearchNotEnabled);
    Operation {
        method: "post",
        path: "/storage/sessions/query",
        id: "querySessions",
        tag: "storage",
        summary: "Find sessions with their entries",
        description: "Like the list of sessions, with all filters of entries. Each session has its newest entries that match them.",
        roles: READERS,
        parameters: Vec::new(),
        body: Some(json_body(&SESSION_QUERY)),
        responses: responses::describe(
            SuccessResponse::Enveloped {
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
        summary: "Get an entry",
        description: "All that is known of one entry.",
        roles: READERS,
        parameters: vec![path_parameter(&entries::ID)],
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Entry retrieved",
                data: reference("Entry"),
                example: examples::complete_entry(),
            },
            &lookup_errors(READERS, entries::ID.error_for(&json!(0))),
        ),
    }
}

fn body() -> Operation {
    let mut errors = lookup_errors(READERS, entries::ID.error_for(&json!(0)));
    errors.push(ApiError::BodyNotStored("expired"));
    Operation {
        method: "get",
        path: "/storage/entries/{id}/body",
        id: "getEntryBody",
        tag: "storage",
        summary: "Get the body of an entry",
        description: "Its exact bytes, with the content type that was sent. If they still have a content encoding, `X-Body-Encoding` names it.",
        roles: READERS,
        parameters: vec![path_parameter(&entries::ID)],
        body: None,
        responses: responses::describe(
            SuccessResponse::Bare {
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
    Operation {
        method: "get",
        path: "/storage/exchanges/{exchange_id}",
        id: "getExchange",
        tag: "storage",
        summary: "Get an exchange",
        description: "",
        roles: READERS,
        parameters: vec![path_parameter(&exchanges::EXCHANGE_ID)],
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Exchange retrieved",
                data: reference("Exchange"),
                example: examples::exchange(),
            },
            &lookup_errors(READERS, exchanges::EXCHANGE_ID.error_for(&json!("x"))),
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
        description: "Without `force`, only expired entries are deleted. Every deletion is recorded in the audit table.",
        roles: ADMINS,
        parameters: Vec::new(),
        body: Some(json_body(&deletion::DELETION)),
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Storage entries deleted",
                data: reference("Deletion"),
                example: examples::deletion(),
            },
            &post_errors(ADMINS, deletion::STORAGE_IDS.error_for(&json!([]))),
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
            "description": "Id of the batch. A batch that is sent again with the same id is stored once.",
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
                "description": "One record per line: a JSON object with the fields of a record's header, and the body as one of `body_json`, `body_text` and `body_base64`.",
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
        description: "The batch is acknowledged when it is durable: in Postgres or, while Postgres is unavailable, in the collector's spool. Malformed records in a valid batch are rejected and counted.",
        roles: WRITERS,
        parameters,
        body: Some(json!({"required": true, "content": content})),
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Batch stored",
                data: reference("BatchReceipt"),
                example: examples::receipt(),
            },
            &errors,
        ),
    }
}

fn list_rejected() -> Operation {
    let mut errors = reader_errors(ADMINS);
    errors.push(PAGE_SIZE.error_for(&json!(0)));
    Operation {
        method: "get",
        path: "/admin/rejected",
        id: "listRejected",
        tag: "admin",
        summary: "List rejected records",
        description: "Records that were malformed, or that Postgres refused, the latest first. They are kept for 30 days, and at most 10,000.",
        roles: ADMINS,
        parameters: admin::rejected::REJECTED_LIST.parameters(),
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Rejected records retrieved",
                data: reference("RejectedPage"),
                example: examples::rejected_page(),
            },
            &errors,
        ),
    }
}

fn rejected() -> Operation {
    Operation {
        method: "get",
        path: "/admin/rejected/{id}",
        id: "getRejected",
        tag: "admin",
        summary: "Get a rejected record",
        description: "With its header and body, as they were sent.",
        roles: ADMINS,
        parameters: vec![path_parameter(&admin::rejected::ID)],
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Rejected record retrieved",
                data: reference("RejectedRecord"),
                example: examples::rejected_record(),
            },
            &lookup_errors(ADMINS, admin::rejected::ID.error_for(&json!("x"))),
        ),
    }
}

fn delete_rejected() -> Operation {
    Operation {
        method: "delete",
        path: "/admin/rejected/{id}",
        id: "deleteRejected",
        tag: "admin",
        summary: "Delete a rejected record",
        description: "",
        roles: ADMINS,
        parameters: vec![path_parameter(&admin::rejected::ID)],
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Rejected record deleted",
                data: reference("RejectedOutcome"),
                example: examples::rejected_outcome(),
            },
            &lookup_errors(ADMINS, admin::rejected::ID.error_for(&json!("x"))),
        ),
    }
}

fn retry_rejected() -> Operation {
    Operation {
        method: "post",
        path: "/admin/rejected/{id}/retry",
        id: "retryRejected",
        tag: "admin",
        summary: "Store a rejected record after all",
        description: "It is checked anew, stored once, and deleted from the rejected records. If it is rejected again, the error says why, and it stays.",
        roles: ADMINS,
        parameters: vec![path_parameter(&admin::rejected::ID)],
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Rejected record stored",
                data: reference("RejectedOutcome"),
                example: examples::rejected_outcome(),
            },
            &lookup_errors(ADMINS, admin::rejected::ID.error_for(&json!("x"))),
        ),
    }
}

fn list_gaps() -> Operation {
    let mut errors = reader_errors(ADMINS);
    errors.push(PAGE_SIZE.error_for(&json!(0)));
    Operation {
        method: "get",
        path: "/admin/gaps",
        id: "listGaps",
        tag: "admin",
        summary: "List gaps",
        description: "Losses that producers reported, the latest first.",
        roles: ADMINS,
        parameters: admin::gaps::GAP_LIST.parameters(),
        body: None,
        responses: responses::describe(
            SuccessResponse::Enveloped {
                message: "Gaps retrieved",
                data: reference("GapPage"),
                example: examples::gap_page(),
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
        "Is the process running?",
        SuccessResponse::Enveloped {
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
        SuccessResponse::Enveloped {
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
        SuccessResponse::Bare {
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
        "The API as OpenAPI",
        SuccessResponse::Bare {
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
        "The API as a page",
        SuccessResponse::Bare {
            media_type: "text/html",
            description: "A page",
            schema: Some(json!({"type": "string"})),
            example: json!("<!doctype html>"),
        },
        Vec::new(),
    )
}

/// An operation that needs no key.
fn open(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    success: SuccessResponse,
    mut errors: Vec<ApiError>,
) -> Operation {
    errors.extend(any_errors());
    Operation {
        method: "get",
        path,
        id,
        tag: "operations",
        summary,
        description: "",
        roles: &[],
        parameters: Vec::new(),
        body: None,
        responses: responses::describe(success, &errors),
    }
}

fn json_body(request: &Request) -> Value {
    let content = json!({"schema": reference(request.name), "example": request.example()});
    json!({"required": true, "content": {"application/json": content}})
}

/// Errors of every operation.
fn any_errors() -> [ApiError; 3] {
    [
        ApiError::UrlTooLong(MAX_URL_BYTES),
        ApiError::TimedOut,
        ApiError::Internal(InternalCause::default()),
    ]
}

/// Errors of every operation that needs a key or token.
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

fn lookup_errors(roles: &'static [Role], invalid: ApiError) -> Vec<ApiError> {
    let mut errors = reader_errors(roles);
    errors.extend([ApiError::NotFound, invalid]);
    errors
}

fn post_errors(roles: &'static [Role], invalid: ApiError) -> Vec<ApiError> {
    let mut errors = reader_errors(roles);
    errors.extend([
        ApiError::NotJsonObject,
        ApiError::TooLarge(MAX_BODY_BYTES),
        ApiError::IncompleteBody,
        invalid,
    ]);
    errors
}

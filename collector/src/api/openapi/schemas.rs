//! The schemas that the document names: of responses, derived from their types, and of requests, made from
//! their fields.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::query::metadata_filters;
use crate::api::request::reference;
use crate::api::{admin, deletion, exchanges, health, query, sessions};
use crate::http::envelope::{Metadata, Warning};
use crate::http::error::FieldError;
use crate::ingest::BatchReceipt;

/// By name.
pub(super) fn all() -> Map<String, Value> {
    let mut derived = Vec::new();
    add::<query::page_response::EntryPageResponse>(&mut derived);
    add::<sessions::page_response::SessionPageResponse>(&mut derived);
    add::<exchanges::ExchangeResponse>(&mut derived);
    add::<deletion::DeletionResponse>(&mut derived);
    add::<admin::rejected::RejectedPage>(&mut derived);
    add::<admin::rejected::RejectedResponse>(&mut derived);
    add::<admin::rejected::RejectedOutcome>(&mut derived);
    add::<admin::gaps::GapPage>(&mut derived);
    add::<BatchReceipt>(&mut derived);
    add::<health::Readiness>(&mut derived);
    add::<Metadata<'_>>(&mut derived);
    add::<Warning>(&mut derived);
    add::<FieldError>(&mut derived);
    let derived = derived
        .into_iter()
        .map(|(name, schema)| (name, json!(schema)));
    let requests = [
        &query::fields::ENTRY_QUERY,
        &sessions::fields::SESSION_QUERY,
        &deletion::DELETION,
    ];
    let requests = requests.map(|request| (request.name.to_owned(), request.schema()));
    let others = [
        ("MetadataFilters".to_owned(), metadata_filters::schema()),
        ("ErrorDetails".to_owned(), error_details()),
    ];
    derived.chain(requests).chain(others).collect()
}

fn add<T: ToSchema + PartialSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}

fn error_details() -> Value {
    json!({
        "type": "object",
        "description": "More about the error, depending on its code.",
        "properties": {
            "errors": {"type": "array", "items": reference("FieldError"), "description": "Of `VAL_CONSTRAINT_VIOLATION`: all invalid fields."},
            "required_roles": {"type": "array", "items": {"type": "string"}, "description": "Of `AUTH_INSUFFICIENT_PERMISSIONS`."},
            "limit_bytes": {"type": "integer", "description": "Of `PAYLOAD_TOO_LARGE` and `VAL_URL_TOO_LONG`."},
            "reason": {"type": "string", "description": "Of `NOT_FOUND`: why an entry has no body."},
        },
    })
}

//! `POST /storage/delete`: an admin deletes entries by number, of any user.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::request::{
    Boolean, Field, FieldReader, OrDefault, PositiveIntegers, Request, Required, whole_body,
};
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::model::ids::EntryId;
use crate::store::{Deletion, DeletionOutcome, SkipReason};

pub(super) static DELETION: Request = Request {
    name: "DeletionRequest",
    groups: &[&[&STORAGE_IDS, &FORCE]],
    example: &[&STORAGE_IDS, &FORCE],
};

pub(super) static STORAGE_IDS: Field<Required<PositiveIntegers>> = Field {
    name: "storage_ids",
    kind: Required(PositiveIntegers { max_items: MAX_IDS }),
    description: "Numbers of entries.",
    example: || json!([1, 2]),
};

static FORCE: Field<OrDefault<Boolean>> = Field {
    name: "force",
    kind: OrDefault {
        kind: Boolean,
        default: false,
    },
    description: "Delete also entries that have not expired.",
    example: || json!(false),
};

const MAX_IDS: usize = 10_000;

/// Which of the requested entries were deleted.
#[derive(Serialize, ToSchema)]
#[schema(as = Deletion)]
pub(super) struct DeletionResponse {
    deleted_count: usize,
    #[schema(value_type = Vec<i64>)]
    deleted: Vec<EntryId>,
    skipped: Vec<Skipped>,
}

/// An entry that was not deleted.
#[derive(Serialize, ToSchema)]
struct Skipped {
    #[schema(value_type = i64)]
    id: EntryId,
    /// `ttl_not_expired`, `no_ttl` or `not_found`.
    reason: &'static str,
}

/// Deletes entries.
///
/// # Errors
/// [`ApiError`]; nothing is deleted then.
pub async fn delete(
    State(app): State<App>,
    Admin(by): Admin,
    body: Result<Bytes, BytesRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let body = whole_body(body)?;
    let (ids, force) = parse(&body)?;
    let deletion = Deletion {
        ids: &ids,
        force,
        by: &by,
    };
    let outcomes = app.store.delete_entries(&deletion, app.clock.now()).await?;
    Ok(Success::new(
        "Storage entries deleted",
        DeletionResponse::new(outcomes),
    ))
}

fn parse(body: &[u8]) -> Result<(Vec<EntryId>, bool), ApiError> {
    let mut reader = FieldReader::from_json(body, &DELETION)?;
    let ids = reader.read(&STORAGE_IDS).unwrap_or_default();
    let force = reader.read_or_default(&FORCE);
    reader.finish()?;
    Ok((ids.into_iter().map(EntryId).collect(), force))
}

impl DeletionResponse {
    fn new(outcomes: Vec<(EntryId, DeletionOutcome)>) -> Self {
        let (mut deleted, mut skipped) = (Vec::new(), Vec::new());
        for (id, outcome) in outcomes {
            match outcome {
                DeletionOutcome::Deleted => deleted.push(id),
                DeletionOutcome::Skipped(reason) => skipped.push(Skipped {
                    id,
                    reason: reason_name(reason),
                }),
            }
        }
        Self {
            deleted_count: deleted.len(),
            deleted,
            skipped,
        }
    }
}

const fn reason_name(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::TtlNotExpired => "ttl_not_expired",
        SkipReason::NoTtl => "no_ttl",
        SkipReason::NotFound => "not_found",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn errors(body: &Value) -> Vec<(String, &'static str)> {
        match parse(body.to_string().as_bytes()) {
            Err(ApiError::Invalid(errors)) => errors
                .into_iter()
                .map(|error| (error.field, error.kind))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ids_and_force_are_parse() {
        let (ids, force) = parse(br#"{"storage_ids": [3, 1], "force": true}"#).unwrap();
        assert_eq!((ids, force), (vec![EntryId(3), EntryId(1)], true));
        assert!(!parse(br#"{"storage_ids": [1]}"#).unwrap().1);
    }

    #[test]
    fn rejects_invalid_fields() {
        for (body, expected) in [
            (json!({}), vec![("storage_ids", "missing")]),
            (
                json!({"storage_ids": []}),
                vec![("storage_ids", "value_error")],
            ),
            (
                json!({"storage_ids": 1}),
                vec![("storage_ids", "type_error")],
            ),
            (
                json!({"storage_ids": ["1"]}),
                vec![("storage_ids", "type_error")],
            ),
            (
                json!({"storage_ids": [1.5]}),
                vec![("storage_ids", "type_error")],
            ),
            (
                json!({"storage_ids": [0]}),
                vec![("storage_ids", "value_error")],
            ),
            (
                json!({"storage_ids": [1], "forced": true}),
                vec![("forced", "unknown_field")],
            ),
            (
                json!({"storage_ids": [-1], "force": 1}),
                vec![("storage_ids", "value_error"), ("force", "type_error")],
            ),
        ] {
            let reported = errors(&body);
            let reported: Vec<_> = reported
                .iter()
                .map(|(field, kind)| (field.as_str(), *kind))
                .collect();
            assert_eq!(reported, expected, "{body}");
        }
    }

    #[test]
    fn rejects_ids_over_limit() {
        let body = |count: usize| json!({"storage_ids": vec![1; count]});
        assert!(parse(body(MAX_IDS).to_string().as_bytes()).is_ok());
        assert_eq!(
            errors(&body(MAX_IDS + 1)),
            [("storage_ids".to_owned(), "value_error")]
        );
    }
}

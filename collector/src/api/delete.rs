//! `POST /storage/delete`: an admin deletes entries by number, of whichever user.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::Fields;
use super::whole;
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::model::ids::EntryId;
use crate::store::{Deletion, DeletionOutcome, SkipReason};

const KNOWN: &[&str] = &["storage_ids", "force"];
pub(super) const MAX_IDS: usize = 10_000;

/// What became of the entries that were named.
#[derive(Serialize, ToSchema)]
#[schema(as = Deletion)]
pub(super) struct Answer {
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
    let body = whole(body)?;
    let (ids, force) = read(&body)?;
    let deletion = Deletion {
        ids: &ids,
        force,
        by: &by,
    };
    let outcomes = app.store.delete_entries(&deletion, app.clock.now()).await?;
    Ok(Success::new(
        "Storage entries deleted",
        Answer::of(outcomes),
    ))
}

fn read(body: &[u8]) -> Result<(Vec<EntryId>, bool), ApiError> {
    let mut fields = Fields::parse(body, KNOWN)?;
    let ids = fields.positive_integers("storage_ids", MAX_IDS);
    let force = fields.boolean("force").unwrap_or(false);
    if !fields.has("storage_ids") {
        fields.error("storage_ids", "this field is needed", "missing");
    }
    fields.finish()?;
    let ids = ids.unwrap_or_default();
    Ok((ids.into_iter().map(EntryId).collect(), force))
}

impl Answer {
    fn of(outcomes: Vec<(EntryId, DeletionOutcome)>) -> Self {
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
    use serde_json::{Value, json};

    use super::*;

    fn faults(body: &Value) -> Vec<(String, &'static str)> {
        match read(body.to_string().as_bytes()) {
            Err(ApiError::Invalid(errors)) => errors
                .into_iter()
                .map(|error| (error.field, error.kind))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ids_and_force_are_read() {
        let (ids, force) = read(br#"{"storage_ids": [3, 1], "force": true}"#).unwrap();
        assert_eq!((ids, force), (vec![EntryId(3), EntryId(1)], true));
        assert!(!read(br#"{"storage_ids": [1]}"#).unwrap().1);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (body, faults_told) in [
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
            let told = faults(&body);
            let told: Vec<_> = told
                .iter()
                .map(|(field, kind)| (field.as_str(), *kind))
                .collect();
            assert_eq!(told, faults_told, "{body}");
        }
    }

    #[test]
    fn the_number_of_ids_has_a_bound() {
        let body = |count: usize| json!({"storage_ids": vec![1; count]});
        assert!(read(body(MAX_IDS).to_string().as_bytes()).is_ok());
        assert_eq!(
            faults(&body(MAX_IDS + 1)),
            [("storage_ids".to_owned(), "value_error")]
        );
    }
}

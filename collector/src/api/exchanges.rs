//! `GET /storage/exchanges/{exchange_id}`: both halves of an exchange together.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use dossier_wire::Half;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::answer::Item;
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::{ApiError, FieldError};
use crate::http::extract::Reader;
use crate::model::entry::Entry;
use crate::model::ids::{ExchangeId, SessionId, UserId};
use dossier_body::RenderBudget;

/// Both halves of an exchange; a half that was not recorded, or is gone, is null.
#[derive(Serialize, ToSchema)]
pub(super) struct Exchange {
    #[serde(rename = "exchange_id")]
    #[schema(value_type = uuid::Uuid)]
    id: ExchangeId,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = Option<uuid::Uuid>, required)]
    session_id: Option<SessionId>,
    #[schema(required)]
    request: Option<Item>,
    #[schema(required)]
    response: Option<Item>,
}

/// One of the caller's exchanges. A half that was not recorded, or is gone, is null.
///
/// # Errors
/// [`ApiError`]
pub async fn exchange(
    State(app): State<App>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let id = read_id(id)?;
    let permit = app.decode_pool.acquire().await?;
    let entries = app
        .store
        .exchange(&reader.scope(None)?, id, app.clock.now())
        .await?;
    let shown = move || Exchange::of(id, entries);
    let exchange = permit.run_to_json(shown).await?;
    Ok(Success::new("Exchange retrieved", exchange))
}

impl Exchange {
    fn of(id: ExchangeId, entries: Vec<Entry>) -> Result<Self, ApiError> {
        let first = entries.first().ok_or(ApiError::NotFound)?;
        let user_id = first.user.clone();
        let session_id = entries.iter().find_map(|entry| entry.session);
        let (requests, responses): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| entry.half == Half::Request);
        let mut budget = RenderBudget::default();
        let mut first = |half: Vec<Entry>| {
            let entry = half.into_iter().next();
            entry
                .map(|entry| Item::whole(entry, &mut budget))
                .transpose()
        };
        Ok(Self {
            id,
            user_id,
            session_id,
            request: first(requests)?,
            response: first(responses)?,
        })
    }
}

fn read_id(id: Result<Path<String>, PathRejection>) -> Result<ExchangeId, ApiError> {
    let Path(text) = id.map_err(|_| ApiError::NotFound)?;
    Uuid::try_parse(&text).map(ExchangeId).map_err(|_| {
        ApiError::Invalid(vec![FieldError {
            field: "exchange_id".to_owned(),
            message: "expected a UUID".to_owned(),
            kind: "value_error",
        }])
    })
}

//! `GET /storage/exchanges/{exchange_id}`: both halves of an exchange together.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use dossier_body::RenderBudget;
use dossier_wire::Half;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::entry_response::EntryResponse;
use super::request::{Field, UuidText, read_path};
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Reader;
use crate::model::entry::Entry;
use crate::model::ids::{ExchangeId, SessionId, UserId};

pub(super) static EXCHANGE_ID: Field<UuidText> = Field {
    name: "exchange_id",
    kind: UuidText,
    description: "`exchange_id` of either half.",
    example: || json!("0198a3c5-7f00-7000-8000-000000000001"),
};

/// Both halves of an exchange; a half that was not recorded, or was deleted, is null.
#[derive(Serialize, ToSchema)]
#[schema(as = Exchange)]
pub(super) struct ExchangeResponse {
    #[serde(rename = "exchange_id")]
    #[schema(value_type = uuid::Uuid)]
    id: ExchangeId,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = Option<uuid::Uuid>, required)]
    session_id: Option<SessionId>,
    #[schema(required)]
    request: Option<EntryResponse>,
    #[schema(required)]
    response: Option<EntryResponse>,
}

/// One of the caller's exchanges.
///
/// # Errors
/// [`ApiError`]
pub async fn exchange(
    State(app): State<App>,
    caller: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let id = ExchangeId(read_path(&EXCHANGE_ID, id)?);
    let permit = app.decode_pool.acquire().await?;
    let entries = app
        .store
        .exchange(&caller.scope(None)?, id, app.clock.now())
        .await?;
    let response = move || ExchangeResponse::new(id, entries);
    let exchange = permit.run_to_json(response).await?;
    Ok(Success::new("Exchange retrieved", exchange))
}

impl ExchangeResponse {
    fn new(id: ExchangeId, entries: Vec<Entry>) -> Result<Self, ApiError> {
        let first = entries.first().ok_or(ApiError::NotFound)?;
        let user_id = first.user.clone();
        let session_id = entries.iter().find_map(|entry| entry.session);
        let (requests, responses): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| entry.half == Half::Request);
        let mut budget = RenderBudget::default();
        let mut response_of = |half: Vec<Entry>| {
            let entry = half.into_iter().next();
            entry
                .map(|entry| EntryResponse::complete(entry, &mut budget))
                .transpose()
        };
        Ok(Self {
            id,
            user_id,
            session_id,
            request: response_of(requests)?,
            response: response_of(responses)?,
        })
    }
}

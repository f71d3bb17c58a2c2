//! `GET /storage/sessions` and `POST /storage/sessions/query`: pages of sessions, the latter with their
//! entries.

pub(super) mod fields;
pub(super) mod page_response;
mod session_cursor;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use serde::Serialize;
use serde_json::value::RawValue;

use self::fields::{CURSOR, ENTRIES_PER_SESSION, SESSION_LIST, SESSION_QUERY};
use self::page_response::SessionPageResponse;
use super::query::common::{CommonFields, CommonQuery};
use super::query::empty_result::EmptyPage;
use super::query::endpoint_lookup::EndpointLookup;
use super::query::fields::INCLUDE;
use super::query::{decode_permit, warnings};
use super::request::{FieldReader, InvalidValue, whole_body};
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Reader;
use crate::store::{ResultKind, SessionCursor, SessionEntries, SessionPageRequest, Store, Total};

/// What a request asks for, before it is validated.
struct SessionQueryFields {
    common: CommonFields,
    cursor: Option<SessionCursor>,
}

/// A valid request.
struct SessionQuery {
    common: CommonQuery,
    cursor: Option<SessionCursor>,
    entries: Option<SessionEntries>,
}

/// Lists the caller's sessions.
///
/// # Errors
/// [`ApiError`]
pub async fn list(
    State(app): State<App>,
    caller: Reader,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let Query(parameters) = parameters.map_err(|_| invalid_parameters())?;
    let mut reader = FieldReader::from_parameters(parameters, &SESSION_LIST);
    let fields = SessionQueryFields::parse(&mut reader);
    respond(
        &app,
        fields.validate(&app.store, reader, &caller, None).await?,
    )
    .await
}

/// Finds the caller's sessions, with their entries.
///
/// # Errors
/// [`ApiError`]
pub async fn query(
    State(app): State<App>,
    caller: Reader,
    body: Result<Bytes, BytesRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let body = whole_body(body)?;
    let mut reader = FieldReader::from_json(&body, &SESSION_QUERY)?;
    let fields = SessionQueryFields::parse(&mut reader);
    let entries = Some(parse_entries(&mut reader));
    respond(
        &app,
        fields
            .validate(&app.store, reader, &caller, entries)
            .await?,
    )
    .await
}

async fn respond(app: &App, mut query: SessionQuery) -> Result<Success<Box<RawValue>>, ApiError> {
    let now = app.clock.now();
    let permit = match query.entries {
        Some(entries) => decode_permit(app, entries.parts).await?,
        None => app.decode_pool.permit_without_bodies(),
    };
    let mut page = app.store.find_sessions(&query.page_request(), now).await?;
    let mut nearest = None;
    if page.total == Total::Exact(0) {
        match query.common.look_up_endpoint(&app.store, now).await? {
            EndpointLookup::Unchanged => {}
            EndpointLookup::Replaced => {
                page = app.store.find_sessions(&query.page_request(), now).await?;
            }
            EndpointLookup::NotFound(endpoints) => nearest = Some(endpoints),
        }
    }
    let empty = page.sessions.is_empty().then_some(EmptyPage {
        of: ResultKind::Sessions,
        by_cursor: query.cursor.is_some(),
        total: page.total,
        nearest,
    });
    let warnings = warnings::collect(&app.store, &query.common, empty, now).await?;
    let response = move || SessionPageResponse::new(page, &query.common, query.entries);
    let data = permit.run_to_json(response).await?;
    Ok(Success::new("Storage sessions retrieved", data).with_warnings(warnings))
}

fn invalid_parameters() -> ApiError {
    let expected = "expected parameters such as ?page=1&page_size=20";
    ApiError::Invalid(vec![InvalidValue::value(expected).of_field("query")])
}

fn parse_entries(reader: &mut FieldReader) -> SessionEntries {
    SessionEntries {
        limit: reader.read_or_default(&ENTRIES_PER_SESSION),
        parts: reader.read_or_default(&INCLUDE),
    }
}

impl SessionQueryFields {
    /// Errors are collected in `reader`.
    fn parse(reader: &mut FieldReader) -> Self {
        Self {
            common: CommonFields::parse(reader, &CURSOR),
            cursor: reader.read(&CURSOR),
        }
    }

    async fn validate(
        self,
        store: &Store,
        reader: FieldReader,
        caller: &Reader,
        entries: Option<SessionEntries>,
    ) -> Result<SessionQuery, ApiError> {
        Ok(SessionQuery {
            common: self.common.validate(store, reader, caller).await?,
            cursor: self.cursor,
            entries,
        })
    }
}

impl SessionQuery {
    fn page_request(&self) -> SessionPageRequest {
        let common = &self.common;
        SessionPageRequest {
            scope: common.scope.clone(),
            filter: common.filter.clone(),
            order: common.order,
            start: common.start(self.cursor),
            limit: common.page_size,
            entries: self.entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn invalid_fields(mut reader: FieldReader) -> Vec<String> {
        SessionQueryFields::parse(&mut reader);
        parse_entries(&mut reader);
        match reader.finish() {
            Ok(()) => Vec::new(),
            Err(ApiError::Invalid(errors)) => errors.into_iter().map(|it| it.field).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn from_json(body: &Value) -> FieldReader {
        FieldReader::from_json(body.to_string().as_bytes(), &SESSION_QUERY).unwrap()
    }

    #[test]
    fn every_declared_field_is_read() {
        for field in SESSION_QUERY.fields() {
            let name = field.name();
            assert_eq!(invalid_fields(from_json(&json!({name: [[]]}))), [name]);
        }
    }

    #[test]
    fn every_declared_parameter_is_read() {
        for field in SESSION_LIST.fields() {
            let parameter = (field.name().to_owned(), String::new());
            let reader = FieldReader::from_parameters(vec![parameter], &SESSION_LIST);
            assert_eq!(invalid_fields(reader), [field.name()]);
        }
    }

    #[test]
    fn every_example_is_accepted() {
        for field in SESSION_QUERY.fields() {
            let body = json!({field.name(): field.example()});
            assert!(invalid_fields(from_json(&body)).is_empty(), "{body}");
        }
    }
}

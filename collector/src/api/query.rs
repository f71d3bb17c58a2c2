//! `POST /storage/query`: pages of entries.
//!
//! - [`fields`]: the fields of the request. A new one begins there.
//! - [`filter`], [`metadata_filters`], [`included_parts`]: what the fields mean.
//! - [`common`]: what this query shares with that for sessions.
//! - [`endpoint_lookup`], [`empty_result`], [`precedence`], [`warnings`]: what a response warns about.
//! - [`page_token`], [`page_response`]: the page that is returned.

pub(super) mod common;
pub(super) mod empty_result;
pub(super) mod endpoint_lookup;
pub(super) mod fields;
pub(super) mod filter;
mod included_parts;
pub(super) mod metadata_filters;
pub(super) mod page_response;
mod page_token;
pub(super) mod precedence;
pub(super) mod warnings;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::Serialize;

use self::common::{CommonFields, CommonQuery};
use self::empty_result::EmptyPage;
use self::endpoint_lookup::EndpointLookup;
use self::fields::{CURSOR, ENTRY_QUERY, INCLUDE, PAGING};
use self::page_response::EntryPageResponse;
use self::page_token::PageToken;
use super::request::{AnyField, FieldReader, whole_body};
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Reader;
use crate::limits::decode_pool::DecodePermit;
use crate::store::{EntryParts, PageRequest, ResultKind, Store, Total};

/// What a request asks for, before it is validated.
struct EntryQueryFields {
    common: CommonFields,
    cursor: Option<PageToken>,
    parts: EntryParts,
    query_fingerprint: u64,
}

/// A valid request.
struct EntryQuery {
    common: CommonQuery,
    cursor: Option<PageToken>,
    parts: EntryParts,
    /// Equal for the pages of one query.
    query_fingerprint: u64,
}

/// Finds the caller's entries.
///
/// # Errors
/// [`ApiError`]
pub async fn query(
    State(app): State<App>,
    caller: Reader,
    body: Result<Bytes, BytesRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let body = whole_body(body)?;
    let mut query = EntryQuery::parse(&app.store, &body, &caller).await?;
    let now = app.clock.now();
    let permit = decode_permit(&app, query.parts).await?;
    let mut page = app.store.find_entries(&query.page_request(), now).await?;
    let mut nearest = None;
    if page.total == Total::Exact(0) {
        match query.common.look_up_endpoint(&app.store, now).await? {
            EndpointLookup::Unchanged => {}
            EndpointLookup::Replaced => {
                page = app.store.find_entries(&query.page_request(), now).await?;
            }
            EndpointLookup::NotFound(endpoints) => nearest = Some(endpoints),
        }
    }
    let empty = page.entries.is_empty().then_some(EmptyPage {
        of: ResultKind::Entries,
        by_cursor: query.cursor.is_some(),
        total: page.total,
        nearest,
    });
    let warnings = warnings::collect(&app.store, &query.common, empty, now).await?;
    let (common, fingerprint) = (query.common, query.query_fingerprint);
    let response = move || EntryPageResponse::new(page, &common, query.parts, fingerprint);
    let data = permit.run_to_json(response).await?;
    Ok(Success::new("Storage entries retrieved", data).with_warnings(warnings))
}

/// Permission to have these parts of entries in memory.
pub(super) async fn decode_permit(app: &App, parts: EntryParts) -> Result<DecodePermit, ApiError> {
    if parts.bodies {
        Ok(app.decode_pool.acquire().await?)
    } else {
        Ok(app.decode_pool.permit_without_bodies())
    }
}

impl EntryQueryFields {
    /// Errors are collected in `reader`.
    fn parse(reader: &mut FieldReader) -> Self {
        let of_page = PAGING.iter().map(|field| field.name());
        let of_page: Vec<_> = of_page.chain([CURSOR.name()]).collect();
        Self {
            common: CommonFields::parse(reader, &CURSOR),
            cursor: reader.read(&CURSOR),
            parts: reader.read_or_default(&INCLUDE),
            query_fingerprint: reader.fingerprint_without(&of_page),
        }
    }
}

impl EntryQuery {
    async fn parse(store: &Store, body: &[u8], caller: &Reader) -> Result<Self, ApiError> {
        let mut reader = FieldReader::from_json(body, &ENTRY_QUERY)?;
        let fields = EntryQueryFields::parse(&mut reader);
        Ok(Self {
            common: fields.common.validate(store, reader, caller).await?,
            cursor: fields.cursor,
            parts: fields.parts,
            query_fingerprint: fields.query_fingerprint,
        })
    }

    fn page_request(&self) -> PageRequest {
        let common = &self.common;
        let known_total = |cursor: PageToken| cursor.total_of(self.query_fingerprint);
        PageRequest {
            scope: common.scope.clone(),
            filter: common.filter.clone(),
            order: common.order,
            start: common.start(self.cursor.map(|cursor| cursor.position)),
            limit: common.page_size,
            parts: self.parts,
            known_total: self.cursor.and_then(known_total),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn invalid_fields(body: &serde_json::Value) -> Vec<String> {
        let body = body.to_string();
        let mut reader = FieldReader::from_json(body.as_bytes(), &ENTRY_QUERY).unwrap();
        EntryQueryFields::parse(&mut reader);
        match reader.finish() {
            Ok(()) => Vec::new(),
            Err(ApiError::Invalid(errors)) => errors.into_iter().map(|it| it.field).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_declared_field_is_read() {
        for field in ENTRY_QUERY.fields() {
            let name = field.name();
            assert_eq!(invalid_fields(&json!({name: [[]]})), [name]);
        }
    }

    #[test]
    fn every_example_is_accepted() {
        for field in ENTRY_QUERY.fields() {
            let body = json!({field.name(): field.example()});
            assert!(invalid_fields(&body).is_empty(), "{body}");
        }
    }
}

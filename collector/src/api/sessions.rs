//! `GET /storage/sessions` and `POST /storage/sessions/query`: pages of sessions, the latter with
//! their entries.

pub(super) mod answer;
mod cursor;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use serde::Serialize;
use serde_json::value::RawValue;

use self::answer::Page;
use super::fields::Fields;
use super::query::empty_result::{self, EmptyPage};
use super::query::precedence::Precedence;
use super::query::{self, endpoint, filter};
use super::whole;
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::{ApiError, FieldError};
use crate::http::extract::Reader;
use crate::model::ids::UserId;
use crate::store::{PageStart, ResultKind, SessionEntries, SessionPageRequest, Store, Total};

/// The parameters of the list.
pub(super) const LIST_FIELDS: &[&str] = &[
    "page",
    "page_size",
    "cursor",
    "endpoint",
    "start_date",
    "end_date",
    "session_id",
    "storage_type",
    "type",
    "user_id",
];
/// Of those, the numbers.
const LIST_NUMBERS: &[&str] = &["page", "page_size"];
pub(super) const MAX_ENTRIES: u8 = 100;
pub(super) const DEFAULT_ENTRIES: u8 = 20;
/// Longest text of a cursor.
pub(super) const MAX_CURSOR_BYTES: usize = 128;

/// A request, complete and checked.
struct SessionQuery {
    wanted: SessionPageRequest,
    /// The one user that an admin asked for.
    user: Option<UserId>,
    page_number: i64,
    /// The endpoint as it was given.
    endpoint: Option<String>,
    precedence: Precedence,
}

/// Lists the caller's sessions.
///
/// # Errors
/// [`ApiError`]
pub async fn list(
    State(app): State<App>,
    reader: Reader,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let Query(parameters) = parameters.map_err(|_| not_a_query())?;
    let fields = Fields::of_parameters(parameters, LIST_FIELDS, LIST_NUMBERS);
    let asked = SessionQuery::read(&app.store, fields, &reader, None).await?;
    answer(&app, asked).await
}

/// Finds the caller's sessions, with their entries.
///
/// # Errors
/// [`ApiError`]
pub async fn query(
    State(app): State<App>,
    reader: Reader,
    body: Result<Bytes, BytesRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let body = whole(body)?;
    let known = [
        filter::FIELDS,
        query::PAGE_FIELDS,
        &["user_id", "search", "entries_per_session"],
    ]
    .concat();
    let mut fields = Fields::parse(&body, &known)?;
    let entries = SessionEntries {
        limit: fields
            .integer("entries_per_session", 1, MAX_ENTRIES.into())
            .and_then(|limit| u8::try_from(limit).ok())
            .unwrap_or(DEFAULT_ENTRIES),
        parts: query::read_include(&mut fields),
    };
    let search = query::asks_to_search(&mut fields);
    let asked = SessionQuery::read(&app.store, fields, &reader, Some(entries)).await?;
    if search {
        return Err(ApiError::SearchNotEnabled);
    }
    answer(&app, asked).await
}

async fn answer(app: &App, mut asked: SessionQuery) -> Result<Success<Box<RawValue>>, ApiError> {
    let now = app.clock.now();
    let permit = match asked.wanted.entries {
        Some(entries) => query::decode_permit(app, entries.parts).await?,
        None => app.decode_pool.permit_without_bodies(),
    };
    let mut found = app.store.find_sessions(&asked.wanted, now).await?;
    let mut nearest = None;
    if found.total == Total::Exact(0) {
        let wanted = &mut asked.wanted;
        match endpoint::settle(&app.store, &wanted.scope, &mut wanted.filter, now).await? {
            endpoint::Settled::AsItIs => {}
            endpoint::Settled::Changed => found = app.store.find_sessions(wanted, now).await?,
            endpoint::Settled::Unclear(endpoints) => nearest = Some(endpoints),
        }
    }
    let mut warnings = Vec::new();
    if found.sessions.is_empty() {
        let empty = asked.empty_page(found.total, nearest);
        warnings.push(empty_result::warning(&app.store, &empty, now).await?);
    }
    warnings.extend(asked.precedence.warning());
    let given = asked.endpoint.as_deref();
    warnings.extend(endpoint::warning(given, &asked.wanted.filter));
    let data = permit.run_to_json(move || Page::of(found, &asked)).await?;
    Ok(Success::new("Storage sessions retrieved", data).with_warnings(warnings))
}

fn not_a_query() -> ApiError {
    ApiError::Invalid(vec![FieldError {
        field: "query".to_owned(),
        message: "expected parameters such as ?page=1&page_size=20".to_owned(),
        kind: "value_error",
    }])
}

impl SessionQuery {
    async fn read(
        store: &Store,
        mut fields: Fields,
        reader: &Reader,
        entries: Option<SessionEntries>,
    ) -> Result<Self, ApiError> {
        let mut precedence = Precedence::default();
        let asked = filter::read(store, &mut fields, &mut precedence).await?;
        let user = fields
            .text("user_id", UserId::MAX_BYTES)
            .and_then(|text| UserId::new(text).ok());
        let order = query::read_order(&mut fields);
        let limit = query::read_page_size(&mut fields);
        let page_number = query::read_page_number(&mut fields);
        let start = match cursor::read(&mut fields, &mut precedence) {
            Some(cursor) => PageStart::After(cursor),
            None => PageStart::Offset((page_number - 1) * i64::from(limit)),
        };
        fields.finish()?;
        Ok(Self {
            wanted: SessionPageRequest {
                scope: reader.scope(user.clone())?,
                filter: asked.filter,
                order,
                start,
                limit,
                entries,
            },
            user,
            page_number,
            endpoint: asked.endpoint,
            precedence,
        })
    }

    const fn empty_page(&self, total: Total, nearest: Option<endpoint::Nearest>) -> EmptyPage<'_> {
        EmptyPage {
            of: ResultKind::Sessions,
            scope: &self.wanted.scope,
            filter: &self.wanted.filter,
            user: self.user.as_ref(),
            number: self.page_number,
            size: self.wanted.limit,
            by_cursor: matches!(self.wanted.start, PageStart::After(_)),
            total,
            nearest,
        }
    }
}

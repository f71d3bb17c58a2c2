//! `POST /storage/query`: pages of entries.

pub(super) mod answer;
mod cursor;
pub(super) mod empty_result;
pub(super) mod endpoint;
pub(super) mod filter;
pub(super) mod metadata;
pub(super) mod precedence;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::Serialize;

use self::answer::Page;
use self::cursor::Token;
use self::empty_result::EmptyPage;
use self::precedence::Precedence;
use super::fields::Fields;
use super::whole;
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Reader;
use crate::limits::decode_pool::DecodePermit;
use crate::model::ids::UserId;
use crate::store::{EntryParts, Order, PageRequest, PageStart, ResultKind, Store, Total};

/// The fields that say which page is wanted, and how.
pub(super) const PAGE_FIELDS: &[&str] = &["page", "page_size", "cursor", "order", "include"];
pub(super) const DEFAULT_PAGE_SIZE: u8 = 20;
pub(super) const MAX_PAGE_SIZE: u8 = 100;
/// Pages by number cost as much as all that stands before them; deeper ones go by cursor.
pub(super) const MAX_PAGE: i64 = 10_000;
/// A page is named twice.
pub(super) const BOTH_CURSOR_AND_PAGE: &str =
    "Both cursor and page provided. Using cursor parameter.";
pub(super) const MAX_SEARCH_BYTES: usize = 1024;
/// Longest text of a cursor.
pub(super) const MAX_CURSOR_BYTES: usize = 256;

/// A request, complete and checked.
struct Query {
    wanted: PageRequest,
    /// The one user that an admin asked for.
    user: Option<UserId>,
    /// As it was given.
    endpoint: Option<String>,
    page_number: i64,
    /// Identifies the query, whatever the page, in cursors.
    fingerprint: u64,
    precedence: Precedence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Include {
    Data,
    Headers,
}

/// Finds the caller's entries.
///
/// # Errors
/// [`ApiError`]
pub async fn query(
    State(app): State<App>,
    reader: Reader,
    body: Result<Bytes, BytesRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let body = whole(body)?;
    let mut query = Query::read(&app.store, &body, &reader).await?;
    let now = app.clock.now();
    let permit = decode_permit(&app, query.wanted.parts).await?;
    let mut page = app.store.find_entries(&query.wanted, now).await?;
    let mut nearest = None;
    if page.total == Total::Exact(0) {
        let scope = &query.wanted.scope;
        match endpoint::settle(&app.store, scope, &mut query.wanted.filter, now).await? {
            endpoint::Settled::AsItIs => {}
            endpoint::Settled::Changed => {
                page = app.store.find_entries(&query.wanted, now).await?;
            }
            endpoint::Settled::Unclear(endpoints) => nearest = Some(endpoints),
        }
    }
    let mut warnings = Vec::new();
    if page.entries.is_empty() {
        let empty = query.empty_page(page.total, nearest);
        warnings.push(empty_result::warning(&app.store, &empty, now).await?);
    }
    warnings.extend(query.precedence.warning());
    warnings.extend(endpoint::warning(
        query.endpoint.as_deref(),
        &query.wanted.filter,
    ));
    let shown = move || Page::of(page, &query);
    let data = permit.run_to_json(shown).await?;
    Ok(Success::new("Storage entries retrieved", data).with_warnings(warnings))
}

/// A permit to read these parts of entries.
pub(super) async fn decode_permit(app: &App, parts: EntryParts) -> Result<DecodePermit, ApiError> {
    if parts.bodies {
        Ok(app.decode_pool.acquire().await?)
    } else {
        Ok(app.decode_pool.permit_without_bodies())
    }
}

impl Query {
    async fn read(store: &Store, body: &[u8], reader: &Reader) -> Result<Self, ApiError> {
        let known = [filter::FIELDS, PAGE_FIELDS, &["user_id", "search"]].concat();
        let mut fields = Fields::parse(body, &known)?;
        let mut precedence = Precedence::default();
        let asked = filter::read(store, &mut fields, &mut precedence).await?;
        let user = fields
            .text("user_id", UserId::MAX_BYTES)
            .and_then(|text| UserId::new(text).ok());
        let order = read_order(&mut fields);
        let page_size = read_page_size(&mut fields);
        let page_number = read_page_number(&mut fields);
        let token = read_cursor(&mut fields, &mut precedence);
        let parts = read_include(&mut fields);
        let search = asks_to_search(&mut fields);
        let fingerprint = fields.fingerprint(PAGE_FIELDS);
        fields.finish()?;
        if search {
            return Err(ApiError::SearchNotEnabled);
        }
        let start = match token {
            Some(token) => PageStart::After(token.cursor),
            None => PageStart::Offset((page_number - 1) * i64::from(page_size)),
        };
        let wanted = PageRequest {
            scope: reader.scope(user.clone())?,
            filter: asked.filter,
            order,
            start,
            limit: page_size,
            parts,
            known_total: token.and_then(|token| token.total_of(fingerprint)),
        };
        Ok(Self {
            wanted,
            user,
            endpoint: asked.endpoint,
            page_number,
            fingerprint,
            precedence,
        })
    }

    const fn empty_page(&self, total: Total, nearest: Option<endpoint::Nearest>) -> EmptyPage<'_> {
        EmptyPage {
            of: ResultKind::Entries,
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

pub(super) fn asks_to_search(fields: &mut Fields) -> bool {
    fields.text("search", MAX_SEARCH_BYTES).is_some()
}

pub(super) fn read_order(fields: &mut Fields) -> Order {
    let orders = [("desc", Order::Descending), ("asc", Order::Ascending)];
    fields.choice("order", &orders).unwrap_or_default()
}

pub(super) fn read_page_size(fields: &mut Fields) -> u8 {
    fields
        .integer("page_size", 1, MAX_PAGE_SIZE.into())
        .and_then(|size| u8::try_from(size).ok())
        .unwrap_or(DEFAULT_PAGE_SIZE)
}

pub(super) fn read_page_number(fields: &mut Fields) -> i64 {
    fields.integer("page", 1, MAX_PAGE).unwrap_or(1)
}

fn read_cursor(fields: &mut Fields, precedence: &mut Precedence) -> Option<Token> {
    let text = fields.text("cursor", MAX_CURSOR_BYTES)?;
    if fields.has("page") {
        precedence.note(BOTH_CURSOR_AND_PAGE);
    }
    let token = Token::decode(&text);
    if token.is_none() {
        fields.error(
            "cursor",
            "expected a next_cursor of an earlier answer, unchanged",
            "value_error",
        );
    }
    token
}

pub(super) fn read_include(fields: &mut Fields) -> EntryParts {
    let choices = [("data", Include::Data), ("headers", Include::Headers)];
    let included = fields
        .choices("include", &choices)
        .unwrap_or_else(|| vec![Include::Data]);
    EntryParts {
        bodies: included.contains(&Include::Data),
        headers: included.contains(&Include::Headers),
    }
}

//! What the queries for entries and for sessions have in common: filters, user, and page.

use time::OffsetDateTime;

use super::endpoint_lookup::{self, EndpointLookup};
use super::fields::{ORDER, PAGE, PAGE_SIZE, SEARCH, USER_ID};
use super::filter::{self, ParsedFilter};
use super::metadata_filters;
use super::precedence::Precedence;
use crate::api::request::{AnyField, FieldReader};
use crate::http::error::ApiError;
use crate::http::extract::Reader;
use crate::model::ids::UserId;
use crate::model::scope::Scope;
use crate::store::{EntryFilter, Order, PageStart, Store};

/// Parsed, but perhaps not valid.
#[derive(Debug)]
pub(in crate::api) struct CommonFields {
    parsed: ParsedFilter,
    user: Option<UserId>,
    order: Order,
    page: i64,
    page_size: u8,
    asks_for_search: bool,
    precedence: Precedence,
}

/// Valid, and within what the caller may see.
#[derive(Debug)]
pub(in crate::api) struct CommonQuery {
    pub(in crate::api) scope: Scope,
    pub(in crate::api) filter: EntryFilter,
    /// The endpoint as the caller wrote it.
    pub(in crate::api) given_endpoint: Option<String>,
    /// The user that an admin asked for.
    pub(in crate::api) user: Option<UserId>,
    pub(in crate::api) order: Order,
    pub(in crate::api) page: i64,
    pub(in crate::api) page_size: u8,
    pub(in crate::api) precedence: Precedence,
}

impl CommonFields {
    /// Errors are collected in `reader`.
    pub(in crate::api) fn parse(reader: &mut FieldReader, cursor: &dyn AnyField) -> Self {
        let mut precedence = Precedence::default();
        let parsed = filter::parse(reader, &mut precedence);
        if reader.is_given(cursor) && reader.is_given(&PAGE) {
            precedence.add("Both cursor and page provided. Using cursor parameter.");
        }
        let user = reader.read(&USER_ID);
        Self {
            parsed,
            user: user.and_then(|text| UserId::new(text).ok()),
            order: reader.read_or_default(&ORDER),
            page: reader.read_or_default(&PAGE),
            page_size: reader.read_or_default(&PAGE_SIZE),
            asks_for_search: reader.read(&SEARCH).is_some(),
            precedence,
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`ApiError`]
    pub(in crate::api) async fn validate(
        self,
        store: &Store,
        mut reader: FieldReader,
        caller: &Reader,
    ) -> Result<CommonQuery, ApiError> {
        let mut precedence = self.precedence;
        let mut filter = self.parsed.filter;
        metadata_filters::check_patterns(store, &mut reader, &filter.metadata).await?;
        reader.finish()?;
        if self.asks_for_search {
            return Err(ApiError::SearchNotEnabled);
        }
        filter::merge_session(&mut filter, &mut precedence);
        let scope = caller.scope(self.user.clone())?;
        if let Some(choice) = &mut filter.session {
            let named = store.sessions_named(&scope, &choice.asked).await?;
            choice.ids.extend(named);
        }
        Ok(CommonQuery {
            scope,
            filter,
            given_endpoint: self.parsed.given_endpoint,
            user: self.user,
            order: self.order,
            page: self.page,
            page_size: self.page_size,
            precedence,
        })
    }
}

impl CommonQuery {
    pub(in crate::api) fn start<C>(&self, cursor: Option<C>) -> PageStart<C> {
        let offset = (self.page - 1) * i64::from(self.page_size);
        cursor.map_or(PageStart::Offset(offset), PageStart::After)
    }

    /// Replaces the endpoint by the stored one that it is similar to.
    ///
    /// # Errors
    /// [`ApiError`]
    pub(in crate::api) async fn look_up_endpoint(
        &mut self,
        store: &Store,
        now: OffsetDateTime,
    ) -> Result<EndpointLookup, ApiError> {
        endpoint_lookup::look_up(store, &self.scope, &mut self.filter, now).await
    }
}

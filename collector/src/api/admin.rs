//! `/admin`: what operators look after. Rejected records are listed, shown, stored once more and deleted; losses that
//! producers reported are listed.

pub(super) mod gaps;
pub(super) mod rejected;

use axum::Router;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::routing::{get, post};

use super::query::fields::PAGE_SIZE;
use super::request::{Field, FieldKind, FieldReader, InvalidValue, Request};
use crate::app::App;
use crate::http::error::ApiError;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/rejected", get(rejected::list))
        .route(
            "/rejected/{id}",
            get(rejected::show).delete(rejected::delete),
        )
        .route("/rejected/{id}/retry", post(rejected::retry))
        .route("/gaps", get(gaps::list))
}

/// Where a page begins, and how long it is.
fn read_page<K: FieldKind>(
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
    request: &Request,
    cursor: &Field<K>,
) -> Result<(Option<K::Value>, u8), ApiError> {
    let Query(parameters) = parameters.map_err(|_| {
        let expected = "expected parameters such as ?page_size=20";
        ApiError::Invalid(vec![InvalidValue::value(expected).of_field("query")])
    })?;
    let mut reader = FieldReader::from_parameters(parameters, request);
    let page = (reader.read(cursor), reader.read_or_default(&PAGE_SIZE));
    reader.finish()?;
    Ok(page)
}

/// Of one more than a page has: the page, and whether there is more.
fn cut_page<T>(mut found: Vec<T>, page_size: u8) -> (Vec<T>, bool) {
    let has_more = found.len() > usize::from(page_size);
    found.truncate(page_size.into());
    (found, has_more)
}

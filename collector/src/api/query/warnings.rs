//! The warnings of a query's response.

use time::OffsetDateTime;

use super::common::CommonQuery;
use super::empty_result::{self, EmptyPage};
use super::endpoint_lookup;
use crate::http::envelope::Warning;
use crate::http::error::ApiError;
use crate::store::Store;

/// # Errors
/// [`ApiError`]
pub(in crate::api) async fn collect(
    store: &Store,
    query: &CommonQuery,
    empty: Option<EmptyPage>,
    now: OffsetDateTime,
) -> Result<Vec<Warning>, ApiError> {
    let mut warnings = Vec::new();
    if let Some(empty) = empty {
        warnings.push(empty_result::warning(store, query, &empty, now).await?);
    }
    warnings.extend(query.precedence.warning());
    let given = query.given_endpoint.as_deref();
    warnings.extend(endpoint_lookup::warning(given, &query.filter));
    Ok(warnings)
}

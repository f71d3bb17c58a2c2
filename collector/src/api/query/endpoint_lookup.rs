//! A query finds nothing, perhaps because its endpoint is spelled differently from the stored one.

use serde_json::json;
use time::OffsetDateTime;
use tokio::task::spawn_blocking;

use crate::http::envelope::{Severity, Warning};
use crate::http::error::ApiError;
use crate::model::endpoint::{EndpointMatch, match_stored};
use crate::model::scope::Scope;
use crate::store::{EndpointList, EntryFilter, Store};

/// What a lookup among the stored endpoints did to a filter.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) enum EndpointLookup {
    /// The filter names no endpoint, or a stored one.
    Unchanged,
    /// The filter now names the one stored endpoint that is similar.
    Replaced,
    /// No stored endpoint matches, or several do.
    NotFound(NearestEndpoints),
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) struct NearestEndpoints {
    /// Best first.
    pub(in crate::api) endpoints: Vec<String>,
    /// Too many endpoints are stored: not all were compared.
    pub(in crate::api) is_partial: bool,
}

/// # Errors
/// [`ApiError`]
pub(in crate::api) async fn look_up(
    store: &Store,
    scope: &Scope,
    filter: &mut EntryFilter,
    now: OffsetDateTime,
) -> Result<EndpointLookup, ApiError> {
    let Some(wanted) = &mut filter.endpoint else {
        return Ok(EndpointLookup::Unchanged);
    };
    let stored = store.endpoints(scope, now).await?;
    if stored.names.contains(wanted) {
        return Ok(EndpointLookup::Unchanged);
    }
    let given = wanted.clone();
    // Comparing with a thousand endpoints takes milliseconds, which other requests would wait.
    let comparing = spawn_blocking(move || find_similar(&given, &stored));
    let found = comparing.await;
    Ok(
        match found.map_err(|error| ApiError::internal("endpoint lookup", error))? {
            Ok(similar) => {
                *wanted = similar;
                EndpointLookup::Replaced
            }
            Err(nearest) => EndpointLookup::NotFound(nearest),
        },
    )
}

/// The one stored endpoint that is similar, or else the nearest ones.
fn find_similar(given: &str, stored: &EndpointList) -> Result<String, NearestEndpoints> {
    match match_stored(given, &stored.names) {
        EndpointMatch::Exact => Ok(given.to_owned()),
        EndpointMatch::Similar(similar) => Ok(similar.to_owned()),
        EndpointMatch::Ambiguous(nearest) => Err(NearestEndpoints {
            endpoints: nearest.into_iter().map(str::to_owned).collect(),
            is_partial: stored.truncated,
        }),
    }
}

/// `ENDPOINT_NORMALIZED`: another endpoint was looked up than the one given.
pub(in crate::api) fn warning(given: Option<&str>, filter: &EntryFilter) -> Option<Warning> {
    let (given, used) = given.zip(filter.endpoint.as_deref())?;
    (given != used).then(|| Warning {
        code: "ENDPOINT_NORMALIZED",
        message: format!("Endpoint {given} was looked up as {used}."),
        severity: Severity::Low,
        details: Some(json!({"original": given, "normalized": used})),
    })
}

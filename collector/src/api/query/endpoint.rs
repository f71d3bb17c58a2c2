//! The endpoint of a query that finds nothing may be spelled otherwise than it is stored.

use serde_json::json;
use time::OffsetDateTime;

use crate::http::envelope::{Severity, Warning};
use crate::http::error::ApiError;
use crate::model::endpoint::{EndpointMatch, match_stored};
use crate::model::scope::Scope;
use crate::store::{EntryFilter, Store};

/// What became of the endpoint of a filter.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) enum Settled {
    /// There is none, or it is stored.
    AsItIs,
    /// It is now the stored one that was meant.
    Changed,
    /// It is not stored, and it is not clear which one is meant.
    Unclear(Nearest),
}

/// Stored endpoints that may have been meant.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) struct Nearest {
    /// The nearest first.
    pub(in crate::api) endpoints: Vec<String>,
    /// There are so many stored endpoints that not all were compared.
    pub(in crate::api) cut: bool,
}

/// Finds which stored endpoint a filter means.
///
/// # Errors
/// [`ApiError`]
pub(in crate::api) async fn settle(
    store: &Store,
    scope: &Scope,
    filter: &mut EntryFilter,
    now: OffsetDateTime,
) -> Result<Settled, ApiError> {
    let Some(wanted) = &mut filter.endpoint else {
        return Ok(Settled::AsItIs);
    };
    let stored = store.endpoints(scope, now).await?;
    Ok(match match_stored(wanted, &stored.names) {
        EndpointMatch::Exact => Settled::AsItIs,
        EndpointMatch::Similar(other) => {
            other.clone_into(wanted);
            Settled::Changed
        }
        EndpointMatch::Ambiguous(nearest) => Settled::Unclear(Nearest {
            endpoints: nearest.into_iter().map(str::to_owned).collect(),
            cut: stored.truncated,
        }),
    })
}

/// Tells that another endpoint was looked up than was given.
pub(in crate::api) fn warning(given: Option<&str>, filter: &EntryFilter) -> Option<Warning> {
    let (given, used) = given.zip(filter.endpoint.as_deref())?;
    (given != used).then(|| Warning {
        code: "ENDPOINT_NORMALIZED",
        message: format!("Endpoint {given} was looked up as {used}."),
        severity: Severity::Low,
        details: Some(json!({"original": given, "normalized": used})),
    })
}

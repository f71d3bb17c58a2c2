//! `NO_RESULTS_FOUND`: why a page is empty.

use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::endpoint::Nearest;
use crate::http::envelope::{Severity, Warning};
use crate::http::error::ApiError;
use crate::model::ids::UserId;
use crate::model::scope::Scope;
use crate::store::{EmptyResult, EntryFilter, FilterCondition, ResultKind, Store, Total};

/// A page without anything on it.
#[derive(Debug)]
pub(in crate::api) struct EmptyPage<'a> {
    /// What it is a page of.
    pub(in crate::api) of: ResultKind,
    /// Who asked.
    pub(in crate::api) scope: &'a Scope,
    /// For what.
    pub(in crate::api) filter: &'a EntryFilter,
    /// The one user that an admin asked for.
    pub(in crate::api) user: Option<&'a UserId>,
    /// Its number, as long as it was not found by a cursor.
    pub(in crate::api) number: i64,
    /// How many would fit.
    pub(in crate::api) size: u8,
    /// It was found by a cursor.
    pub(in crate::api) by_cursor: bool,
    /// How many there are on all pages.
    pub(in crate::api) total: Total,
    /// Endpoints that may have been meant, if the one that was asked for is not recorded.
    pub(in crate::api) nearest: Option<Nearest>,
}

/// Tells why a page is empty.
///
/// # Errors
/// [`ApiError`]
pub(in crate::api) async fn warning(
    store: &Store,
    page: &EmptyPage<'_>,
    now: OffsetDateTime,
) -> Result<Warning, ApiError> {
    if page.total != Total::Exact(0) {
        return Ok(past_the_end(page));
    }
    let nothing = store
        .explain_empty(page.scope, page.filter, page.of, now)
        .await?;
    let conditions: Vec<_> = page.filter.conditions().collect();
    let names: Vec<_> = conditions.iter().map(name).collect();
    let mut message = match &nothing {
        Some(nothing) => say(page.of, &names, nothing),
        None => format!(
            "No {} match. There are too many entries to tell why in time.",
            noun(page.of)
        ),
    };
    let mut details = details(page.user, &conditions, nothing.as_ref());
    if let Some(nearest) = &page.nearest {
        message.push_str(&say_nearest(nearest));
        details.insert("nearest_endpoints".to_owned(), json!(nearest.endpoints));
    }
    Ok(no_results(message, details.into()))
}

fn no_results(message: String, details: Value) -> Warning {
    Warning {
        code: "NO_RESULTS_FOUND",
        message,
        severity: Severity::Medium,
        details: Some(details),
    }
}

fn past_the_end(page: &EmptyPage<'_>) -> Warning {
    let (number, size) = (page.number, i64::from(page.size));
    let (total, exact) = match page.total {
        Total::Exact(total) => (total, true),
        Total::AtLeast(total) => (total, false),
    };
    let pages = (total + size - 1) / size;
    let message = if page.by_cursor {
        "Nothing lies behind this cursor: it is that of the last page.".to_owned()
    } else {
        format!("Page {number} lies past the end: there are {pages} pages of {size}.")
    };
    let details = json!({"page": number, "pages": pages, "total": total, "total_exact": exact});
    no_results(message, details)
}

const fn noun(of: ResultKind) -> &'static str {
    match of {
        ResultKind::Entries => "entries",
        ResultKind::Sessions => "sessions",
    }
}

fn say(of: ResultKind, names: &[String], nothing: &EmptyResult) -> String {
    let noun = noun(of);
    let removing: Vec<_> = nothing
        .removing
        .iter()
        .filter_map(|place| names.get(*place).map(String::as_str))
        .collect();
    match removing.as_slice() {
        [] if nothing.examined == 0 => format!("There are no {noun}, whatever the filters."),
        [] => format!("No {noun} match."),
        [one] => format!("No {noun} match. Without {one} there would be results."),
        several if nothing.together => format!(
            "No {noun} match. Without {} together there would be results.",
            several.join(" and ")
        ),
        several => format!(
            "No {noun} match. Without any one of {} there would be results.",
            several.join(", ")
        ),
    }
}

fn say_nearest(nearest: &Nearest) -> String {
    let so_far = if nearest.cut {
        ", as far as the first thousand tell"
    } else {
        ""
    };
    let names = match nearest.endpoints.as_slice() {
        [] => String::new(),
        endpoints => format!("; the nearest are {}", endpoints.join(", ")),
    };
    format!(" This endpoint is not recorded{so_far}{names}.")
}

fn details(
    user: Option<&UserId>,
    conditions: &[FilterCondition<'_>],
    nothing: Option<&EmptyResult>,
) -> Map<String, Value> {
    let user = user.map(|user| {
        let all = nothing.map(|nothing| nothing.examined);
        json!({"filter": "user_id", "value": user, "matches_alone": all})
    });
    let filters = conditions.iter().enumerate().map(|(place, condition)| {
        let alone = nothing.and_then(|nothing| nothing.alone.get(place));
        json!({"filter": name(condition), "value": value(condition), "matches_alone": alone})
    });
    let removing = nothing.map_or(&[][..], |nothing| &nothing.removing);
    let removing = removing.iter().filter_map(|place| conditions.get(*place));
    [
        ("filters", user.into_iter().chain(filters).collect()),
        ("removing", removing.map(name).collect()),
        ("together", nothing.is_some_and(|it| it.together).into()),
        ("exact", nothing.is_some_and(|it| it.exact).into()),
    ]
    .map(|(name, value): (&str, Value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

/// As callers know it.
fn name(condition: &FilterCondition<'_>) -> String {
    let name = match condition {
        FilterCondition::Half(_) => "storage_type",
        FilterCondition::Endpoint(_) => "endpoint",
        FilterCondition::From(_) => "start_date",
        FilterCondition::To(_) => "end_date",
        FilterCondition::Session(_) => "session_id",
        FilterCondition::Exchange(_) => "exchange_id",
        FilterCondition::Status(_) => "status",
        FilterCondition::Method(_) => "method",
        FilterCondition::Metadata(filter) => {
            return format!("metadata_filters.{}", filter.path.as_str());
        }
    };
    name.to_owned()
}

fn value(condition: &FilterCondition<'_>) -> Value {
    match condition {
        FilterCondition::Half(half) => json!(half),
        FilterCondition::Endpoint(text) | FilterCondition::Method(text) => json!(text),
        FilterCondition::From(at) | FilterCondition::To(at) => {
            json!(at.to_offset(UtcOffset::UTC).format(&Rfc3339).ok())
        }
        FilterCondition::Session(session) => json!(session),
        FilterCondition::Exchange(exchange) => json!(exchange),
        FilterCondition::Status(status) => json!(status),
        FilterCondition::Metadata(filter) => filter.asked.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(removing: &[usize], together: bool) -> EmptyResult {
        EmptyResult {
            alone: vec![0; 3],
            exact: true,
            examined: 5,
            removing: removing.to_vec(),
            together,
        }
    }

    #[test]
    fn what_must_go_is_told_in_words() {
        let names = ["endpoint", "status", "method"].map(str::to_owned);
        for (removing, together, words) in [
            (&[1][..], false, "Without status there"),
            (&[0, 2], false, "Without any one of endpoint, method there"),
            (&[0, 1], true, "Without endpoint and status together there"),
        ] {
            let said = say(ResultKind::Entries, &names, &nothing(removing, together));
            assert!(said.contains(words), "{said}");
            let said = say(ResultKind::Sessions, &names, &nothing(removing, together));
            assert!(said.starts_with("No sessions match"), "{said}");
        }
    }

    #[test]
    fn times_are_told_in_utc() {
        let at = time::macros::datetime!(2026-01-02 03:00 +02:00);
        assert_eq!(
            value(&FilterCondition::From(at)),
            json!("2026-01-02T01:00:00Z")
        );
    }
}

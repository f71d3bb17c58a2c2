//! `NO_RESULTS_FOUND`: why a page is empty.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::common::CommonQuery;
use super::endpoint_lookup::NearestEndpoints;
use super::fields::{
    COMPLETION, CONTENT_TYPE, END_DATE, ENDPOINT, EXCHANGE_ID, HOST, METADATA_FILTERS, METHOD,
    MIN_DURATION_MS, MIN_SIZE, PATH, PATH_PREFIX, REQUEST_ID, ROUTE, SESSION_ID, START_DATE,
    STATUS, STORAGE_TYPE, TRACE_ID, USER_ID,
};
use crate::http::envelope::{Severity, Warning};
use crate::http::error::ApiError;
use crate::model::ids::UserId;
use crate::store::{EmptyResult, FilterCondition, ResultKind, Store, Total};

/// A page without results.
#[derive(Debug)]
pub(in crate::api) struct EmptyPage {
    pub(in crate::api) of: ResultKind,
    pub(in crate::api) by_cursor: bool,
    /// Results on all pages.
    pub(in crate::api) total: Total,
    /// If the endpoint of the query is not stored.
    pub(in crate::api) nearest: Option<NearestEndpoints>,
}

/// # Errors
/// [`ApiError`]
pub(super) async fn warning(
    store: &Store,
    query: &CommonQuery,
    empty: &EmptyPage,
    now: OffsetDateTime,
) -> Result<Warning, ApiError> {
    if empty.total != Total::Exact(0) {
        return Ok(past_the_end(query, empty));
    }
    let found = store
        .explain_empty(&query.scope, &query.filter, empty.of, now)
        .await?;
    let conditions: Vec<_> = query.filter.conditions().collect();
    let names: Vec<_> = conditions.iter().map(name).collect();
    let mut message = match &found {
        Some(found) => explain(empty.of, &names, found),
        None => format!(
            "No {} match. There is too much data to find out why in time.",
            noun(empty.of)
        ),
    };
    let mut details = details(query.user.as_ref(), &conditions, found.as_ref());
    if let Some(nearest) = &empty.nearest {
        message.push_str(&suggest(nearest));
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

fn past_the_end(query: &CommonQuery, empty: &EmptyPage) -> Warning {
    let (page, size) = (query.page, i64::from(query.page_size));
    let (total, exact) = match empty.total {
        Total::Exact(total) => (total, true),
        Total::AtLeast(total) => (total, false),
    };
    let pages = (total + size - 1) / size;
    let message = if empty.by_cursor {
        "No results after this cursor: the previous page was the last.".to_owned()
    } else {
        format!("Page {page} is past the end: there are {pages} pages of {size}.")
    };
    let details = json!({"page": page, "pages": pages, "total": total, "total_exact": exact});
    no_results(message, details)
}

const fn noun(of: ResultKind) -> &'static str {
    match of {
        ResultKind::Entries => "entries",
        ResultKind::Sessions => "sessions",
    }
}

fn explain(of: ResultKind, names: &[String], found: &EmptyResult) -> String {
    let noun = noun(of);
    let removing = found.removing.iter();
    let removing: Vec<_> = removing
        .filter_map(|position| names.get(*position).map(String::as_str))
        .collect();
    match removing.as_slice() {
        [] if found.examined == 0 => format!("There are no {noun}, with or without filters."),
        [] => format!("No {noun} match."),
        [one] => format!("No {noun} match. Without {one} there would be results."),
        several if found.together => format!(
            "No {noun} match. Without {} together there would be results.",
            several.join(" and ")
        ),
        several => format!(
            "No {noun} match. Without any one of {} there would be results.",
            several.join(", ")
        ),
    }
}

fn suggest(nearest: &NearestEndpoints) -> String {
    let among = if nearest.is_partial {
        " among the first thousand"
    } else {
        ""
    };
    let names = match nearest.endpoints.as_slice() {
        [] => String::new(),
        endpoints => format!("; the most similar are {}", endpoints.join(", ")),
    };
    format!(" This endpoint is not recorded{among}{names}.")
}

fn details(
    user: Option<&UserId>,
    conditions: &[FilterCondition<'_>],
    found: Option<&EmptyResult>,
) -> Map<String, Value> {
    let user = user.map(|user| {
        let all = found.map(|found| found.examined);
        json!({"filter": USER_ID.name, "value": user, "matches_alone": all})
    });
    let filters = conditions.iter().enumerate().map(|(position, condition)| {
        let alone = found.and_then(|found| found.alone.get(position));
        json!({"filter": name(condition), "value": value(condition), "matches_alone": alone})
    });
    let removing = found.map_or(&[][..], |found| &found.removing);
    let removing = removing
        .iter()
        .filter_map(|position| conditions.get(*position));
    [
        ("filters", user.into_iter().chain(filters).collect()),
        ("removing", removing.map(name).collect()),
        ("together", found.is_some_and(|it| it.together).into()),
        ("exact", found.is_some_and(|it| it.exact).into()),
    ]
    .map(|(name, value): (&str, Value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

/// The field of the request that set a condition.
fn name(condition: &FilterCondition<'_>) -> String {
    let name = match condition {
        FilterCondition::Half(_) => STORAGE_TYPE.name,
        FilterCondition::Endpoint(_) => ENDPOINT.name,
        FilterCondition::From(_) => START_DATE.name,
        FilterCondition::To(_) => END_DATE.name,
        FilterCondition::Session(_) => SESSION_ID.name,
        FilterCondition::Exchange(_) => EXCHANGE_ID.name,
        FilterCondition::Status(_) => STATUS.name,
        FilterCondition::Method(_) => METHOD.name,
        FilterCondition::RequestId(_) => REQUEST_ID.name,
        FilterCondition::Trace(_) => TRACE_ID.name,
        FilterCondition::Host(_) => HOST.name,
        FilterCondition::Route(_) => ROUTE.name,
        FilterCondition::Path(_) => PATH.name,
        FilterCondition::PathPrefix(_) => PATH_PREFIX.name,
        FilterCondition::MinDuration(_) => MIN_DURATION_MS.name,
        FilterCondition::Completion(_) => COMPLETION.name,
        FilterCondition::ContentType(_) => CONTENT_TYPE.name,
        FilterCondition::MinSize(_) => MIN_SIZE.name,
        FilterCondition::Metadata(filter) => {
            return format!("{}.{}", METADATA_FILTERS.name, filter.path.as_str());
        }
    };
    name.to_owned()
}

fn value(condition: &FilterCondition<'_>) -> Value {
    match condition {
        FilterCondition::Half(half) => json!(half),
        FilterCondition::Endpoint(text)
        | FilterCondition::Method(text)
        | FilterCondition::RequestId(text)
        | FilterCondition::Host(text)
        | FilterCondition::Route(text)
        | FilterCondition::Path(text)
        | FilterCondition::PathPrefix(text)
        | FilterCondition::ContentType(text) => json!(text),
        FilterCondition::Trace(trace) => json!(trace.to_string()),
        FilterCondition::MinDuration(number) | FilterCondition::MinSize(number) => json!(number),
        FilterCondition::Completion(completion) => json!(completion),
        FilterCondition::From(at) | FilterCondition::To(at) => {
            json!(at.get().format(&Rfc3339).ok())
        }
        FilterCondition::Session(choice) => json!(choice.asked),
        FilterCondition::Exchange(exchange) => json!(exchange),
        FilterCondition::Status(status) => json!(status),
        FilterCondition::Metadata(filter) => filter.asked.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instant::UtcInstant;

    fn empty_result(removing: &[usize], together: bool) -> EmptyResult {
        EmptyResult {
            alone: vec![0; 3],
            exact: true,
            examined: 5,
            removing: removing.to_vec(),
            together,
        }
    }

    #[test]
    fn names_filters_to_remove() {
        let names = ["endpoint", "status", "method"].map(str::to_owned);
        for (removing, together, words) in [
            (&[1][..], false, "Without status there"),
            (&[0, 2], false, "Without any one of endpoint, method there"),
            (&[0, 1], true, "Without endpoint and status together there"),
        ] {
            let message = explain(
                ResultKind::Entries,
                &names,
                &empty_result(removing, together),
            );
            assert!(message.contains(words), "{message}");
            let message = explain(
                ResultKind::Sessions,
                &names,
                &empty_result(removing, together),
            );
            assert!(message.starts_with("No sessions match"), "{message}");
        }
    }

    #[test]
    fn times_are_in_utc() {
        let at = time::macros::datetime!(2026-01-02 03:00 +02:00);
        let at = UtcInstant::new(at).unwrap();
        assert_eq!(
            value(&FilterCondition::From(at)),
            json!("2026-01-02T01:00:00Z")
        );
    }
}

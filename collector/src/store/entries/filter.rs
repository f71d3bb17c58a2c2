//! The conditions of a query, as SQL.

use dossier_wire::limits::filter::{
    MAX_HOST_BYTES, MAX_METHOD_BYTES, MAX_REQUEST_ID_BYTES, MAX_ROUTE_BYTES,
};
use dossier_wire::{Completion, Half, TruncatedField};
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

use crate::model::filter::{Bound, MetadataFilter, MetadataPath, MetadataTest, Scalar};
use crate::model::ids::{ExchangeId, SessionId};
use crate::model::instant::UtcInstant;
use crate::model::scope::Scope;
use crate::model::trace_id::TraceId;

/// Which entries match. A condition that is absent always holds.
#[derive(Debug, Clone, Default)]
pub struct EntryFilter {
    /// One half only.
    pub half: Option<Half>,
    /// Normalized.
    pub endpoint: Option<String>,
    /// `created_at` at or after.
    pub from: Option<UtcInstant>,
    /// `created_at` at or before.
    pub to: Option<UtcInstant>,
    /// Assigned to one of these sessions.
    pub session: Option<SessionChoice>,
    /// Part of this exchange.
    pub exchange: Option<ExchangeId>,
    /// Response status.
    pub status: Option<i16>,
    /// HTTP method.
    pub method: Option<String>,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// Of this trace, by `traceparent`.
    pub trace: Option<TraceId>,
    /// Authority.
    pub host: Option<String>,
    /// Name of the route.
    pub route: Option<String>,
    /// The whole path.
    pub path: Option<String>,
    /// What the path begins with.
    pub path_prefix: Option<String>,
    /// From the start of the exchange to the end of the half: at least so many milliseconds.
    pub min_duration_ms: Option<i64>,
    /// How the exchange ended.
    pub completion: Option<Completion>,
    /// `content-type` in lower case, without parameters.
    pub content_type: Option<String>,
    /// Bytes of the body as it was sent, at least.
    pub min_size: Option<i64>,
    /// Of the metadata.
    pub metadata: Vec<MetadataFilter>,
}

/// Sessions that a caller chose by the id of one, or by the name that clients gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionChoice {
    /// As the caller wrote it.
    pub asked: String,
    /// Those meant. Names are resolved by [`Store::sessions_named`](crate::store::Store::sessions_named).
    pub ids: Vec<SessionId>,
}

impl SessionChoice {
    /// A session by its id, if the text is one. A name that looks like an id is possible.
    #[must_use]
    pub fn new(asked: String) -> Self {
        let ids = asked.parse().ok().map(SessionId).into_iter().collect();
        Self { asked, ids }
    }
}

impl From<SessionId> for SessionChoice {
    fn from(id: SessionId) -> Self {
        Self {
            asked: id.to_string(),
            ids: vec![id],
        }
    }
}

/// A condition of a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FilterCondition<'a> {
    /// One half only.
    Half(Half),
    /// Normalized.
    Endpoint(&'a str),
    /// `created_at` at or after.
    From(UtcInstant),
    /// `created_at` at or before.
    To(UtcInstant),
    /// Assigned to one of these sessions.
    Session(&'a SessionChoice),
    /// Part of this exchange.
    Exchange(ExchangeId),
    /// Response status.
    Status(i16),
    /// HTTP method.
    Method(&'a str),
    /// `x-request-id`.
    RequestId(&'a str),
    /// Of this trace.
    Trace(TraceId),
    /// Authority.
    Host(&'a str),
    /// Name of the route.
    Route(&'a str),
    /// The whole path.
    Path(&'a str),
    /// What the path begins with.
    PathPrefix(&'a str),
    /// From the start of the exchange to the end of the half.
    MinDuration(i64),
    /// How the exchange ended.
    Completion(Completion),
    /// Without parameters.
    ContentType(&'a str),
    /// Bytes of the body.
    MinSize(i64),
    /// Metadata that pass all tests.
    Metadata(&'a MetadataFilter),
}

impl EntryFilter {
    /// Its conditions, always in the same order.
    pub fn conditions(&self) -> impl Iterator<Item = FilterCondition<'_>> {
        let metadata = self.metadata.iter().map(FilterCondition::Metadata);
        [
            self.half.map(FilterCondition::Half),
            self.endpoint.as_deref().map(FilterCondition::Endpoint),
            self.from.map(FilterCondition::From),
            self.to.map(FilterCondition::To),
            self.session.as_ref().map(FilterCondition::Session),
            self.exchange.map(FilterCondition::Exchange),
            self.status.map(FilterCondition::Status),
            self.method.as_deref().map(FilterCondition::Method),
            self.request_id.as_deref().map(FilterCondition::RequestId),
            self.trace.map(FilterCondition::Trace),
            self.host.as_deref().map(FilterCondition::Host),
            self.route.as_deref().map(FilterCondition::Route),
            self.path.as_deref().map(FilterCondition::Path),
            self.path_prefix.as_deref().map(FilterCondition::PathPrefix),
            self.min_duration_ms.map(FilterCondition::MinDuration),
            self.completion.map(FilterCondition::Completion),
            self.content_type
                .as_deref()
                .map(FilterCondition::ContentType),
            self.min_size.map(FilterCondition::MinSize),
        ]
        .into_iter()
        .flatten()
        .chain(metadata)
    }
}

/// The conditions of every read of `entries e`: in the scope, and not expired.
pub(in crate::store) fn push_visible(
    query: &mut QueryBuilder<Postgres>,
    scope: &Scope,
    now: OffsetDateTime,
) {
    query.push(" where e.expires_at > ").push_bind(now);
    if let Some(user) = scope.user() {
        query
            .push(" and e.user_id = ")
            .push_bind(user.as_str().to_owned());
    }
}

/// All conditions on `entries e`.
pub(in crate::store) fn push_where(
    query: &mut QueryBuilder<Postgres>,
    scope: &Scope,
    filter: &EntryFilter,
    now: OffsetDateTime,
) {
    push_visible(query, scope, now);
    for condition in filter.conditions() {
        query.push(" and ");
        push_condition(query, condition);
    }
}

pub(super) fn push_condition(query: &mut QueryBuilder<Postgres>, condition: FilterCondition<'_>) {
    match condition {
        FilterCondition::Half(half) => query
            .push("e.half = ")
            .push_bind(<&str>::from(half))
            .push("::half"),
        FilterCondition::Endpoint(endpoint) => {
            query.push("e.endpoint = ").push_bind(endpoint.to_owned())
        }
        FilterCondition::From(from) => query.push("e.created_at >= ").push_bind(from.get()),
        FilterCondition::To(to) => query.push("e.created_at <= ").push_bind(to.get()),
        FilterCondition::Session(choice) => {
            push_session(query, "e", choice);
            query
        }
        FilterCondition::Exchange(exchange) => query.push("e.exchange_id = ").push_bind(exchange.0),
        FilterCondition::Status(status) => query.push("e.status = ").push_bind(status),
        FilterCondition::Method(method) => {
            push_exact(query, TruncatedField::Method, method, MAX_METHOD_BYTES)
        }
        FilterCondition::RequestId(id) => {
            push_exact(query, TruncatedField::RequestId, id, MAX_REQUEST_ID_BYTES)
        }
        FilterCondition::Trace(trace) => query.push("e.trace_id = ").push_bind(trace.as_uuid()),
        FilterCondition::Host(host) => {
            push_exact(query, TruncatedField::Host, host, MAX_HOST_BYTES)
        }
        FilterCondition::Route(route) => {
            push_exact(query, TruncatedField::Route, route, MAX_ROUTE_BYTES)
        }
        FilterCondition::Path(path) => query.push("e.path = ").push_bind(path.to_owned()),
        FilterCondition::PathPrefix(prefix) => query
            .push("starts_with(e.path, ")
            .push_bind(prefix.to_owned())
            .push(")"),
        FilterCondition::MinDuration(millis) => query
            .push("e.ended_at >= e.started_at + ")
            .push_bind(millis)
            .push(" * interval '1 millisecond'"),
        FilterCondition::Completion(completion) => query
            .push("e.completion = ")
            .push_bind(<&str>::from(completion))
            .push("::completion"),
        FilterCondition::ContentType(essence) => query
            .push("lower(btrim(split_part(e.content_type, ';', 1), E' \\t')) = ")
            .push_bind(essence.to_owned()),
        FilterCondition::MinSize(bytes) => query.push("e.body_size >= ").push_bind(bytes),
        FilterCondition::Metadata(filter) => {
            push_metadata(query, filter);
            query
        }
    };
}

/// A text that the filter records to `max` bytes, in the column of the field's name: what was sent is also found by its
/// beginning, if that is all that was recorded.
fn push_exact<'q>(
    query: &'q mut QueryBuilder<Postgres>,
    field: TruncatedField,
    asked: &str,
    max: usize,
) -> &'q mut QueryBuilder<Postgres> {
    let column = <&str>::from(field);
    let beginning = asked.get(..asked.floor_char_boundary(max));
    match beginning.filter(|beginning| beginning.len() < asked.len()) {
        None => query
            .push(format_args!("e.{column} = "))
            .push_bind(asked.to_owned()),
        Some(beginning) => query
            .push(format_args!("(e.{column} = any("))
            .push_bind(vec![asked.to_owned(), beginning.to_owned()])
            .push(format_args!(") and (e.{column} = "))
            .push_bind(asked.to_owned())
            .push(format_args!(" or e.truncated_fields ? '{column}'))")),
    }
}

/// One id is compared as such, so that the index also gives the order of time.
pub(in crate::store) fn push_session(
    query: &mut QueryBuilder<Postgres>,
    table: &str,
    choice: &SessionChoice,
) {
    query.push(table);
    match choice.ids.as_slice() {
        [id] => query.push(".session_id = ").push_bind(id.0),
        ids => {
            let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
            query.push(".session_id = any(").push_bind(ids).push(")")
        }
    };
}

fn push_metadata(query: &mut QueryBuilder<Postgres>, filter: &MetadataFilter) {
    query.push("(true");
    for test in &filter.tests {
        query.push(" and ");
        push_test(query, &filter.path, test);
    }
    query.push(")");
}

fn push_test(query: &mut QueryBuilder<Postgres>, path: &MetadataPath, test: &MetadataTest) {
    match test {
        MetadataTest::Equals(scalar) => {
            push_value(query, path);
            query.push(" = ").push_bind(Json(scalar.value().clone()));
        }
        MetadataTest::In(scalars) => {
            let values: Vec<_> = scalars
                .iter()
                .map(Scalar::value)
                .cloned()
                .map(Json)
                .collect();
            push_value(query, path);
            query.push(" = any(").push_bind(values).push(")");
        }
        MetadataTest::Exists(wanted) => {
            push_value(query, path);
            query.push(if *wanted { " is not null" } else { " is null" });
        }
        MetadataTest::Compare(comparison, Bound::Number(bound)) => {
            push_has_type(query, path, "number");
            push_value(query, path);
            let bound = serde_json::Value::Number(bound.clone());
            query.push(" ").push(<&str>::from(comparison)).push(" ");
            query.push_bind(Json(bound)).push(")");
        }
        MetadataTest::Compare(comparison, Bound::Text(bound)) => {
            push_has_type(query, path, "string");
            push_text(query, path);
            query.push(" collate \"C\" ").push(<&str>::from(comparison));
            query.push(" ").push_bind(bound.clone()).push(")");
        }
        MetadataTest::Matches(pattern) => {
            push_has_type(query, path, "string");
            push_text(query, path);
            query.push(" ~ ").push_bind(pattern.clone()).push(")");
        }
        MetadataTest::Contains(part) => push_contains(query, path, part),
    }
}

fn push_contains(
    query: &mut QueryBuilder<Postgres>,
    path: &MetadataPath,
    part: &serde_json::Value,
) {
    query.push("(");
    if let Some(text) = part.as_str() {
        push_has_type(query, path, "string");
        query.push("strpos(");
        push_text(query, path);
        query
            .push(", ")
            .push_bind(text.to_owned())
            .push(") > 0) or ");
        push_has_type(query, path, "object");
        push_value(query, path);
        query.push(" ? ").push_bind(text.to_owned()).push(") or ");
    }
    push_value(query, path);
    query.push(" @> ").push_bind(Json(part.clone())).push(")");
}

/// Opens a parenthesis.
fn push_has_type(query: &mut QueryBuilder<Postgres>, path: &MetadataPath, name: &'static str) {
    query.push("(jsonb_typeof(");
    push_value(query, path);
    query.push(") = '").push(name).push("' and ");
}

/// A string without its quotes.
fn push_text(query: &mut QueryBuilder<Postgres>, path: &MetadataPath) {
    query.push("(");
    push_value(query, path);
    query.push(" #>> '{}')");
}

/// The value as the API shows it; SQL's null if there is none.
fn push_value(query: &mut QueryBuilder<Postgres>, path: &MetadataPath) {
    if path.is_session() {
        query.push("coalesce(to_jsonb(e.session_id), e.metadata -> 'session_id')");
        return;
    }
    query
        .push("coalesce(e.metadata -> ")
        .push_bind(path.as_str().to_owned());
    if let Some(keys) = path.keys() {
        query.push(", e.metadata #> ").push_bind(keys);
    }
    query.push(")");
}

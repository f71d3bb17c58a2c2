//! The statements that read entries and their parts.

use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

use super::filter::{push_visible, push_where};
use super::{EntryParts, MAX_HALVES, MAX_PAGE_BODY_BYTES, Order, PageRequest, PageStart};
use crate::model::ids::{EntryId, ExchangeId};
use crate::model::scope::Scope;

/// A page, and one row more if there is another page.
pub(super) fn page(request: &PageRequest, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let (direction, comparison) = match request.order {
        Order::Descending => (" desc", "<"),
        Order::Ascending => (" asc", ">"),
    };
    let order = order_of("p", direction);
    let mut query = begin(request.parts, &order);
    push_where(&mut query, &request.scope, &request.filter, now);
    if let PageStart::After(cursor) = request.start {
        query
            .push(" and (e.created_at, e.id) ")
            .push(comparison)
            .push(" (")
            .push_bind(cursor.created_at.get());
        query.push(", ").push_bind(cursor.id.0).push(")");
    }
    query.push(order_of("e", direction));
    push_limit(&mut query, i64::from(request.limit) + 1);
    if let PageStart::Offset(offset) = request.start {
        query.push(format_args!(" offset {offset}"));
    }
    push_inner_end(&mut query, request.parts, &order, now);
    query
}

pub(super) fn one(scope: &Scope, id: EntryId, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let order = order_of("p", " asc");
    let mut query = begin(EntryParts::ALL, &order);
    push_visible(&mut query, scope, now);
    query.push(" and e.id = ").push_bind(id.0);
    push_inner_end(&mut query, EntryParts::ALL, &order, now);
    query
}

pub(super) fn exchange(
    scope: &Scope,
    id: ExchangeId,
    now: OffsetDateTime,
) -> QueryBuilder<Postgres> {
    let order = order_of("p", " asc");
    let mut query = begin(EntryParts::ALL, &order);
    push_visible(&mut query, scope, now);
    query.push(" and e.exchange_id = ").push_bind(id.0);
    query.push(" order by e.id");
    push_limit(&mut query, MAX_HALVES);
    push_inner_end(&mut query, EntryParts::ALL, &order, now);
    query
}

/// Of a body, which is in its entry's row or in one of its own.
const BODY_COLUMNS: &str = ", coalesce(w.body_codec, b.codec)::text as codec, coalesce(w.body, b.data) as data, \
     coalesce(w.dictionary_id, b.dictionary_id) as dictionary_id";

/// Everything before the conditions. Bodies are joined after the entries are selected, so that only theirs are read.
fn begin(parts: EntryParts, order: &str) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("");
    push_outer(&mut query, parts, order);
    push_select(&mut query, parts);
    query
}

/// Precedes the inner statement, which selects entries and is ended by [`push_inner_end`]. Entries are returned in
/// this order, with the bodies of the first ones only, so that a page does not exhaust memory.
pub(in crate::store) fn push_outer(
    query: &mut QueryBuilder<Postgres>,
    parts: EntryParts,
    order: &str,
) {
    query.push("select p.*");
    if parts.bodies {
        query
            .push(BODY_COLUMNS)
            .push(", p.bytes_before >= ")
            .push_bind(MAX_PAGE_BODY_BYTES)
            .push(" as body_left_out from (select p.*, sum(p.stored_size) over (")
            .push(order)
            .push(") - p.stored_size as bytes_before");
    }
    query.push(" from (");
}

/// Follows the inner statement that [`push_outer`] began.
pub(in crate::store) fn push_inner_end(
    query: &mut QueryBuilder<Postgres>,
    parts: EntryParts,
    order: &str,
    now: OffsetDateTime,
) {
    query.push(") p");
    if parts.bodies {
        // A body is in its entry's row, or, if it expires earlier, in one of its own, whose partition may
        // outlive it for a while.
        query
            .push(
                ") p left join entries w on w.id = p.id and w.user_id = p.user_id \
                 and w.expires_at = p.expires_at and p.bytes_before < ",
            )
            .push_bind(MAX_PAGE_BODY_BYTES)
            .push(
                " left join bodies b on b.user_id = p.user_id and b.entry_id = p.id \
                 and b.expires_at = p.body_expires_at and b.expires_at > ",
            )
            .push_bind(now)
            .push(" and p.bytes_before < ")
            .push_bind(MAX_PAGE_BODY_BYTES);
    }
    query.push(order);
}

/// The columns of an entry, of `entries e`, without its body.
pub(in crate::store) fn push_select(query: &mut QueryBuilder<Postgres>, parts: EntryParts) {
    query.push(
        "select id, user_id, exchange_id, session_id, half::text as half, endpoint, method, path, query, \
         host, route, request_id, traceparent, status, metadata, created_at, started_at, ended_at, expires_at, nullif(expires_at, 'infinity') as ttl, body_size, stored_size, \
         body_state::text as body_state, content_type, content_encoding, truncated, completion::text as completion, \
         coalesce(body_expires_at, expires_at) as body_expires_at, body_sha256, body_decoded, redactions, response_flags, \
         response_details, upstream_host, workload, truncated_fields",
    );
    if parts.headers {
        query.push(", headers, trailers");
    }
    query.push(" from entries e");
}

/// The number is part of the statement's text: without it, a generic plan would not know that few rows are wanted,
/// and sort all of a user's.
pub(in crate::store) fn push_limit(query: &mut QueryBuilder<Postgres>, rows: i64) {
    query.push(format_args!(" limit {rows}"));
}

fn order_of(table: &str, direction: &str) -> String {
    format!(" order by {table}.created_at{direction}, {table}.id{direction}")
}

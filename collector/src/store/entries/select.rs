//! The statements that read entries and their parts.

use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

use super::filter::{push_alive, push_where};
use super::{MAX_HALVES, Order, PageRequest, Parts, Start};
use crate::model::ids::{EntryId, ExchangeId};
use crate::model::scope::Scope;

/// One row more than the page holds, if there are more.
pub(super) fn page(request: &PageRequest, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let (direction, beyond) = match request.order {
        Order::Descending => (" desc", "<"),
        Order::Ascending => (" asc", ">"),
    };
    let mut query = begin(request.parts);
    push_where(&mut query, &request.scope, &request.filter, now);
    if let Start::After(cursor) = request.start {
        query
            .push(" and (e.created_at, e.id) ")
            .push(beyond)
            .push(" (")
            .push_bind(cursor.created_at);
        query.push(", ").push_bind(cursor.id.0).push(")");
    }
    push_order(&mut query, "e", direction);
    query
        .push(" limit ")
        .push_bind(i64::from(request.limit) + 1);
    if let Start::Offset(offset) = request.start {
        query.push(" offset ").push_bind(offset);
    }
    end(&mut query, request.parts, now);
    push_order(&mut query, "p", direction);
    query
}

/// The entry of this number.
pub(super) fn one(scope: &Scope, id: EntryId, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let mut query = begin(Parts::ALL);
    push_alive(&mut query, scope, now);
    query.push(" and e.id = ").push_bind(id.0);
    end(&mut query, Parts::ALL, now);
    query
}

/// The halves of an exchange.
pub(super) fn exchange(
    scope: &Scope,
    id: ExchangeId,
    now: OffsetDateTime,
) -> QueryBuilder<Postgres> {
    let mut query = begin(Parts::ALL);
    push_alive(&mut query, scope, now);
    query.push(" and e.exchange_id = ").push_bind(id.0);
    query.push(" order by e.id limit ").push_bind(MAX_HALVES);
    end(&mut query, Parts::ALL, now);
    push_order(&mut query, "p", " asc");
    query
}

/// Of a body, wherever it lies.
pub(in crate::store) const BODY_COLUMNS: &str = ", coalesce(w.body_codec, b.codec)::text as codec, coalesce(w.body, b.data) as data, \
     coalesce(w.dictionary_id, b.dictionary_id) as dictionary_id";

/// Up to the conditions. The entries are chosen before bodies are joined, so that only their own bodies
/// are read.
fn begin(parts: Parts) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select p.*");
    if parts.bodies {
        query.push(BODY_COLUMNS);
    }
    query.push(" from (");
    push_select(&mut query, parts);
    query
}

/// The columns of `entries e` that are read of an entry, without its body.
pub(in crate::store) fn push_select(query: &mut QueryBuilder<Postgres>, parts: Parts) {
    query.push(
        "select id, user_id, exchange_id, session_id, half::text as half, endpoint, method, path, status, metadata, \
         created_at, expires_at, nullif(expires_at, 'infinity') as ttl, body_size, stored_size, \
         body_state::text as body_state, content_type, content_encoding, truncated, completion::text as completion, \
         coalesce(body_expires_at, expires_at) as body_expires_at, body_sha256, body_decoded, redactions, response_flags, \
         response_details, upstream_host, workload",
    );
    if parts.headers {
        query.push(", headers, trailers");
    }
    query.push(" from entries e");
}

/// From behind the chosen entries.
fn end(query: &mut QueryBuilder<Postgres>, parts: Parts, now: OffsetDateTime) {
    query.push(") p");
    if parts.bodies {
        push_bodies(query, now);
    }
}

/// Joins the bodies of the entries `p`.
pub(in crate::store) fn push_bodies(query: &mut QueryBuilder<Postgres>, now: OffsetDateTime) {
    // A body lies in its entry's row, or, if it goes before, in one of its own, whose partition may
    // outlive it for a while.
    query
        .push(" left join entries w on w.id = p.id and w.user_id = p.user_id and w.expires_at = p.expires_at")
        .push(" left join bodies b on b.user_id = p.user_id and b.entry_id = p.id and b.expires_at = p.body_expires_at and b.expires_at > ")
        .push_bind(now);
}

fn push_order(query: &mut QueryBuilder<Postgres>, table: &str, direction: &str) {
    query
        .push(" order by ")
        .push(table)
        .push(".created_at")
        .push(direction);
    query.push(", ").push(table).push(".id").push(direction);
}

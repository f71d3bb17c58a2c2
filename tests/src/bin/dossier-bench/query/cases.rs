//! The measured queries: over HTTP, and in SQL as one would write it by hand.

use serde_json::{Value, json};

use super::dataset::{LARGE_USER, USER};

/// What one would write by hand for the columns that an answer shows. `{}` is the condition.
const PAGE: &str = "
    select p.*, b.codec::text as codec, b.data from (
        select id, user_id, exchange_id, session_id, half::text as half, endpoint, method, path, status, metadata, created_at,
               expires_at, body_size, stored_size, body_state::text as body_state, content_type, content_encoding, truncated,
               completion::text as completion, coalesce(body_expires_at, expires_at) as body_expires_at, body_sha256,
               body_decoded, redactions, response_flags, response_details, upstream_host, workload, truncated_fields
        from entries where expires_at > now() and {}
        order by created_at desc, id desc limit 21) p
    left join bodies b on b.user_id = p.user_id and b.entry_id = p.id and b.expires_at = p.body_expires_at
    order by p.created_at desc, p.id desc";
const TOTAL: &str =
    "select count(*) from (select 1 from entries where expires_at > now() and {} limit 10001) t";
const SESSIONS: &str = "
    select p.*, c.n, c.endpoints from (
        select user_id, session_id, created_at, last_activity from sessions s
        where user_id = '{user}' and exists (select from entries e where e.expires_at > now() and e.user_id = s.user_id
                                               and e.session_id = s.session_id)
        order by last_activity desc, session_id desc limit 21) p
    cross join lateral (select count(*) as n, array_agg(distinct endpoint) as endpoints from entries e
        where e.expires_at > now() and e.user_id = p.user_id and e.session_id = p.session_id) c
    order by p.last_activity desc, p.session_id desc";
const SESSIONS_TOTAL: &str = "
    select count(*) from (select 1 from sessions s where user_id = '{user}' and exists (select from entries e
        where e.expires_at > now() and e.user_id = s.user_id and e.session_id = s.session_id) limit 10001) t";
const SESSION_ENTRIES: &str = "
    select e.*, b.codec::text as codec, b.data from (
        select user_id, session_id, last_activity from sessions
        where user_id = '{user}' order by last_activity desc, session_id desc limit 20) s
    cross join lateral (
        select id, user_id, exchange_id, session_id, half::text as half, endpoint, method, path, status, metadata, created_at,
               expires_at, body_size, stored_size, body_state::text as body_state, content_type, content_encoding, truncated,
               completion::text as completion, coalesce(body_expires_at, expires_at) as body_expires_at, body_sha256,
               body_decoded, redactions, response_flags, response_details, upstream_host, workload, truncated_fields
        from entries e where e.expires_at > now() and e.user_id = s.user_id and e.session_id = s.session_id
        order by created_at desc, id desc limit 20) e
    left join bodies b on b.user_id = e.user_id and b.entry_id = e.id and b.expires_at = e.body_expires_at";
const EMPTY_RESULT: &str = "
    select met, count(*) from (
        select case when metadata -> 'model' = '\"gpt-1\"' then 1 else 0 end
             | case when metadata -> 'tier' = '\"none\"' then 2 else 0 end as met
        from entries where expires_at > now() and {} order by created_at desc, id desc limit 100000) t group by met";

/// In the metadata of one of the user's entries alone, in the middle of them: MD5 of `2500503`.
const RARE: &str = "35be053b90aac2dfc5542f377e85f5fb";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryUser {
    /// About 4,800 entries.
    User,
    /// 200,000 entries.
    Large,
}

/// How it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// `GET` of this path.
    Get(&'static str),
    /// `POST` of this to this path.
    Post(&'static str, Value),
}

/// One kind of question.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) user: QueryUser,
    pub(crate) request: Request,
    /// Statements that give the same answer: rows, and what is told with them.
    pub(crate) sql: Vec<String>,
}

/// A place in the list of the large user's entries.
#[derive(Debug, Clone)]
pub(crate) struct CursorPosition {
    /// As the collector names it.
    pub(crate) cursor: String,
    /// Of the entry before it.
    pub(crate) created_at: String,
    /// Of the entry before it.
    pub(crate) id: i64,
}

/// All cases. The places are behind the first 100 entries and behind the first 100,000.
pub(crate) fn all(near: &CursorPosition, deep: &CursorPosition) -> Vec<Case> {
    let user = format!("user_id = '{USER}'");
    let filtered = |name, filter: Value, condition: &str| {
        let condition = format!("{user} and {condition}");
        Case {
            name,
            user: QueryUser::User,
            request: Request::Post("/storage/query", json!({"metadata_filters": filter})),
            sql: vec![with(PAGE, &condition), with(TOTAL, &condition)],
        }
    };
    let nothing =
        format!("{user} and metadata -> 'model' = '\"gpt-1\"' and metadata -> 'tier' = '\"none\"'");
    vec![
        Case {
            name: "first page",
            user: QueryUser::User,
            request: Request::Post("/storage/query", json!({})),
            sql: vec![with(PAGE, &user), with(TOTAL, &user)],
        },
        page_after("page by cursor, after 100", near),
        page_after("page by cursor, after 100,000", deep),
        filtered(
            "metadata equality",
            json!({"model": "gpt-1"}),
            "metadata -> 'model' = '\"gpt-1\"'",
        ),
        filtered(
            "metadata range",
            json!({"tokens": {"gte": 1000, "lt": 1400}}),
            "metadata -> 'tokens' >= '1000' and metadata -> 'tokens' < '1400' and jsonb_typeof(metadata -> 'tokens') = 'number'",
        ),
        filtered(
            "metadata, one entry in all",
            json!({"trace": RARE}),
            &format!("metadata -> 'trace' = '\"{RARE}\"'"),
        ),
        Case {
            name: "nothing found, and why",
            user: QueryUser::User,
            request: Request::Post(
                "/storage/query",
                json!({"metadata_filters": {"model": "gpt-1", "tier": "none"}}),
            ),
            sql: vec![with(PAGE, &nothing), with(EMPTY_RESULT, &user)],
        },
        Case {
            name: "list of sessions",
            user: QueryUser::User,
            request: Request::Get("/storage/sessions"),
            sql: [SESSIONS, SESSIONS_TOTAL].map(of_user).to_vec(),
        },
        Case {
            name: "sessions with entries",
            user: QueryUser::User,
            request: Request::Post("/storage/sessions/query", json!({})),
            sql: [SESSIONS, SESSIONS_TOTAL, SESSION_ENTRIES]
                .map(of_user)
                .to_vec(),
        },
    ]
}

/// The total is in the cursor, so only rows are read.
fn page_after(name: &'static str, position: &CursorPosition) -> Case {
    let CursorPosition {
        cursor,
        created_at,
        id,
    } = position;
    let condition =
        format!("user_id = '{LARGE_USER}' and (created_at, id) < ('{created_at}', {id})");
    Case {
        name,
        user: QueryUser::Large,
        request: Request::Post("/storage/query", json!({ "cursor": cursor })),
        sql: vec![with(PAGE, &condition)],
    }
}

fn with(statement: &str, condition: &str) -> String {
    statement.replacen("{}", condition, 1)
}

fn of_user(statement: &str) -> String {
    statement.replace("{user}", USER)
}

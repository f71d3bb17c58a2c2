//! Fills a collector's tables with five million entries of a thousand users, by SQL.

use dossier_tests::HarnessError;
use dossier_tests::client::CollectorClient;
use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::{Sample, encode_batch};
use sqlx::PgConnection;
use std::num::NonZeroU32;
use uuid::Uuid;

/// One of the users who have about 4,800 entries each.
pub(crate) const USER: &str = "user-7";
/// The user who has 200,000.
pub(crate) const LARGE_USER: &str = "user-0";
/// How many entries there are.
pub(crate) const ENTRIES: i64 = 5_000_000;
/// Entries of one statement.
const STEP: i64 = 250_000;
/// Entries are of the last ten days, and three of four live for thirty.
const EXPIRY_DAYS: std::ops::RangeInclusive<u32> = 19..=31;

/// Every 25th entry is the large user's, the others take turns; so `n` is older the smaller it is.
/// Twenty entries of a user in a row are a session, the two halves of an exchange follow each other.
const ENTRIES_SQL: &str = "
    insert into entries (id, expires_at, created_at, started_at, ended_at, body_size, stored_size, half, completion, body_state,
                         status, truncated, exchange_id, session_id, user_id, endpoint, method, path, host, content_type,
                         metadata)
    select 1000000 + n,
           case when random() < 0.75 then at + interval '30 days' else 'infinity' end,
           at, at, at + interval '40 ms', 120, case when n % 5 = 0 then 120 else 0 end,
           (case when turn % 2 = 0 then 'request' else 'response' end)::half, 'complete',
           (case when n % 5 = 0 then 'stored' else 'not_captured' end)::body_state,
           (array[200, 200, 200, 200, 201, 404, 429, 500])[1 + floor(random() * 8)::int], false,
           md5(who || ' ' || turn / 2)::uuid, md5(who || '/' || turn / 20)::uuid, who,
           '/api/v1/' || (array['ai/generate', 'ai/chat', 'ai/embed', 'orders', 'users', 'search'])[1 + floor(random() * 6)::int],
           'POST', '/api/v1/ai/generate', 'api.example.com', 'application/json',
           jsonb_build_object('model', 'gpt-' || floor(random() * 6)::int, 'tier', (array['free', 'pro', 'team'])[1 + floor(random() * 3)::int],
                              'tokens', floor(random() * 4000)::int, 'region', 'eu-' || floor(random() * 4)::int,
                              'trace', md5(n::text), 'cost', round(random()::numeric, 4))
    from (select n, case when n % 25 = 0 then 'user-0' else 'user-' || 1 + n % 999 end as who,
                 case when n % 25 = 0 then n / 25 else n / 999 end as turn,
                 now() - interval '10 days' + interval '10 days' * (n::float8 / $3) as at
          from generate_series($1::bigint, $2::bigint) as n) entry";
const BODIES_SQL: &str = "
    insert into bodies (entry_id, expires_at, codec, user_id, data)
    select id, expires_at, 'identity', user_id, convert_to('{\"text\": \"' || repeat(md5(id::text), 3) || '\"}', 'UTF8')
    from entries where id between 1000000 + $1 and 1000000 + $2 and body_state = 'stored'";
const SESSIONS_SQL: &str = "
    insert into sessions (user_id, session_id, external_id, created_at, last_activity)
    select user_id, session_id, session_id::text, min(started_at), max(started_at)
    from entries where session_id is not null group by user_id, session_id";

/// Fills the tables, unless that was done in an earlier run.
pub(crate) async fn fill(
    client: &CollectorClient,
    ingest_key: &str,
    database: &mut PgConnection,
) -> Result<(), HarnessError> {
    let marked: Option<String> =
        sqlx::query_scalar("select obj_description('entry_ids'::regclass, 'pg_class')")
            .fetch_one(&mut *database)
            .await
            .map_err(failed("look for the entries"))?;
    if marked.as_deref() == Some(mark().as_str()) {
        return Ok(());
    }
    make_partitions(client, ingest_key).await?;
    run(database, "set synchronous_commit = off").await?;
    let mut first = 1;
    while first <= ENTRIES {
        let last = (first + STEP - 1).min(ENTRIES);
        sqlx::query(ENTRIES_SQL)
            .bind(first)
            .bind(last)
            .bind(ENTRIES)
            .execute(&mut *database)
            .await
            .map_err(failed("fill in entries"))?;
        sqlx::query(BODIES_SQL)
            .bind(first)
            .bind(last)
            .execute(&mut *database)
            .await
            .map_err(failed("fill in bodies"))?;
        eprintln!("dossier-bench: {last} of {ENTRIES} entries are in");
        first = last + 1;
    }
    run(database, SESSIONS_SQL).await?;
    run(
        database,
        "select setval('entry_ids', (select max(id) from entries))",
    )
    .await?;
    for statement in [
        "vacuum analyze entries",
        "vacuum analyze bodies",
        "vacuum analyze sessions",
    ] {
        run(database, statement).await?;
    }
    // Only what is complete is found again.
    let marking = format!("comment on sequence entry_ids is '{}'", mark());
    run(database, sqlx::AssertSqlSafe(marking)).await
}

fn mark() -> String {
    format!("bench of {ENTRIES}")
}

/// The collector itself makes them when such entries come.
pub(crate) async fn make_partitions(
    client: &CollectorClient,
    ingest_key: &str,
) -> Result<(), HarnessError> {
    let samples: Vec<_> = EXPIRY_DAYS
        .map(|days| {
            let mut sample = Sample::request("nobody", "/", minutes_ago(1), "{}");
            sample.record.ttl_days = NonZeroU32::new(days);
            sample
        })
        .collect();
    let answer = client
        .ingest(Some(ingest_key), Uuid::now_v7(), encode_batch(&samples)?)
        .await?;
    if answer.status == 200 {
        return Ok(());
    }
    Err(HarnessError::Unexpected {
        doing: "have partitions made".to_owned(),
        answer: answer.json.to_string(),
    })
}

async fn run(
    database: &mut PgConnection,
    statement: impl sqlx::SqlSafeStr + Send,
) -> Result<(), HarnessError> {
    sqlx::raw_sql(statement)
        .execute(database)
        .await
        .map(drop)
        .map_err(failed("prepare the database"))
}

/// An error of the bench's own statements.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> HarnessError {
    move |error| HarnessError::Unexpected {
        doing: doing.to_owned(),
        answer: error.to_string(),
    }
}

//! Records that pass every check of the collector, and that Postgres refuses all the same: each is rejected once, alone,
//! and what came with it is stored.

use std::collections::BTreeMap;

use dossier_tests::clock;
use dossier_tests::database::Database;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::stack::Backend;
use dossier_wire::{Encoder, Gap, GapReason};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

use crate::spool::{SpoolHarness, expect_empty_spool, expect_spooled};
use crate::support::metric;

/// A collector, and its database's owner.
struct Harness {
    spool: SpoolHarness,
    owner: PgConnection,
}

impl Harness {
    async fn start() -> Self {
        let spool = SpoolHarness::start(|_| ()).await;
        let owner = connect(&spool.database).await;
        Self { spool, owner }
    }

    async fn run(&mut self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        let done = sqlx::raw_sql(statement).execute(&mut self.owner);
        done.await.unwrap();
    }

    async fn number(&mut self, query: &str) -> i64 {
        let query = AssertSqlSafe(query.to_owned());
        let number = sqlx::query_scalar(query).fetch_one(&mut self.owner);
        number.await.unwrap()
    }

    /// The columns of the row that the query finds, as text.
    async fn row(&mut self, query: &str) -> BTreeMap<String, Option<String>> {
        let query = AssertSqlSafe(format!(
            "select coalesce(jsonb_object_agg(key, value), '{{}}') from (select (jsonb_each_text(to_jsonb(row))).*
             from ({query}) row) columns"
        ));
        let row: Value = sqlx::query_scalar(query)
            .fetch_one(&mut self.owner)
            .await
            .unwrap();
        serde_json::from_value(row).unwrap()
    }

    /// Position and reason of each rejected record of a batch.
    async fn rejected(&mut self, batch: Uuid) -> Vec<(i32, String)> {
        let query =
            "select position, reason from rejected_records where batch_id = $1 order by position";
        let rows = sqlx::query_as(query).bind(batch);
        rows.fetch_all(&mut self.owner).await.unwrap()
    }

    async fn stored(&mut self, path: &str) -> i64 {
        self.number(&format!(
            "select count(*) from entries where path = '{path}'"
        ))
        .await
    }
}

async fn connect(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url()).await.unwrap()
}

async fn send(backend: &Backend, batch: Uuid, lines: &[Value]) -> Value {
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    let key = Some(backend.keys.ingest.as_str());
    let answer = backend
        .client
        .ingest_lines(key, batch, &lines.join("\n"))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    answer.json["data"].clone()
}

/// A record with little in it.
fn plain(path: &str) -> Value {
    let now = clock::now_micros();
    json!({
        "exchange_id": Uuid::now_v7(), "type": "request", "user_id": "alice", "endpoint": path, "method": "GET",
        "path": path, "started_at": now, "first_byte_at": now, "ended_at": now, "body_size": 0,
        "completion": "complete", "ttl_days": 30,
    })
}

/// A record that differs from a plain one in all that a producer can say.
fn full(body_ttl_days: u32) -> Value {
    let at = clock::now_micros() - 60_000_000;
    json!({
        "exchange_id": Uuid::now_v7(), "type": "response", "user_id": "mallory", "endpoint": "/full", "method": "PUT",
        "path": "/full", "query": "a=1", "host": "full.example", "route": "full", "status": 418,
        "metadata": {"full": true}, "session": {"id": "full"}, "ttl_days": 20, "body_ttl_days": body_ttl_days,
        "started_at": at, "first_byte_at": at + 1, "ended_at": at + 2, "body_size": 4,
        "body_xxh3": "0123456789abcdef0123456789abcdef", "content_type": "text/full", "content_encoding": "full",
        "body_decoded": true, "truncated": true, "redactions": {"full": 1}, "headers": [["a", "full"]],
        "trailers": [["b", "full"]], "completion": "client_aborted", "response_flags": 8, "response_details": "full",
        "upstream_host": "10.0.0.1:80", "workload": "full", "request_id": "full",
        "traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01", "body_text": "full",
        "truncated_fields": ["host"],
    })
}

/// What the store chooses, not the record.
const CHOSEN: [&str; 4] = ["id", "entry_id", "dictionary_id", "last_activity"];

/// Makes each column of a table refuse the value that it has in one record, and sends that record among good ones.
/// Returns the columns tried.
async fn try_columns(harness: &mut Harness, table: &str, find: &str, bad: &Value) -> Vec<String> {
    let answer = send(
        &harness.spool.backend,
        Uuid::now_v7(),
        &[plain("/plain"), bad.clone()],
    )
    .await;
    assert_eq!(
        answer["records"],
        2,
        "{:?}",
        harness.row("select reason from rejected_records").await
    );
    let values = harness.row(&format!("{find} '/full'")).await;
    let usual = harness.row(&format!("{find} '/plain'")).await;
    let mut tried = Vec::new();
    for (column, value) in values {
        if CHOSEN.contains(&column.as_str()) || usual.get(&column) == Some(&value) {
            continue;
        }
        let value = value.map_or_else(
            || "null".to_owned(),
            |it| format!("'{}'", it.replace('\'', "''")),
        );
        harness
            .run(&format!(
                "alter table {table} add constraint refuses_{column}
                 check (to_jsonb({column}) #>> '{{}}' is distinct from {value}) not valid"
            ))
            .await;
        let before = (
            harness.stored("/plain").await,
            harness.stored("/full").await,
        );
        let batch = Uuid::now_v7();
        let lines = [plain("/plain"), bad.clone(), plain("/plain")];
        let answer = send(&harness.spool.backend, batch, &lines).await;
        let expected = json!({"batch_id": batch, "duplicate": false, "spooled": false, "records": 2, "expired": 0,
            "rejected": 1});
        assert_eq!(answer, expected, "{table}.{column}");
        let after = (
            harness.stored("/plain").await,
            harness.stored("/full").await,
        );
        assert_eq!(after, (before.0 + 2, before.1), "{table}.{column}");
        let reason = format!("Postgres refuses it: SQLSTATE 23514, constraint refuses_{column}");
        assert_eq!(harness.rejected(batch).await, [(1, reason)]);
        let again = send(&harness.spool.backend, batch, &lines).await;
        assert_eq!(again["duplicate"], true, "{table}.{column}: {again}");
        harness
            .run(&format!(
                "alter table {table} drop constraint refuses_{column}"
            ))
            .await;
        tried.push(column);
    }
    tried
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_that_any_column_refuses_is_rejected_alone() {
    let mut harness = Harness::start().await;
    let find = "select * from entries where path =";
    let tried = try_columns(&mut harness, "entries", find, &full(20)).await;
    let of_entries = [
        "body",
        "body_codec",
        "body_decoded",
        "body_sha256",
        "body_size",
        "body_state",
        "body_xxh3",
        "completion",
        "content_encoding",
        "content_type",
        "created_at",
        "ended_at",
        "endpoint",
        "exchange_id",
        "expires_at",
        "half",
        "headers",
        "host",
        "metadata",
        "method",
        "path",
        "query",
        "redactions",
        "request_id",
        "response_details",
        "response_flags",
        "route",
        "session_id",
        "started_at",
        "status",
        "stored_size",
        "trace_id",
        "traceparent",
        "trailers",
        "truncated",
        "truncated_fields",
        "upstream_host",
        "user_id",
        "workload",
    ];
    assert_eq!(tried, of_entries);
    harness.run("delete from entries").await;

    let find = "select b.* from bodies b join entries on entries.id = entry_id where path =";
    let tried = try_columns(&mut harness, "bodies", find, &full(10)).await;
    assert_eq!(tried, ["codec", "data", "expires_at", "user_id"]);
    harness.run("delete from entries").await;

    let find = "select s.* from sessions s join entries using (user_id, session_id) where path =";
    harness.run("delete from sessions").await;
    let metric = metric(
        &harness.spool.backend,
        "dossier_ingest_rejected_records_total",
    )
    .await;
    assert_eq!(metric.unwrap(), (of_entries.len() + 4) as u64);
    // A session that exists is not inserted again.
    harness
        .run("alter table sessions add constraint refuses_name check (external_id <> 'full')")
        .await;
    let batch = Uuid::now_v7();
    let answer = send(&harness.spool.backend, batch, &[full(20), plain("/plain")]).await;
    assert_eq!(
        (&answer["records"], &answer["rejected"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(harness.row(&format!("{find} '/full'")).await.len(), 0);
}

/// As an index of an operator's does, whose rows may have 2,704 bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_an_index_refuses_are_found_in_a_large_batch() {
    let mut harness = Harness::start().await;
    harness.run("create index on entries (request_id)").await;
    let random: String = std::iter::repeat_with(|| Uuid::new_v4().simple().to_string())
        .take(100)
        .collect();
    let bad = [0, 1, 255, 256, 511, 599];
    let mut lines: Vec<_> = (0..600).map(|_| plain("/large")).collect();
    for at in bad {
        lines[at]["request_id"] = json!(random);
    }
    let batch = Uuid::now_v7();
    let answer = send(&harness.spool.backend, batch, &lines).await;
    assert_eq!(
        (&answer["records"], &answer["rejected"]),
        (&json!(594), &json!(6))
    );
    let rejected = harness.rejected(batch).await;
    let positions: Vec<_> = rejected.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, bad.map(|at| i32::try_from(at).unwrap()));
    for (_, reason) in rejected {
        assert!(reason.contains("SQLSTATE 54000"), "{reason}");
        assert!(!reason.contains(&random[..8]), "{reason}");
    }
    assert_eq!(harness.stored("/large").await, 594);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_records_leave_the_spool() {
    let mut harness = Harness::start().await;
    harness
        .run(
            "alter table entries add constraint refuses_path check (path <> '/refused') not valid;
             alter table sessions add constraint refuses_name check (external_id <> 'refused') not valid;
             alter table bodies add constraint refuses_owner check (user_id <> 'refused') not valid;
             alter table gaps add constraint refuses_bytes check (bytes <> 4711) not valid",
        )
        .await;
    harness.spool.database.stop();
    let backend = &harness.spool.backend;
    let key = Some(backend.keys.ingest.as_str());
    let good = || Sample::request("alice", "/good", clock::now_micros(), "{}");
    let bad_body = || {
        let mut bad = Sample::request("refused", "/body", clock::now_micros(), "{}");
        bad.record.ttl_days = 2.try_into().ok();
        bad.record.body_ttl_days = 1.try_into().ok();
        bad
    };
    let bad = [
        Sample::request("alice", "/refused", clock::now_micros(), "{}"),
        good().with_session_id("refused"),
        bad_body(),
    ];
    let mut batches = Vec::new();
    for bad in bad {
        let raw = encode_batch(&[good(), bad, good()]).unwrap();
        batches.push((Uuid::now_v7(), raw));
    }
    let mut with_gap = Encoder::new();
    let gap = Gap {
        reason: GapReason::BufferFull,
        records: 1,
        bytes: 4711,
        from: clock::now_micros(),
        to: clock::now_micros(),
    };
    let gap_after = Gap { bytes: 4712, ..gap };
    let sample = good();
    with_gap.push_record(&sample.record, &sample.body).unwrap();
    with_gap.push_gap(&gap).unwrap();
    with_gap.push_gap(&gap_after).unwrap();
    with_gap
        .push_record(&sample.response("{}").record, b"{}")
        .unwrap();
    batches.push((Uuid::now_v7(), with_gap.finish()));
    for (id, raw) in &batches {
        let answer = backend.client.ingest(key, *id, raw.clone()).await.unwrap();
        assert_eq!(answer.json["data"]["spooled"], true, "{}", answer.json);
    }
    expect_spooled(backend, 9).await;
    harness.spool.database.restart().await.unwrap();
    expect_empty_spool(&harness.spool.backend).await;
    harness.owner = connect(&harness.spool.database).await;
    assert_eq!(harness.stored("/good").await, 8);
    assert_eq!(
        harness.stored("/refused").await + harness.stored("/body").await,
        0
    );
    assert_eq!(harness.number("select count(*) from gaps").await, 1);
    let names = [
        "refuses_path",
        "refuses_name",
        "refuses_owner",
        "refuses_bytes",
    ];
    for ((id, _), name) in batches.iter().zip(names) {
        let reason = format!("Postgres refuses it: SQLSTATE 23514, constraint {name}");
        assert_eq!(harness.rejected(*id).await, [(1, reason)]);
    }
    let counted = metric(
        &harness.spool.backend,
        "dossier_ingest_rejected_records_total",
    )
    .await;
    assert_eq!(counted.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_whose_time_is_over_are_expired_and_not_stored() {
    let mut harness = Harness::start().await;
    let day = 86_400_000_000;
    let mut lines = vec![plain("/on-time"), plain("/over"), plain("/long-over")];
    for (line, days) in lines.iter_mut().skip(1).zip([1, 5]) {
        let at = clock::now_micros() - days * day - 1_000_000;
        for field in ["started_at", "first_byte_at", "ended_at"] {
            line[field] = json!(at);
        }
        line["ttl_days"] = json!(1);
        line["session"] = json!({"id": "over"});
    }
    let batch = Uuid::now_v7();
    let answer = send(&harness.spool.backend, batch, &lines).await;
    let expected = json!({"batch_id": batch, "duplicate": false, "spooled": false, "records": 1, "expired": 2,
        "rejected": 0});
    assert_eq!(answer, expected);
    assert_eq!(harness.number("select count(*) from sessions").await, 0);
    assert_eq!(
        harness.stored("/over").await + harness.stored("/long-over").await,
        0
    );
    for (name, expected) in [("records", 2), ("expired_records", 2)] {
        let name = format!("dossier_ingest_{name}_total");
        let counted = metric(&harness.spool.backend, &name).await.unwrap();
        assert_eq!(counted, expected, "{name}");
    }
}

//! Batches as lines of JSON: what comes in this way is found like everything else, once, to the byte.

use dossier_tests::clock;
use dossier_tests::database::Database;
use dossier_tests::testing::{TestBackend, TestFolder};
use dossier_wire::{CONTENT_TYPE, Compression, Encoder};
use serde_json::{Value, json};
use sqlx::Row;
use uuid::Uuid;

use crate::support::{TIMEOUT, owner};

const LINES: &str = "application/x-ndjson";

/// A record of alice's; `body` is what stands in the line, key and value.
fn line(path: &str, body: &str) -> String {
    let now = clock::now_micros();
    let fields = json!({
        "exchange_id": Uuid::now_v7(), "type": "request", "user_id": "alice", "endpoint": path, "method": "POST",
        "path": path, "started_at": now, "first_byte_at": now, "ended_at": now, "body_size": 1000,
        "completion": "complete", "metadata": {"from": "lines"},
    })
    .to_string();
    let fields = fields.strip_suffix('}').unwrap();
    format!("{fields},{body}}}\n")
}

/// The bodies of what alice has under this path, as they were sent.
async fn bodies(backend: &TestBackend, path: &str) -> Vec<Vec<u8>> {
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    let found = client.query_all(alice, &json!({"endpoint": path})).await;
    let mut bodies = Vec::new();
    for entry in found.unwrap() {
        let at = format!("/storage/entries/{}/body", entry["id"]);
        let answer = client.get(&at, Some(alice)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json);
        bodies.push(answer.bytes);
    }
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_every_kind_round_trip_once() {
    let backend = TestBackend::start().await.unwrap();
    let (client, key) = (&backend.client, Some(backend.keys.ingest.as_str()));
    let cases: [(&str, &str, &[u8]); 4] = [
        (
            "/lines/json",
            r#""body_json":{"b": 1.50,  "a":[9007199254740993]}"#,
            br#"{"b": 1.50,  "a":[9007199254740993]}"#,
        ),
        (
            "/lines/text",
            r#""body_text":"two\nlines, \u00fc""#,
            "two\nlines, \u{fc}".as_bytes(),
        ),
        ("/lines/base64", r#""body_base64":"AAH/""#, b"\0\x01\xff"),
        ("/lines/none", r#""status":204"#, b""),
    ];
    let lines: String = cases
        .iter()
        .map(|(path, body, _)| line(path, body))
        .collect();
    let id = Uuid::now_v7();
    let answer = client.ingest_lines(key, id, &lines).await.unwrap();
    let expected = json!({"batch_id": id, "duplicate": false, "spooled": false, "records": 4, "expired": 0, "rejected": 0});
    assert_eq!((answer.status, &answer.json["data"]), (200, &expected));
    let again = client.ingest_lines(key, id, &lines).await.unwrap();
    assert_eq!(
        (again.status, &again.json["data"]["duplicate"]),
        (200, &json!(true))
    );
    // Compressed, and with parameters of the type, it is the same.
    let packed = Compression::Fast.compress(lines.as_bytes());
    let sent = ("Application/X-NDJSON; charset=utf-8", Some("deflate"));
    let packed = client
        .ingest_typed(key, Uuid::now_v7(), sent, packed)
        .await
        .unwrap();
    assert_eq!(
        (packed.status, &packed.json["data"]["records"]),
        (200, &json!(4))
    );
    for (path, _, body) in &cases[..3] {
        assert_eq!(bodies(&backend, path).await, [*body; 2], "{path}");
    }
    let (alice, bob) = (&backend.keys.users.alice, &backend.keys.users.bob);
    let from_lines = json!({"metadata_filters": {"from": "lines"}});
    assert_eq!(client.count(alice, &from_lines).await.unwrap(), 8);
    assert_eq!(client.count(bob, &from_lines).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_line_is_rejected_by_number() {
    let backend = TestBackend::start().await.unwrap();
    let good = line("/lines/good", r#""body_text":"good""#);
    let two = line("/lines/two", r#""body_text":"a","body_json":1"#);
    let empty_user = line("/lines/user", r#""body_text":"a""#).replace("alice", "");
    let unknown_field = line("/lines/cut", r#""truncated_fields":["body"]"#);
    let cut = line(
        "/lines/good",
        r#""body_text":"good","truncated_fields":["query"]"#,
    );
    let lines = format!("{good}\nno json\n{two}{empty_user}{cut}{unknown_field}");
    let key = Some(backend.keys.ingest.as_str());
    let answer = backend
        .client
        .ingest_lines(key, Uuid::now_v7(), &lines)
        .await
        .unwrap();
    let data = &answer.json["data"];
    assert_eq!(
        (&data["records"], &data["rejected"]),
        (&json!(2), &json!(4)),
        "{}",
        answer.json
    );
    assert_eq!(bodies(&backend, "/lines/good").await, [b"good"; 2]);
    let mut database = owner(&backend).await;
    let rows =
        sqlx::query("select position, reason, header from rejected_records order by position");
    let rows = rows.fetch_all(&mut database).await.unwrap();
    let expected = [
        (2, "one JSON object", "no json"),
        (3, "more than one", two.trim()),
        (4, "user_id", empty_user.trim()),
        (6, "out of range", unknown_field.trim()),
    ];
    assert_eq!(rows.len(), expected.len());
    for (row, (position, reason, text)) in rows.iter().zip(expected) {
        assert_eq!(row.get::<i32, _>("position"), position);
        let said: String = row.get("reason");
        assert!(said.contains(reason), "{said}");
        assert_eq!(row.get::<Vec<u8>, _>("header"), text.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_or_unauthorized_batches_are_refused() {
    let backend = TestBackend::start().await.unwrap();
    let (client, keys) = (&backend.client, &backend.keys);
    let key = Some(keys.ingest.as_str());
    let good = line("/lines/good", r#""body_text":"good""#).into_bytes();
    let many = "{}\n".repeat(16_385).into_bytes();
    let bomb = Compression::Best.compress(&vec![b' '; 40 << 20]);
    let cases = [
        (
            "nothing",
            LINES,
            None,
            Vec::new(),
            422,
            "VAL_MALFORMED_BATCH",
        ),
        (
            "the other form",
            LINES,
            None,
            Encoder::new().finish(),
            422,
            "VAL_MALFORMED_BATCH",
        ),
        (
            "lines as the other form",
            CONTENT_TYPE,
            None,
            good.clone(),
            422,
            "VAL_MALFORMED_BATCH",
        ),
        (
            "too many lines",
            LINES,
            None,
            many,
            422,
            "VAL_MALFORMED_BATCH",
        ),
        (
            "a bomb",
            LINES,
            Some("deflate"),
            bomb,
            413,
            "PAYLOAD_TOO_LARGE",
        ),
        (
            "a long one",
            LINES,
            None,
            vec![b' '; (4 << 20) + 1],
            413,
            "PAYLOAD_TOO_LARGE",
        ),
        (
            "an unknown encoding",
            LINES,
            Some("gzip"),
            good.clone(),
            415,
            "VAL_UNSUPPORTED_MEDIA_TYPE",
        ),
        (
            "an unknown type",
            "application/json",
            None,
            good,
            415,
            "VAL_UNSUPPORTED_MEDIA_TYPE",
        ),
    ];
    for (what, content_type, encoding, bytes, status, code) in cases {
        let sent = (content_type, encoding);
        let answer = client
            .ingest_typed(key, Uuid::now_v7(), sent, bytes)
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.error_code()),
            (status, code),
            "{what}: {}",
            answer.json
        );
    }
    let lines = line("/lines/good", r#""body_text":"good""#);
    for (key, status) in [(None, 401), (Some(keys.users.alice.as_str()), 403)] {
        let answer = client
            .ingest_lines(key, Uuid::now_v7(), &lines)
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{}", answer.json);
    }
    assert_eq!(
        client.count(&keys.users.admin, &json!({})).await.unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_spooled_during_postgres_outage() {
    let folder = TestFolder::create().unwrap();
    let mut database = Database::start(folder.path()).await.unwrap();
    let backend = TestBackend::start_with(|plan| {
        plan.database_url = Some(database.url());
        Ok(())
    });
    let backend = backend.await.unwrap();
    let (client, key) = (&backend.client, Some(backend.keys.ingest.as_str()));
    let send = async |path: &str| {
        let body = line(path, r#""body_text":"escaped \n""#) + "malformed\n";
        let answer = client
            .ingest_lines(key, Uuid::now_v7(), &body)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json);
        answer.json["data"].clone()
    };
    // The collector knows the key from now on.
    assert_eq!(send("/lines/before").await["spooled"], json!(false));
    database.stop();
    let data: Value = send("/lines/away").await;
    assert_eq!(
        (&data["spooled"], &data["rejected"]),
        (&json!(true), &json!(1))
    );
    database.restart().await.unwrap();
    let alice = &backend.keys.users.alice;
    let wanted = json!({"endpoint": "/lines/away"});
    client
        .wait_for_entries(alice, &wanted, 1, TIMEOUT)
        .await
        .unwrap();
    assert_eq!(bodies(&backend, "/lines/away").await, [b"escaped \n"]);
}

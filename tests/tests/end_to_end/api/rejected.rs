//! Rejected records and gaps, by API and by command: listed, shown, stored after all, deleted.

use dossier_tests::client::CollectorResponse;
use dossier_tests::clock;
use dossier_tests::testing::TestBackend;
use dossier_wire::{Encoder, Gap, GapReason};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::owner;

/// A record of alice's as a line.
fn line(path: &str, body: &str) -> Value {
    let now = clock::now_micros();
    json!({
        "exchange_id": Uuid::now_v7(), "type": "request", "user_id": "alice", "endpoint": path, "method": "POST",
        "path": path, "started_at": now, "first_byte_at": now, "ended_at": now, "body_size": body.len(),
        "completion": "complete", "content_type": "text/plain", "body_text": body,
    })
}

async fn send(backend: &TestBackend, lines: &[Value]) -> Uuid {
    let batch = Uuid::now_v7();
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    let lines = lines.join("\n");
    let key = Some(backend.keys.ingest.as_str());
    let answer = backend
        .client
        .ingest_lines(key, batch, &lines)
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    batch
}

async fn get(backend: &TestBackend, path: &str) -> CollectorResponse {
    let admin = Some(backend.keys.users.admin.as_str());
    backend.client.get(path, admin).await.unwrap()
}

async fn retry(backend: &TestBackend, id: &str) -> CollectorResponse {
    let admin = Some(backend.keys.users.admin.as_str());
    let path = format!("/admin/rejected/{id}/retry");
    backend
        .client
        .post(&path, admin, &Value::Null)
        .await
        .unwrap()
}

async fn delete(backend: &TestBackend, id: &str) -> CollectorResponse {
    let admin = Some(backend.keys.users.admin.as_str());
    let path = format!("/admin/rejected/{id}");
    backend.client.delete(&path, admin).await.unwrap()
}

/// The ids of all rejected records, page by page.
async fn ids(backend: &TestBackend) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(backend, &format!("/admin/rejected?page_size=2{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.json);
        let data = &page.json["data"];
        let rejected = data["rejected"].as_array().unwrap();
        ids.extend(
            rejected
                .iter()
                .map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        match data["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

async fn run(backend: &TestBackend, arguments: &[&str]) -> (bool, String, String) {
    let output = backend.collector.run(arguments).await.unwrap();
    (output.status.success(), output.stdout, output.stderr)
}

/// A batch of a good record, one that a constraint refuses and one without a user.
async fn refused(backend: &TestBackend) -> Uuid {
    let constraint =
        "alter table entries add constraint no_refused check (path <> '/refused') not valid";
    let mut owner = owner(backend).await;
    sqlx::raw_sql(constraint).execute(&mut owner).await.unwrap();
    let mut nobody = line("/nobody", "x");
    nobody["user_id"] = json!("");
    send(
        backend,
        &[line("/good", "x"), line("/refused", "its body"), nobody],
    )
    .await
}

async fn accept_all(backend: &TestBackend) {
    let statement = "alter table entries drop constraint no_refused";
    let mut owner = owner(backend).await;
    sqlx::raw_sql(statement).execute(&mut owner).await.unwrap();
}

async fn stored(backend: &TestBackend, path: &str) -> Vec<Value> {
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    client
        .query_all(alice, &json!({"endpoint": path}))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_records_are_listed_shown_stored_and_deleted() {
    let backend = TestBackend::start().await.unwrap();
    let batch = refused(&backend).await;
    let other = send(
        &backend,
        &[json!({"no": "record"}), json!({"nor": "this"}), json!([])],
    )
    .await;
    let [bad, nobody] = [1, 2].map(|position| format!("{batch}:{position}"));
    let mut expected = [0, 1, 2]
        .map(|position| format!("{other}:{position}"))
        .to_vec();
    expected.reverse();
    expected.extend([nobody.clone(), bad.clone()]);
    assert_eq!(ids(&backend).await, expected);

    let shown = get(&backend, &format!("/admin/rejected/{bad}")).await;
    let data = &shown.json["data"];
    assert_eq!(
        data["reason"],
        "Postgres refuses it: SQLSTATE 23514, constraint no_refused"
    );
    assert_eq!(
        (
            &data["content"]["body_text"],
            &data["content"]["body_base64"]
        ),
        (&json!("its body"), &Value::Null)
    );
    let header: Value =
        serde_json::from_str(data["content"]["header_text"].as_str().unwrap()).unwrap();
    assert_eq!(header["path"], "/refused");

    for (id, reason) in [
        (&bad, "no_refused"),
        (&nobody, "user id"),
        (&expected[0], "JSON object"),
    ] {
        let answer = retry(&backend, id).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (422, "VAL_CONSTRAINT_VIOLATION")
        );
        let error = &answer.json["error"]["details"]["errors"][0];
        assert_eq!(error["field"], "id");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("rejected again") && message.contains(reason),
            "{message}"
        );
    }
    accept_all(&backend).await;
    let answer = retry(&backend, &bad).await;
    assert_eq!(
        (answer.status, &answer.json["data"]["id"]),
        (200, &json!(bad))
    );
    let entries = stored(&backend, "/refused").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["data"], "its body");
    for answer in [
        retry(&backend, &bad).await,
        delete(&backend, &bad).await,
        get(&backend, &format!("/admin/rejected/{bad}")).await,
    ] {
        assert_eq!((answer.status, answer.error_code()), (404, "NOT_FOUND"));
    }
    assert_eq!(delete(&backend, &nobody).await.status, 200);
    assert_eq!(ids(&backend).await, expected[..3]);
    for wrong in ["x", "0:0", &format!("{batch}:-1"), &format!("{batch}:01")] {
        assert_eq!(retry(&backend, wrong).await.status, 422, "{wrong}");
    }
}

/// As after a retry whose answer was lost before the record was deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_is_stored_once_however_often_it_is_retried() {
    let backend = TestBackend::start().await.unwrap();
    let batch = refused(&backend).await;
    accept_all(&backend).await;
    let mut owner = owner(&backend).await;
    let keep = "create table kept as select * from rejected_records";
    sqlx::raw_sql(keep).execute(&mut owner).await.unwrap();
    for _ in 0..2 {
        assert_eq!(retry(&backend, &format!("{batch}:1")).await.status, 200);
        assert_eq!(stored(&backend, "/refused").await.len(), 1);
        let again = "insert into rejected_records select * from kept on conflict do nothing";
        sqlx::raw_sql(again).execute(&mut owner).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_records_can_be_stored_after_all_and_cut_ones_cannot() {
    let backend = TestBackend::start().await.unwrap();
    let batch = refused(&backend).await;
    let whole = send(&backend, &[line("/refused", &"w".repeat(500_000))]).await;
    let cut = send(&backend, &[line("/refused", &"c".repeat(1_100_000))]).await;
    accept_all(&backend).await;
    assert_eq!(retry(&backend, &format!("{whole}:0")).await.status, 200);
    assert_eq!(
        stored(&backend, "/refused").await[0]["content"]["size"],
        500_000
    );
    let answer = retry(&backend, &format!("{cut}:0")).await;
    assert_eq!(answer.status, 422);
    let message = answer.json["error"]["details"]["errors"][0]["message"].to_string();
    assert!(message.contains("only its beginning was kept"), "{message}");
    assert_eq!(ids(&backend).await.len(), 3, "{batch}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_do_the_same() {
    let backend = TestBackend::start().await.unwrap();
    let batch = refused(&backend).await;
    let [bad, nobody] = [1, 2].map(|position| format!("{batch}:{position}"));
    let (_, list, _) = run(&backend, &["rejected", "list"]).await;
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(
        lines[0].starts_with("ID ") && lines[1].starts_with(&nobody),
        "{list}"
    );
    assert!(lines[2].ends_with("constraint no_refused"), "{list}");
    let (_, one, more) = run(&backend, &["rejected", "list", "--limit", "1"]).await;
    assert_eq!((one.lines().count(), more.contains("--limit")), (2, true));

    let (shown, text, _) = run(&backend, &["rejected", "show", &bad]).await;
    assert!(
        shown && text.contains("body: its body") && text.contains("reason: Postgres"),
        "{text}"
    );
    let (stored_all, out, error) = run(&backend, &["rejected", "retry", "--all"]).await;
    assert!(!stored_all && out.is_empty(), "{out}");
    assert_eq!(
        error.matches("stays: it is rejected again").count(),
        2,
        "{error}"
    );
    accept_all(&backend).await;
    let (stored_all, out, _) = run(&backend, &["rejected", "retry", "--all"]).await;
    assert_eq!((stored_all, out), (false, format!("{bad} stored\n")));
    assert_eq!(stored(&backend, "/refused").await.len(), 1);
    let (gone, _, error) = run(&backend, &["rejected", "retry", &bad]).await;
    assert!(
        !gone && error.contains("no such rejected record"),
        "{error}"
    );
    let (deleted, out, _) = run(&backend, &["rejected", "delete", &nobody]).await;
    assert_eq!((deleted, out), (true, format!("{nobody} deleted\n")));
    assert!(ids(&backend).await.is_empty());
    for wrong in [
        vec!["rejected", "retry"],
        vec!["rejected", "show", "x"],
        vec!["rejected", "delete", &bad, "--all"],
    ] {
        assert!(!run(&backend, &wrong).await.0, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_are_listed_page_by_page() {
    let backend = TestBackend::start().await.unwrap();
    let mut batch = Encoder::new();
    let at = clock::now_micros();
    for bytes in 1..=5 {
        let gap = Gap {
            reason: GapReason::BufferFull,
            records: 1,
            bytes,
            from: at,
            to: at + bytes,
        };
        batch.push_gap(&gap).unwrap();
    }
    let key = Some(backend.keys.ingest.as_str());
    let id = Uuid::now_v7();
    let answer = backend
        .client
        .ingest(key, id, batch.finish())
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    let (mut bytes, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = get(&backend, &format!("/admin/gaps?page_size=2{cursor}")).await;
        let data = &page.json["data"];
        for gap in data["gaps"].as_array().unwrap() {
            assert_eq!(
                (&gap["batch_id"], &gap["reason"]),
                (&json!(id), &json!("buffer_full"))
            );
            bytes.push(gap["bytes"].as_u64().unwrap());
        }
        pages += 1;
        match data["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((bytes, pages), (vec![5, 4, 3, 2, 1], 3));
    let (_, out, more) = run(&backend, &["gaps", "--limit", "3"]).await;
    assert_eq!(
        (out.lines().count(), more.contains("--limit")),
        (4, true),
        "{out}"
    );
    assert!(out.contains("buffer_full"), "{out}");
}

//! What is recorded of an exchange besides its bodies is shown on its entries, and is a question: by what an access log, a
//! trace or a dashboard names, its exchange is found.

use std::fs;

use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::testing::{TestBackend, TestStack};
use dossier_tests::traffic::Call;
use dossier_wire::Completion;
use serde_json::{Value, json};

use crate::support::{TIMEOUT, store, text, wait_for_records};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The numbers of the entries that a key finds, in order.
async fn found(backend: &TestBackend, key: &str, question: Value) -> Vec<i64> {
    let entries = backend.client.query_all(key, &question).await.unwrap();
    let ids = entries.iter().map(|entry| entry["id"].as_i64().unwrap());
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids
}

/// Entries 1 and 2 are alice's plain exchange, 3 and 4 another of hers with everything, 5 and 6 bob's with the same facts.
async fn filled() -> TestBackend {
    let backend = TestBackend::start().await.unwrap();
    let plain = Sample::request("alice", "/api/plain", minutes_ago(3), "{}");
    store(&backend, &[plain.clone(), plain.response("{}")]).await;
    for user in ["alice", "bob"] {
        let mut full = Sample::request(user, "/api/full/7", minutes_ago(2), "{\"long\": \"body\"}");
        let record = &mut full.record;
        record.query = Some("a=1&token=%5Bredacted%5D".into());
        record.host = Some("api.example.com:8443".into());
        record.route = Some("full".into());
        record.request_id = Some("7f3c2a9e".into());
        record.traceparent = Some(format!("00-{TRACE}-b7ad6b7169203331-01").into());
        record.content_type = Some("Application/JSON; charset=utf-8".into());
        record.completion = Completion::Timeout;
        let mut response = full.response("{}");
        response.record.first_byte_at = full.record.started_at + 250_000;
        response.record.ended_at = full.record.started_at + 1_500_250;
        store(&backend, &[full, response]).await;
    }
    backend
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_shown() {
    let backend = filled().await;
    let alice = &backend.keys.users.alice;
    let answer = backend
        .client
        .get("/storage/entries/4", Some(alice))
        .await
        .unwrap();
    let entry = &answer.json["data"];
    let expected = json!({
        "query": "a=1&token=%5Bredacted%5D", "host": "api.example.com:8443", "route": "full", "request_id": "7f3c2a9e",
        "traceparent": format!("00-{TRACE}-b7ad6b7169203331-01"),
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&entry[name], value, "{name}");
    }
    let timing = &entry["timing"];
    assert_eq!(timing["duration_ms"], 1500.25);
    assert_eq!(timing["first_byte_at"], entry["created_at"]);
    let plain = backend
        .client
        .get("/storage/entries/1", Some(alice))
        .await
        .unwrap();
    for name in expected.as_object().unwrap().keys() {
        assert_eq!(plain.json["data"][name], Value::Null, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_questions() {
    let backend = filled().await;
    let users = &backend.keys.users;
    let full = [3, 4].to_vec();
    for (question, expected) in [
        (json!({"request_id": "7f3c2a9e"}), full.clone()),
        (json!({"request_id": "7f3c2a9"}), vec![]),
        (json!({"trace_id": TRACE}), full.clone()),
        (json!({"trace_id": TRACE.to_uppercase()}), full.clone()),
        (json!({"host": "api.example.com:8443"}), full.clone()),
        (json!({"host": "api.example.com"}), vec![]),
        (json!({"route": "full"}), full.clone()),
        (json!({"path": "/api/full/7"}), full.clone()),
        (json!({"path": "/api/full"}), vec![]),
        (json!({"path_prefix": "/api/full"}), full.clone()),
        (json!({"path_prefix": "/api/"}), vec![1, 2, 3, 4]),
        (json!({"path_prefix": "%"}), vec![]),
        (json!({"min_duration_ms": 1500}), vec![4]),
        (json!({"min_duration_ms": 1501}), vec![]),
        (json!({"completion": "timeout"}), full.clone()),
        (json!({"completion": "complete"}), vec![1, 2]),
        (
            json!({"content_type": "APPLICATION/json"}),
            vec![1, 2, 3, 4],
        ),
        (
            json!({"content_type": "application/json;charset=x"}),
            vec![1, 2, 3, 4],
        ),
        (json!({"content_type": "application"}), vec![]),
        (json!({"min_size": 3}), vec![3]),
        (json!({"min_size": i64::MAX}), vec![]),
        (
            json!({"request_id": "7f3c2a9e", "trace_id": TRACE, "type": "response"}),
            vec![4],
        ),
    ] {
        assert_eq!(
            found(&backend, &users.alice, question.clone()).await,
            expected,
            "{question}"
        );
    }
    assert_eq!(
        found(&backend, &users.admin, json!({"trace_id": TRACE})).await,
        [3, 4, 5, 6]
    );
    for (question, field) in [
        (json!({"trace_id": "x"}), "trace_id"),
        (json!({"trace_id": "0".repeat(32)}), "trace_id"),
        (
            json!({"trace_id": format!("{{{}}}", &TRACE[2..])}),
            "trace_id",
        ),
        (json!({"completion": "done"}), "completion"),
        (json!({"min_duration_ms": -1}), "min_duration_ms"),
        (json!({"min_size": 1.5}), "min_size"),
        (json!({"path": ""}), "path"),
        (json!({"request_id": 7}), "request_id"),
        (json!({"host": "a\u{0}b"}), "host"),
        (json!({"route": "x".repeat((16 << 10) + 1)}), "route"),
    ] {
        let answer = backend.client.query(&users.alice, &question).await.unwrap();
        assert_eq!(answer.status, 422, "{question}");
        let error = &answer.json["error"]["details"]["errors"][0];
        assert_eq!(error["field"], field, "{question}");
    }
    let nothing = json!({"request_id": "7f3c2a9e", "min_size": 1000});
    let answer = backend.client.query(&users.alice, &nothing).await.unwrap();
    let warning = &answer.json["warnings"][0];
    assert_eq!(warning["code"], "NO_RESULTS_FOUND");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("Without min_size"),
        "{warning}"
    );
}

/// Envoy makes the id; the log is written in its own words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_of_access_log_finds_exchange() {
    let logs = dossier_tests::testing::TestFolder::create().unwrap();
    let file = logs.path().join("access.log");
    let log = json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": file,
            "log_format": {"text_format_source": {"inline_string": "%REQ(X-REQUEST-ID)% %REQ(:PATH)%\n"}},
        },
    }]);
    let stack = TestStack::start_with(|plan| {
        let manager = plan.bootstrap.connection_manager()?;
        manager["access_log"] = log;
        Ok(())
    });
    let stack = stack.await.unwrap();
    for target in ["/api/first?a=1", "/api/second"] {
        let mut call = Call::json("alice", target, &json!({}));
        call.headers.push((
            "traceparent".to_owned(),
            format!("00-{TRACE}-b7ad6b7169203331-01"),
        ));
        assert_eq!(stack.traffic.send(&call).await.unwrap().status, 200);
    }
    wait_for_records(&stack.envoy, 4).await;
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    client
        .wait_for_entries(alice, &json!({}), 4, TIMEOUT)
        .await
        .unwrap();
    let read = || fs::read_to_string(&file).unwrap_or_default();
    let waited = dossier_tests::wait::until("the access log", TIMEOUT, async || {
        if read().lines().count() == 2 {
            Ok(())
        } else {
            Err(read())
        }
    });
    waited.await.unwrap();
    let log = read();
    let (id, target) = log.lines().next().unwrap().split_once(' ').unwrap();
    assert_eq!(target, "/api/first?a=1");
    let entries = client
        .query_all(alice, &json!({"request_id": id}))
        .await
        .unwrap();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        assert_eq!(text(entry, "path"), "/api/first");
        assert_eq!(text(entry, "query"), "a=1");
        assert_eq!(text(entry, "request_id"), id);
        assert!(
            entry["timing"]["duration_ms"].as_f64().unwrap() > 0.0,
            "{entry}"
        );
    }
    let entries = client
        .query_all(alice, &json!({"trace_id": TRACE}))
        .await
        .unwrap();
    assert_eq!(entries.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_sessions_are_shown_and_found_by_name() {
    let backend = TestBackend::start().await.unwrap();
    let uuid = "6f1f64e2-1111-4222-8333-000000000001";
    for (user, name) in [("alice", "conv-42"), ("bob", "conv-42"), ("alice", uuid)] {
        let sample = Sample::request(user, "/api/x", minutes_ago(1), "{}");
        store(&backend, &[sample.with_session_id(name)]).await;
    }
    let unnamed = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
    store(&backend, &[unnamed.with_session_timeout(5)]).await;
    let users = &backend.keys.users;
    for (key, name, expected) in [
        (&users.alice, "conv-42", vec![1]),
        (&users.admin, "conv-42", vec![1, 2]),
        (&users.alice, uuid, vec![3]),
        (&users.alice, "conv-4", vec![]),
    ] {
        let question = json!({"session_id": name});
        assert_eq!(
            found(&backend, key, question.clone()).await,
            expected,
            "{name}"
        );
        for path in ["/storage/sessions/query", "/storage/sessions"] {
            let answer = match path {
                "/storage/sessions" => {
                    let path = format!("{path}?session_id={name}");
                    backend.client.get(&path, Some(key)).await
                }
                path => backend.client.post(path, Some(key), &question).await,
            };
            let answer = answer.unwrap();
            let sessions = answer.json["data"]["sessions"].as_array().unwrap();
            assert_eq!(sessions.len(), expected.len(), "{path} {name}");
            assert!(
                sessions.iter().all(|it| it["external_id"] == name),
                "{path} {name}"
            );
        }
    }
    let bobs = json!({"session_id": "conv-42", "user_id": "bob"});
    assert_eq!(found(&backend, &users.admin, bobs).await, [2]);
    // By its id, as before, and without a name.
    let answer = backend
        .client
        .get("/storage/sessions", Some(&users.alice))
        .await
        .unwrap();
    let sessions = answer.json["data"]["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    for session in sessions {
        let question = json!({"session_id": session["session_id"]});
        assert_eq!(found(&backend, &users.alice, question).await.len(), 1);
    }
    assert_eq!(
        sessions
            .iter()
            .filter(|it| it["external_id"].is_null())
            .count(),
        1
    );
    let long = json!({"session_id": "x".repeat(1025)});
    assert_eq!(
        backend
            .client
            .query(&users.alice, &long)
            .await
            .unwrap()
            .status,
        422
    );
}

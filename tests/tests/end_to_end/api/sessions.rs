//! `GET /storage/sessions` and `POST /storage/sessions/query`.

use std::collections::BTreeSet;

use dossier_tests::client::{CollectorClient, CollectorResponse};
use dossier_tests::clock::{format_rfc3339, minutes_ago};
use dossier_tests::collector::{Collector, CollectorPlan};
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::testing::{TestBackend, TestStack};
use dossier_tests::traffic::Call;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TIMEOUT, store, text};

const LIST: &str = "/storage/sessions";
const QUERY: &str = "/storage/sessions/query";
const SECOND: u64 = 1_000_000;

/// A request of alice's in a session of this name.
fn named(session: &str, endpoint: &str, minutes: u64) -> Sample {
    Sample::request("alice", endpoint, minutes_ago(minutes), "{\"n\":1}").with_session_id(session)
}

/// The sessions of a successful answer.
fn sessions(answer: &CollectorResponse) -> &[Value] {
    assert_eq!(answer.status, 200, "{}", answer.json);
    answer.json["data"]["sessions"].as_array().unwrap()
}

fn ids(answer: &CollectorResponse) -> Vec<String> {
    let sessions = sessions(answer).iter();
    let id = |session: &Value| session["session_id"].as_str().unwrap().to_owned();
    sessions.map(id).collect()
}

async fn list(backend: &TestBackend, parameters: &str) -> CollectorResponse {
    let path = format!("{LIST}{parameters}");
    let key = &backend.keys.users.alice;
    backend.client.get(&path, Some(key)).await.unwrap()
}

async fn query(backend: &TestBackend, body: &Value) -> CollectorResponse {
    let key = &backend.keys.users.alice;
    backend.client.post(QUERY, Some(key), body).await.unwrap()
}

/// Three sessions of alice's: `old` with one entry, `mid` with five at two endpoints, `new` with one
/// exchange. And one of bob's.
async fn filled() -> TestBackend {
    let backend = TestBackend::start().await.unwrap();
    let new = named("new", "/api/c", 10);
    let mut samples = vec![named("old", "/api/a", 300), new.response("{}"), new];
    for minutes in [100, 101, 102] {
        samples.push(named("mid", "/api/b", minutes));
    }
    for minutes in [103, 104] {
        samples.push(named("mid", "/api/a", minutes));
    }
    samples.push(Sample::request("bob", "/api/a", minutes_ago(1), "{}").with_session_id("new"));
    store(&backend, &samples).await;
    backend
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_is_ordered_by_latest_activity() {
    let backend = filled().await;
    let answer = list(&backend, "").await;
    let data = &answer.json["data"];
    assert_eq!((&data["total"], &data["page"]), (&json!(3), &json!(1)));
    assert_eq!(
        (&data["page_size"], &data["has_more"]),
        (&json!(20), &json!(false))
    );
    let returned: Vec<_> = sessions(&answer)
        .iter()
        .map(|session| (&session["endpoints"], &session["total_entries"]))
        .collect();
    assert_eq!(
        returned,
        [
            (&json!(["/api/c"]), &json!(2)),
            (&json!(["/api/a", "/api/b"]), &json!(5)),
            (&json!(["/api/a"]), &json!(1)),
        ]
    );
    let middle = &sessions(&answer)[1];
    assert_eq!(middle["user_id"], "alice");
    assert!(Uuid::try_parse(middle["session_id"].as_str().unwrap()).is_ok());
    assert_eq!(
        (&middle["entries_shown"], &middle["has_more_entries"]),
        (&json!(0), &json!(true))
    );
    assert!(middle.get("entries").is_none(), "{middle}");
    let alias = backend
        .client
        .get("/v1/storage/sessions", Some(&backend.keys.users.alice))
        .await
        .unwrap();
    assert_eq!(alias.json["data"], *data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_see_own_sessions_admins_all() {
    let backend = filled().await;
    let (client, people) = (&backend.client, &backend.keys.users);
    let of_bob = client.get(LIST, Some(&people.bob)).await.unwrap();
    let of_alice = ids(&list(&backend, "").await);
    assert_eq!(ids(&of_bob).len(), 1);
    assert!(!of_alice.contains(&ids(&of_bob)[0]));
    let of_all = client.get(LIST, Some(&people.admin)).await.unwrap();
    assert_eq!(ids(&of_all), [ids(&of_bob), of_alice.clone()].concat());
    let path = format!("{LIST}?user_id=alice");
    let asked_for = client.get(&path, Some(&people.admin)).await.unwrap();
    assert_eq!(ids(&asked_for), of_alice);
    let not_bobs = list(&backend, &format!("?session_id={}", ids(&of_bob)[0])).await;
    let nobodys = list(&backend, &format!("?session_id={}", Uuid::now_v7())).await;
    assert_eq!(not_bobs.json["data"], nobodys.json["data"]);
    assert_eq!(ids(&nobodys).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn total_entries_counts_filtered_entries() {
    let backend = filled().await;
    let all = ids(&list(&backend, "").await);
    // With a plus sign that nobody escaped.
    let since = format_rfc3339(minutes_ago(103) - 30 * SECOND).replace('Z', "+00:00");
    let until = format_rfc3339(minutes_ago(101) - 30 * SECOND);
    let middle = &all[1];
    for (parameters, filters, expected) in [
        (
            "?endpoint=/api/a".into(),
            json!({"endpoint": "/api/a"}),
            vec![(1, 2), (2, 1)],
        ),
        (
            "?endpoint=api/a/".into(),
            json!({"endpoint": "api/a/"}),
            vec![(1, 2), (2, 1)],
        ),
        (
            "?storage_type=response".into(),
            json!({"storage_type": "response"}),
            vec![(0, 1)],
        ),
        (
            "?storage_type=both".into(),
            json!({"storage_type": "both"}),
            vec![(0, 2), (1, 5), (2, 1)],
        ),
        (
            format!("?start_date={since}&end_date={until}"),
            json!({"start_date": since, "end_date": until}),
            vec![(1, 2)],
        ),
        (
            format!("?session_id={middle}"),
            json!({"session_id": middle}),
            vec![(1, 5)],
        ),
        (
            "?endpoint=/nowhere".into(),
            json!({"endpoint": "/nowhere"}),
            vec![],
        ),
    ] {
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, count)| (all[*n].as_str(), *count))
            .collect();
        for answer in [
            list(&backend, &parameters).await,
            query(&backend, &filters).await,
        ] {
            let found: Vec<_> = sessions(&answer)
                .iter()
                .map(|it| {
                    (
                        it["session_id"].as_str().unwrap(),
                        it["total_entries"].as_i64().unwrap(),
                    )
                })
                .collect();
            assert_eq!(found, expected, "{filters}");
            assert_eq!(answer.json["data"]["total"], expected.len(), "{filters}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_shows_newest_entries_first() {
    let backend = filled().await;
    let answer = query(
        &backend,
        &json!({"entries_per_session": 2, "endpoint": "/api/b"}),
    )
    .await;
    let session = &sessions(&answer)[0];
    let entries = session["entries"].as_array().unwrap();
    assert_eq!(
        (
            &session["total_entries"],
            &session["entries_shown"],
            &session["has_more_entries"]
        ),
        (&json!(3), &json!(2), &json!(true))
    );
    assert!(entries[0]["created_at"].as_str() > entries[1]["created_at"].as_str());
    for entry in entries {
        assert_eq!(
            (&entry["endpoint"], &entry["data"]),
            (&json!("/api/b"), &json!({"n": 1}))
        );
        assert_eq!(entry["storage_info"]["session_id"], session["session_id"]);
    }
    let whole = query(&backend, &json!({"include": []})).await;
    for session in sessions(&whole) {
        let entries = session["entries"].as_array().unwrap();
        assert_eq!(session["total_entries"], entries.len());
        assert_eq!(
            (&session["entries_shown"], &session["has_more_entries"]),
            (&json!(entries.len()), &json!(false))
        );
        assert!(entries.iter().all(|entry| entry.get("data").is_none()));
    }
    let alias = backend
        .client
        .post(
            "/v1/storage/sessions/query",
            Some(&backend.keys.users.alice),
            &json!({"include": []}),
        )
        .await
        .unwrap();
    assert_eq!(alias.json["data"], whole.json["data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_return_each_session_once() {
    let backend = TestBackend::start().await.unwrap();
    let samples: Vec<_> = (0..7)
        .map(|n| named(&format!("s{n}"), "/api/x", 10 + n))
        .collect();
    store(&backend, &samples).await;
    let all = ids(&list(&backend, "").await);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 7);
    let (mut by_number, mut by_cursor, mut cursor) = (Vec::new(), Vec::new(), Value::Null);
    for page in 1..=3 {
        let answer = list(&backend, &format!("?page_size=3&page={page}")).await;
        assert_eq!(answer.json["data"]["total"], 7);
        assert_eq!(answer.json["data"]["has_more"], page < 3);
        by_number.extend(ids(&answer));
        let answer = query(&backend, &json!({"page_size": 3, "cursor": cursor})).await;
        cursor = answer.json["data"]["next_cursor"].clone();
        by_cursor.extend(ids(&answer));
    }
    assert_eq!((&by_number, &by_cursor, cursor), (&all, &all, Value::Null));
    let upside_down = query(&backend, &json!({"order": "asc"})).await;
    assert_eq!(
        ids(&upside_down),
        all.iter().rev().cloned().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_all_errors_at_once() {
    let backend = TestBackend::start().await.unwrap();
    for (answer, fields) in [
        (
            list(
                &backend,
                "?page=0&page_size=x&session_id=&start_date=soon&entries=1&page=2",
            )
            .await,
            vec!["entries", "page", "page_size", "session_id", "start_date"],
        ),
        (list(&backend, "?page_size=101").await, vec!["page_size"]),
        (
            list(&backend, "?entries_per_session=5").await,
            vec!["entries_per_session"],
        ),
        (
            query(
                &backend,
                &json!({"entries_per_session": 101, "page": 0, "colour": 1}),
            )
            .await,
            vec!["colour", "entries_per_session", "page"],
        ),
        (
            query(&backend, &json!({"entries_per_session": 0})).await,
            vec!["entries_per_session"],
        ),
        (
            query(&backend, &json!({"cursor": "x"})).await,
            vec!["cursor"],
        ),
    ] {
        assert_eq!(
            (answer.status, answer.error_code()),
            (422, "VAL_CONSTRAINT_VIOLATION")
        );
        let returned: BTreeSet<_> = answer.error_fields().into_iter().collect();
        assert_eq!(returned.into_iter().collect::<Vec<_>>(), fields);
    }
    let twice = query(&backend, &json!({"type": "both", "storage_type": "both"})).await;
    let codes = ["NO_RESULTS_FOUND", "PARAMETER_PRECEDENCE"];
    assert_eq!(twice.warning_codes(), codes);
    let spelt = list(&backend, "?endpoint=api/x").await;
    let codes = ["NO_RESULTS_FOUND", "ENDPOINT_NORMALIZED"];
    assert_eq!(spelt.warning_codes(), codes);
    let no_key = backend.client.get(LIST, None).await.unwrap();
    assert_eq!(
        (no_key.status, no_key.error_code()),
        (401, "AUTH_MISSING_TOKEN")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_keep_sessions_apart() {
    let backend = TestBackend::start().await.unwrap();
    let at = |minutes| {
        Sample::request("alice", "/api/x", minutes_ago(minutes), "{}").with_session_timeout(30)
    };
    store(
        &backend,
        &[
            at(50).with_session_group("a"),
            at(49).with_session_group("b"),
            at(48),
        ],
    )
    .await;
    store(
        &backend,
        &[
            at(40).with_session_group("a"),
            at(39).with_session_group("b"),
            at(38),
        ],
    )
    .await;
    let answer = list(&backend, "").await;
    let counts: Vec<_> = sessions(&answer)
        .iter()
        .map(|it| &it["total_entries"])
        .collect();
    assert_eq!(counts, [2, 2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_configuration_divides_sessions() {
    let stack = TestStack::start_with(|plan| {
        plan.bootstrap.plugin()?["defaults"] = json!({
            "storage_type": "both", "session_timeout_minutes": 30,
            "session": {"by": ["endpoint"]},
        });
        plan.bootstrap.plugin()?["routes"] = json!([]);
        Ok(())
    });
    let stack = stack.await.unwrap();
    for target in ["/api/a", "/api/b", "/api/a"] {
        let call = Call::json("alice", target, &json!({}));
        stack.traffic.send(&call).await.unwrap();
    }
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    client
        .wait_for_entries(alice, &json!({}), 6, TIMEOUT)
        .await
        .unwrap();
    let answer = client.get(LIST, Some(alice)).await.unwrap();
    let found: Vec<_> = sessions(&answer)
        .iter()
        .map(|it| (&it["endpoints"], &it["total_entries"]))
        .collect();
    assert_eq!(
        found,
        [
            (&json!(["/api/a"]), &json!(4)),
            (&json!(["/api/b"]), &json!(2))
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_arrivals_at_two_collectors_join_sessions() {
    let backend = TestBackend::start().await.unwrap();
    let second = Collector::start(CollectorPlan {
        listen: ([127, 0, 0, 1], 0).into(),
        data: backend.folder().join("second"),
        log: backend.folder().join("second.log"),
        database_url: Some(format!(
            "postgres:///dossier?user=dossier&host={}",
            backend.folder().join("data/postgres/socket").display()
        )),
        environment: Vec::new(),
    })
    .await
    .unwrap();
    let clients = [
        backend.client.clone(),
        CollectorClient::new(second.address).unwrap(),
    ];
    let at = |minutes| {
        Sample::request("alice", "/api/x", minutes_ago(minutes), "{}").with_session_timeout(30)
    };
    let (early, bridge, late) = (at(100), at(75), at(50));
    let (begin, end) = (
        format_rfc3339(early.record.started_at),
        format_rfc3339(late.record.started_at),
    );
    for (number, sample) in [late, early.response("{}"), bridge, early]
        .into_iter()
        .enumerate()
    {
        let key = Some(backend.keys.ingest.as_str());
        let batch = encode_batch(&[sample]).unwrap();
        let sent = clients[number % 2]
            .ingest(key, Uuid::now_v7(), batch)
            .await
            .unwrap();
        assert_eq!(sent.status, 200, "{}", sent.json);
        if number == 1 {
            assert_eq!(ids(&list(&backend, "").await).len(), 2, "50 minutes apart");
        }
    }
    let answer = list(&backend, "").await;
    let [session] = sessions(&answer) else {
        panic!("{}", answer.json)
    };
    assert_eq!(session["total_entries"], 4);
    assert_eq!(
        (&session["created_at"], &session["last_activity"]),
        (&json!(begin), &json!(end))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_page_has_reason() {
    let backend = filled().await;
    // It belongs to no session: it is no reason for anything.
    let loose = Sample::request("alice", "/api/loose", minutes_ago(1), "{}");
    store(&backend, &[loose]).await;
    let filters = |answer: &CollectorResponse| -> Vec<(String, u64)> {
        let details = &answer.warning("NO_RESULTS_FOUND")["details"];
        let filters = details["filters"].as_array().unwrap().iter();
        let pair = |it: &Value| {
            (
                text(it, "filter").to_owned(),
                it["matches_alone"].as_u64().unwrap(),
            )
        };
        filters.map(pair).collect()
    };
    let unknown = "0190d5a0-0000-7000-8000-000000000001";
    for (parameters, question, alone, removing) in [
        (
            "?endpoint=/api/c&storage_type=request&start_date=2100-01-01".to_owned(),
            json!({"endpoint": "/api/c", "storage_type": "request", "start_date": "2100-01-01"}),
            vec![("storage_type", 7), ("endpoint", 2), ("start_date", 0)],
            json!(["start_date"]),
        ),
        (
            format!("?session_id={unknown}"),
            json!({ "session_id": unknown }),
            vec![("session_id", 0)],
            json!(["session_id"]),
        ),
        (
            "?endpoint=/api/loose".to_owned(),
            json!({"endpoint": "/api/loose"}),
            vec![("endpoint", 0)],
            json!(["endpoint"]),
        ),
    ] {
        for answer in [
            list(&backend, &parameters).await,
            query(&backend, &question).await,
        ] {
            assert!(sessions(&answer).is_empty());
            assert_eq!(answer.warning_codes(), ["NO_RESULTS_FOUND"], "{question}");
            let warning = answer.warning("NO_RESULTS_FOUND");
            assert_eq!(warning["severity"], "MEDIUM");
            assert_eq!(warning["details"]["removing"], removing, "{question}");
            let found = filters(&answer);
            let found: Vec<_> = found
                .iter()
                .map(|(name, count)| (name.as_str(), *count))
                .collect();
            assert_eq!(found, alone, "{question}");
        }
    }
    let answer = query(
        &backend,
        &json!({"metadata_filters": {"model": "x"}, "status": 200}),
    )
    .await;
    let warning = answer.warning("NO_RESULTS_FOUND");
    assert_eq!(
        warning["details"]["removing"],
        json!(["metadata_filters.model"])
    );
    let message = "No sessions match. Without metadata_filters.model there would be results.";
    assert_eq!(warning["message"], message);

    let answer = list(&backend, "?endpoint=/api/nowhere").await;
    let nearest = &answer.warning("NO_RESULTS_FOUND")["details"]["nearest_endpoints"];
    assert!(nearest.as_array().unwrap().contains(&json!("/api/a")));
    for answer in [
        list(&backend, "?page=3&page_size=2").await,
        query(&backend, &json!({"page": 3, "page_size": 2})).await,
    ] {
        let details = json!({"page": 3, "pages": 2, "total": 3, "total_exact": true});
        assert_eq!(answer.warning("NO_RESULTS_FOUND")["details"], details);
    }
    let answer = query(&backend, &json!({"page_size": 3})).await;
    assert!(answer.warning_codes().is_empty(), "{}", answer.json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_without_index_is_refused() {
    let backend = TestBackend::start().await.unwrap();
    let answer = query(&backend, &json!({"search": "words"})).await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (501, "SEARCH_NOT_ENABLED")
    );
    let answer = query(&backend, &json!({"search": 1, "page": 0})).await;
    assert_eq!(answer.status, 422, "{}", answer.json);
    let answer = list(&backend, "?search=words").await;
    assert_eq!(
        (answer.status, answer.error_fields()),
        (422, vec!["search"])
    );
}

//! `POST /storage/query`: metadata, endpoints, dates, warnings. And what an older store did wrong.

use std::borrow::Cow;
use std::num::NonZeroU32;

use dossier_tests::client::CollectorResponse;
use dossier_tests::clock::{format_rfc3339, minutes_ago, now_micros};
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use serde_json::{Value, json};

use crate::support::store;

const DAY: u64 = 24 * 60;

/// A request of alice with metadata.
fn with(minutes: u64, endpoint: &str, metadata: &Value) -> Sample {
    let mut sample = Sample::request("alice", endpoint, minutes_ago(minutes), "{}");
    let metadata = metadata.as_object().unwrap();
    sample.record.metadata.clone_from(metadata);
    sample
}

async fn stored(samples: &[Sample]) -> TestBackend {
    let backend = TestBackend::start().await.unwrap();
    store(&backend, samples).await;
    backend
}

async fn ask(backend: &TestBackend, question: &Value) -> CollectorResponse {
    let alice = &backend.keys.users.alice;
    backend.client.query(alice, question).await.unwrap()
}

/// What stands under `name` in the metadata of each entry that a question finds, sorted.
async fn named(backend: &TestBackend, question: &Value) -> Vec<String> {
    let answer = ask(backend, question).await;
    assert_eq!(answer.status, 200, "{question}: {}", answer.json);
    let items = answer.items().iter();
    let names = items.map(|item| item["storage_info"]["name"].as_str().unwrap().to_owned());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

async fn metadata_backend() -> TestBackend {
    let all = [
        json!({"name": "a", "model": "gpt-4", "n": 1, "usage": {"tokens": 10}, "tags": ["x", "y"]}),
        json!({"name": "b", "model": "gpt-4o", "n": "1", "usage": {"tokens": 20}, "tags": "x, z"}),
        json!({"name": "c", "model": "claude", "n": null, "usage": {"tokens": "15"}, "flag": true}),
        json!({"name": "d", "usage.tokens": 99, "day": "2026-03-01", "n": 1.5, "deep": {"c.d": 3}}),
    ];
    let samples = all.iter().enumerate();
    let samples: Vec<_> = samples
        .map(|(place, metadata)| with(10 - place as u64, "/api/x", metadata))
        .collect();
    stored(&samples).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_filters_match_named_values() {
    let backend = metadata_backend().await;
    for (filters, names) in [
        (json!({}), "abcd"),
        (json!({"model": "gpt-4"}), "a"),
        (json!({"model": "GPT-4"}), ""),
        (json!({"n": 1}), "a"),
        (json!({"n": 1.0}), "a"),
        (json!({"n": "1"}), "b"),
        (json!({"flag": true}), "c"),
        (json!({"flag": "true"}), ""),
        (json!({"usage.tokens": 10}), "a"),
        (json!({"usage.tokens": {"gte": 10}}), "abd"),
        (json!({"usage.tokens": {"gt": 10}}), "bd"),
        (json!({"usage.tokens": {"gte": 10, "lt": 20}}), "a"),
        (json!({"usage.tokens": {"lte": 20}}), "ab"),
        (json!({"usage.tokens": {"lte": "2"}}), "c"),
        (
            json!({"day": {"gte": "2026-02-28", "lt": "2026-03-02"}}),
            "d",
        ),
        (json!({"model": {"regex": "^gpt"}}), "ab"),
        (json!({"model": {"regex": "4$"}}), "a"),
        (json!({"n": {"regex": "1"}}), "b"),
        (json!({"model": {"in": ["gpt-4", "claude"]}}), "ac"),
        (json!({"n": {"in": [1, null]}}), "ac"),
        (json!({"model": {"exists": true}}), "abc"),
        (json!({"model": {"exists": false}}), "d"),
        (json!({"n": {"exists": true}}), "abcd"),
        (json!({"usage": {"exists": true}}), "abc"),
        (json!({"tags": {"contains": "x"}}), "ab"),
        (json!({"tags": {"contains": ["y", "x"]}}), "a"),
        (json!({"usage": {"contains": "tokens"}}), "abc"),
        (json!({"usage": {"contains": "token"}}), ""),
        (json!({"tags.1": "y"}), "a"),
        (json!({"tags.-1": "y"}), "a"),
        (json!({"tags.-3": "y"}), ""),
        (json!({r"deep.c\.d": 3}), "d"),
        (json!({"deep.c.d": 3}), ""),
        (json!({r"usage\.tokens": 99}), "d"),
        (json!({"usage": {"contains": {"tokens": 20}}}), "b"),
        (
            json!({"model": "gpt-4", "n": 1, "usage.tokens": {"lt": 11}}),
            "a",
        ),
        (json!({"model": "gpt-4", "n": "1"}), ""),
        (json!({"session_id": {"exists": true}}), ""),
        (json!({"session_id": {"exists": false}}), "abcd"),
        (json!({"' or true --": "x"}), ""),
    ] {
        let names: Vec<_> = names.chars().map(String::from).collect();
        let found = named(&backend, &json!({"metadata_filters": filters})).await;
        assert_eq!(found, names, "{filters}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_filter_does_not_match_missing_keys() {
    let backend = metadata_backend().await;
    let of = |key: &str| json!({"metadata_filters": {key: null}});
    assert_eq!(named(&backend, &of("n")).await, ["c"]);
    assert!(named(&backend, &of("model")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_all_filter_errors_at_once() {
    let backend = TestBackend::start().await.unwrap();
    let question = json!({
        "metadata_filters": {
            "a": {"regex": "("},
            "b": {"contians": 1},
            "c": [1],
            "d": {"regex": "ok"},
        },
        "page": 0,
    });
    let answer = ask(&backend, &question).await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (422, "VAL_CONSTRAINT_VIOLATION"),
        "validation errors must not answer 401: {}",
        answer.json
    );
    let mut fields = answer.error_fields();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "metadata_filters.a.regex",
            "metadata_filters.b.contians",
            "metadata_filters.c",
            "page"
        ]
    );
    assert!(answer.json.to_string().contains("did you mean contains?"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_without_index_is_refused() {
    let backend = TestBackend::start().await.unwrap();
    let answer = ask(&backend, &json!({"search": "words"})).await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (501, "SEARCH_NOT_ENABLED")
    );
    let answer = ask(&backend, &json!({"search": 1, "page": 0})).await;
    assert_eq!(answer.status, 422, "{}", answer.json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_aliases_answer_the_same() {
    let backend = stored(&[with(1, "/api/x", &json!({}))]).await;
    let alice = &backend.keys.users.alice;
    let answer = ask(&backend, &json!({})).await;
    let alias = backend
        .client
        .post("/v1/storage/query", Some(alice), &json!({}))
        .await
        .unwrap();
    assert_eq!(answer.items().len(), 1);
    assert_eq!(answer.json["data"], alias.json["data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_spellings_find_each_row_once() {
    let samples = [
        with(9, "/api/v1/Chat", &json!({"name": "chat"})),
        with(8, "/api/v1/Chat/", &json!({"name": "chat/"})),
        with(7, "/two", &json!({"name": "two"})),
        with(6, "/Two", &json!({"name": "Two"})),
        with(5, "/api/sum", &json!({"name": "sum"})),
        with(4, "/v1/sum", &json!({"name": "v1"})),
    ];
    let backend = stored(&samples).await;
    for (given, names, normalized) in [
        ("/api/v1/Chat", &["chat", "chat/"][..], None),
        ("/api/v1/Chat/", &["chat", "chat/"], Some("/api/v1/Chat")),
        ("api//v1/Chat?x=1", &["chat", "chat/"], Some("/api/v1/Chat")),
        ("/API/V1/chat", &["chat", "chat/"], Some("/api/v1/Chat")),
        ("/chat", &["chat", "chat/"], Some("/api/v1/Chat")),
        ("/api/chat/", &["chat", "chat/"], Some("/api/v1/Chat")),
        ("/two", &["two"], None),
        ("/Two", &["Two"], None),
        ("/api/v2/chat", &[], None),
        ("/TWO", &[], None),
        ("/sum", &[], None),
    ] {
        let question = json!({"endpoint": given});
        assert_eq!(named(&backend, &question).await, names, "{given}");
        let answer = ask(&backend, &question).await;
        let warning = answer.warning("ENDPOINT_NORMALIZED");
        let Some(normalized) = normalized else {
            assert!(warning.is_null(), "{given}: {warning}");
            continue;
        };
        assert_eq!(warning["severity"], "LOW");
        let details = json!({"original": given, "normalized": normalized});
        assert_eq!(warning["details"], details);
    }
    let answer = ask(&backend, &json!({"endpoint": "/sum"})).await;
    let warning = answer.warning("NO_RESULTS_FOUND");
    assert_eq!(
        warning["details"]["nearest_endpoints"],
        json!(["/api/sum", "/v1/sum"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_endpoint_returns_no_rows() {
    let mut of_bob = Sample::request("bob", "/api/secret", minutes_ago(1), "{}");
    of_bob.record.metadata = json!({"name": "bob"}).as_object().unwrap().clone();
    let backend = stored(&[with(1, "/api/chat", &json!({"name": "a"})), of_bob]).await;
    for endpoint in ["/nothing", "/secret", "/api/secret", "/", "%", "/api/%"] {
        let answer = ask(&backend, &json!({"endpoint": endpoint})).await;
        assert_eq!(answer.json["data"]["total"], 0, "{endpoint}");
        let warning = answer.warning("NO_RESULTS_FOUND");
        assert_eq!(
            warning["details"]["nearest_endpoints"],
            json!(["/api/chat"])
        );
        assert_eq!(warning["details"]["removing"], json!(["endpoint"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_page_has_reason() {
    let samples: Vec<_> = (0..5)
        .map(|place| {
            let model = if place < 3 { "gpt-4" } else { "claude" };
            let endpoint = if place < 3 { "/api/a" } else { "/api/b" };
            with(place + 1, endpoint, &json!({ "model": model }))
        })
        .collect();
    let backend = stored(&samples).await;
    let alone = |details: &Value| -> Vec<(String, u64)> {
        let filters = details["filters"].as_array().unwrap().iter();
        let pair = |it: &Value| {
            Some((
                it["filter"].as_str()?.to_owned(),
                it["matches_alone"].as_u64()?,
            ))
        };
        filters.map(|filter| pair(filter).unwrap()).collect()
    };
    for (question, filters, removing, together) in [
        (
            json!({"endpoint": "/api/a", "metadata_filters": {"model": "gpt-9"}}),
            &[("endpoint", 3), ("metadata_filters.model", 0)][..],
            &["metadata_filters.model"][..],
            false,
        ),
        (
            json!({"endpoint": "/api/b", "metadata_filters": {"model": "gpt-4"}}),
            &[("endpoint", 2), ("metadata_filters.model", 3)],
            &["endpoint", "metadata_filters.model"],
            false,
        ),
        (
            json!({"status": 404, "method": "PUT", "type": "request"}),
            &[("storage_type", 5), ("status", 0), ("method", 0)],
            &["status", "method"],
            true,
        ),
        (
            json!({"start_date": "2100-01-01T02:00:00+02:00"}),
            &[("start_date", 0)],
            &["start_date"],
            false,
        ),
    ] {
        let answer = ask(&backend, &question).await;
        assert_eq!(answer.items().len(), 0);
        assert_eq!(answer.warning_codes(), ["NO_RESULTS_FOUND"], "{question}");
        let warning = answer.warning("NO_RESULTS_FOUND");
        assert_eq!(warning["severity"], "MEDIUM");
        let details = &warning["details"];
        let expected = filters
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        assert_eq!(alone(details), expected.collect::<Vec<_>>(), "{question}");
        assert_eq!(details["removing"], json!(removing), "{question}");
        assert_eq!(details["together"], together, "{question}");
        assert_eq!(details["exact"], true, "{question}");
    }
    let answer = ask(
        &backend,
        &json!({"start_date": "2100-01-01T02:00:00+02:00"}),
    )
    .await;
    let filters = &answer.warning("NO_RESULTS_FOUND")["details"]["filters"];
    assert_eq!(filters[0]["value"], "2100-01-01T00:00:00Z");

    let people = &backend.keys.users;
    let answer = backend.client.query(&people.bob, &json!({})).await.unwrap();
    let warning = answer.warning("NO_RESULTS_FOUND");
    assert_eq!(warning["details"]["filters"], json!([]));
    let question = json!({"user_id": "carol", "status": 200});
    let answer = backend
        .client
        .query(&people.admin, &question)
        .await
        .unwrap();
    let details = &answer.warning("NO_RESULTS_FOUND")["details"];
    assert_eq!(
        alone(details),
        [("user_id".to_owned(), 0), ("status".to_owned(), 0)]
    );
    assert_eq!(details["removing"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_past_end_has_reason() {
    let samples: Vec<_> = (0..5)
        .map(|place| with(place + 1, "/x", &json!({})))
        .collect();
    let backend = stored(&samples).await;
    let answer = ask(&backend, &json!({"page": 4, "page_size": 2, "status": 200})).await;
    assert_eq!(answer.json["data"]["total"], 5);
    let warning = answer.warning("NO_RESULTS_FOUND");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("past the end")
    );
    assert_eq!(
        warning["details"],
        json!({"page": 4, "pages": 3, "total": 5, "total_exact": true})
    );
    let answer = ask(&backend, &json!({"page": 3, "page_size": 2})).await;
    assert_eq!((answer.items().len(), answer.warning_codes().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_filters_give_one_warning() {
    let sample = with(1, "/x", &json!({"name": "a"})).with_session_timeout(5);
    let backend = stored(&[sample, with(2, "/x", &json!({"name": "b"}))]).await;
    let entries = ask(&backend, &json!({"metadata_filters": {"name": "a"}})).await;
    let session = &entries.items()[0]["storage_info"]["session_id"];
    let other = "0190d5a0-0000-7000-8000-000000000001";
    let message = "Both session_id parameter and metadata_filters['session_id'] provided. Using session_id parameter.";
    let question = json!({"session_id": session, "metadata_filters": {"session_id": other}});
    assert_eq!(named(&backend, &question).await, ["a"]);
    let answer = ask(&backend, &question).await;
    let warning = answer.warning("PARAMETER_PRECEDENCE");
    assert_eq!(
        (&warning["message"], &warning["severity"]),
        (&json!(message), &json!("LOW"))
    );

    let question = json!({"metadata_filters": {"session_id": session}});
    assert_eq!(named(&backend, &question).await, ["a"]);
    assert!(ask(&backend, &question).await.warning_codes().is_empty());

    let first = ask(&backend, &json!({"page_size": 1})).await;
    let question = json!({
        "type": "response", "storage_type": "request", "page": 9, "page_size": 1,
        "cursor": first.json["data"]["next_cursor"], "status": 1000,
    });
    assert_eq!(ask(&backend, &question).await.error_fields(), ["status"]);
    let question = json!({
        "type": "response", "storage_type": "request", "page": 9, "page_size": 1,
        "cursor": first.json["data"]["next_cursor"], "endpoint": "x/",
    });
    assert_eq!(named(&backend, &question).await, ["b"]);
    let answer = ask(&backend, &question).await;
    let mut codes = answer.warning_codes();
    codes.sort_unstable();
    assert_eq!(codes, ["ENDPOINT_NORMALIZED", "PARAMETER_PRECEDENCE"]);
    let message = answer.warning("PARAMETER_PRECEDENCE")["message"].to_string();
    assert!(
        message.contains("storage_type") && message.contains("cursor"),
        "{message}"
    );

    let question = json!({"type": "response", "storage_type": "request", "status": 404});
    let codes = ask(&backend, &question).await;
    assert_eq!(
        codes.warning_codes(),
        ["NO_RESULTS_FOUND", "PARAMETER_PRECEDENCE"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursor_keeps_total_of_its_query_only() {
    let samples: Vec<_> = (0..7)
        .map(|place| with(place + 1, "/x", &json!({"even": place % 2 == 0})))
        .collect();
    let backend = stored(&samples).await;
    let first = ask(&backend, &json!({"page_size": 2})).await;
    let cursor = &first.json["data"]["next_cursor"];
    let question = json!({"page_size": 3, "cursor": cursor});
    assert_eq!(ask(&backend, &question).await.json["data"]["total"], 7);
    let question = json!({"page_size": 2, "cursor": cursor, "metadata_filters": {"even": true}});
    assert_eq!(ask(&backend, &question).await.json["data"]["total"], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_offsets_and_explicit_midnight() {
    let midnight = (now_micros() / (DAY * 60_000_000)) * DAY * 60_000_000;
    let at = |micros, name| {
        let mut sample = with(0, "/x", &json!({ "name": name }));
        for time in [
            &mut sample.record.started_at,
            &mut sample.record.first_byte_at,
            &mut sample.record.ended_at,
        ] {
            *time = micros;
        }
        sample
    };
    let yesterday = midnight - DAY * 60_000_000;
    let samples = [
        at(yesterday, "first"),
        at(yesterday + 1, "second"),
        at(midnight - 1, "last"),
        at(midnight, "next"),
    ];
    let backend = stored(&samples).await;
    let (day, next) = (format_rfc3339(yesterday), format_rfc3339(midnight));
    let (day, next) = (day[..10].to_owned(), next[..10].to_owned());
    for (from, to, names) in [
        (day.clone(), day.clone(), &["first", "last", "second"][..]),
        (day.clone(), format!("{day}T00:00:00Z"), &["first"]),
        (
            format!("{day}T02:00:00+02:00"),
            format!("{day}T02:00:00+02:00"),
            &["first"],
        ),
        (
            format!("{day}T00:00:00.000001Z"),
            format!("{next}T00:00:00Z"),
            &["last", "next", "second"],
        ),
        (
            format!("{day}T18:59:59.999999-05:00"),
            next.clone(),
            &["last", "next"],
        ),
    ] {
        let question = json!({"start_date": from, "end_date": to});
        assert_eq!(named(&backend, &question).await, names, "{question}");
    }
    let backwards = json!({"start_date": next, "end_date": day});
    assert_eq!(
        ask(&backend, &backwards).await.error_fields(),
        ["start_date"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn type_both_matches_both_halves() {
    let request = with(1, "/x", &json!({}));
    let backend = stored(&[request.clone(), request.response("{}")]).await;
    for (field, word) in [("type", "both"), ("storage_type", "BOTH")] {
        let answer = ask(&backend, &json!({ field: word })).await;
        assert_eq!(answer.json["data"]["total"], 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_returns_expired_rows() {
    let mut expired = with(2 * DAY, "/gone", &json!({"name": "gone"}));
    expired.record.ttl_days = NonZeroU32::new(1);
    let mut alive = with(2 * DAY, "/alive", &json!({"name": "alive"}));
    alive.record.ttl_days = NonZeroU32::new(3);
    let backend = stored(&[expired.clone(), alive]).await;
    assert_eq!(named(&backend, &json!({})).await, ["alive"]);
    for question in [
        json!({"endpoint": "/gone"}),
        json!({"endpoint": "/GONE"}),
        json!({"exchange_id": expired.record.exchange_id}),
        json!({"metadata_filters": {"name": "gone"}}),
        json!({"end_date": format_rfc3339(expired.record.started_at + 1), "metadata_filters": {"name": "gone"}}),
    ] {
        let answer = ask(&backend, &question).await;
        assert_eq!(answer.json["data"]["total"], 0, "{question}");
        let details = &answer.warning("NO_RESULTS_FOUND")["details"];
        let nearest = &details["nearest_endpoints"];
        assert!(
            nearest.is_null() || *nearest == json!(["/alive"]),
            "{details}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_reach_rows_beyond_first_page() {
    let samples: Vec<_> = (0..250)
        .map(|place| {
            let mut sample = with(
                0,
                "/x",
                &json!({"name": format!("{place:03}"), "third": place % 3 == 0}),
            );
            // Later ones have lower names, so that the order is not that of arrival.
            let at = minutes_ago(1000 + place);
            sample.record.started_at = at;
            sample.record.first_byte_at = at;
            sample.record.ended_at = at;
            sample
        })
        .collect();
    let backend = stored(&samples).await;
    let alice = &backend.keys.users.alice;
    let question = json!({"metadata_filters": {"third": true}, "page_size": 100});
    let answer = ask(&backend, &question).await;
    assert_eq!(answer.json["data"]["total"], 84);
    let oldest = json!({"metadata_filters": {"name": "249"}});
    assert_eq!(named(&backend, &oldest).await, ["249"]);
    let all = backend.client.query_all(alice, &question).await.unwrap();
    let names: Vec<_> = all
        .iter()
        .map(|it| it["storage_info"]["name"].as_str().unwrap())
        .collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!((names.len(), names), (84, sorted), "latest first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_and_non_json_bodies_read_back() {
    let long = json!({"text": "word ".repeat(200)});
    let compressed = Sample::request("alice", "/json", minutes_ago(3), &long.to_string());
    let mut text = Sample::request("alice", "/text", minutes_ago(2), "plain words");
    text.record.content_type = Some(Cow::Borrowed("text/plain"));
    let mut binary = Sample::request("alice", "/binary", minutes_ago(1), "");
    binary.body = vec![0, 159, 146, 150];
    binary.record.body_size = 4;
    binary.record.content_type = Some(Cow::Borrowed("application/octet-stream"));
    let backend = stored(&[compressed, text, binary]).await;
    for (endpoint, form, data) in [
        ("/json", "json", long),
        ("/text", "text", json!("plain words")),
        ("/binary", "binary", json!("AJ+Slg==")),
    ] {
        let answer = ask(&backend, &json!({ "endpoint": endpoint })).await;
        let entry = &answer.items()[0];
        assert_eq!(entry["content"]["form"], form, "{endpoint}");
        assert_eq!(entry["data"], data, "{endpoint}");
    }
    let answer = ask(&backend, &json!({"endpoint": "/json"})).await;
    let content = &answer.items()[0]["content"];
    assert!(
        content["stored_size"].as_u64() < content["size"].as_u64(),
        "it is compressed"
    );
}

//! `POST /storage/query`: filters, order, pages, and how wrong questions are answered.

use dossier_wire::VariantArray;
use std::borrow::Cow;
use std::num::NonZeroU32;

use dossier_tests::clock::{format_rfc3339, minutes_ago};
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use dossier_wire::BodyMissing;
use serde_json::{Value, json};

use crate::support::store;

const ENTRIES: u64 = 25;

/// Twenty-five requests of alice, one a minute, of which every fifth has an answer with status 500.
async fn filled() -> (TestBackend, Vec<Sample>) {
    let backend = TestBackend::start().await.unwrap();
    let mut samples = Vec::new();
    for number in 0..ENTRIES {
        let endpoint = if number % 2 == 0 {
            "/api/even"
        } else {
            "/api/Odd"
        };
        let at = minutes_ago(1000 - number);
        let body = format!("{{\"n\":{number}}}");
        let mut request = Sample::request("alice", endpoint, at, &body).with_session_timeout(30);
        if number % 5 == 0 {
            request.record.status = Some(500);
            request.record.method = Cow::Borrowed("PUT");
            samples.push(request.response("{\"failed\":true}"));
        }
        samples.push(request);
    }
    store(&backend, &samples).await;
    (backend, samples)
}

async fn ask(backend: &TestBackend, filters: &Value) -> Vec<Value> {
    backend
        .client
        .query_all(&backend.keys.users.alice, filters)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_match_named_values() {
    let (backend, samples) = filled().await;
    let exchange = samples[0].record.exchange_id;
    let session =
        &ask(&backend, &json!({"page_size": 1})).await[0]["storage_info"]["session_id"].clone();
    for (filters, count) in [
        (json!({}), 30),
        (json!({"storage_type": "both"}), 30),
        (json!({"storage_type": "request"}), 25),
        (json!({"storage_type": "RESPONSE"}), 5),
        (json!({"type": "response"}), 5),
        (json!({"endpoint": "/api/even"}), 13 + 3),
        (
            json!({"endpoint": "/api/Odd", "storage_type": "request"}),
            12,
        ),
        (json!({"endpoint": "/api/none"}), 0),
        (json!({"status": 500}), 10),
        (json!({"status": 500, "storage_type": "request"}), 5),
        (json!({"status": 404}), 0),
        (json!({"method": "PUT"}), 10),
        (json!({"method": "POST"}), 20),
        (json!({"exchange_id": exchange}), 2),
        (json!({"session_id": session}), 30),
        (
            json!({"endpoint": "/api/even", "status": 200, "method": "POST"}),
            10,
        ),
    ] {
        assert_eq!(ask(&backend, &filters).await.len(), count, "{filters}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_are_inclusive_instants_or_whole_days() {
    let (backend, samples) = filled().await;
    let requests: Vec<_> = samples
        .iter()
        .filter(|it| it.record.half == dossier_wire::Half::Request)
        .collect();
    let (third, fifth) = (
        format_rfc3339(requests[2].record.started_at),
        format_rfc3339(requests[4].record.started_at),
    );
    let only = |filters: Value| json!({"storage_type": "request", "start_date": filters[0], "end_date": filters[1]});
    assert_eq!(ask(&backend, &only(json!([third, fifth]))).await.len(), 3);
    assert_eq!(
        ask(
            &backend,
            &json!({"storage_type": "request", "start_date": third})
        )
        .await
        .len(),
        23
    );
    assert_eq!(
        ask(
            &backend,
            &json!({"storage_type": "request", "end_date": third})
        )
        .await
        .len(),
        3
    );
    let day = |text: &str| text[..10].to_owned();
    let (first, last) = (
        day(&format_rfc3339(requests[0].record.started_at)),
        day(&format_rfc3339(requests[24].record.started_at)),
    );
    assert_eq!(ask(&backend, &only(json!([first, last]))).await.len(), 25);
    assert_eq!(
        ask(&backend, &json!({"start_date": "2100-01-01"}))
            .await
            .len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_return_each_entry_once_in_order() {
    let (backend, _) = filled().await;
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    for order in ["desc", "asc"] {
        let whole = ask(&backend, &json!({"order": order})).await;
        let mut sorted = whole.clone();
        sorted.sort_by_key(|entry| {
            (
                entry["created_at"].as_str().unwrap().to_owned(),
                entry["id"].as_u64(),
            )
        });
        if order == "desc" {
            sorted.reverse();
        }
        assert_eq!(whole, sorted, "{order}");

        let (mut by_number, mut by_cursor, mut cursor) = (Vec::new(), Vec::new(), Value::Null);
        for page in 1..=5 {
            let filters = json!({"order": order, "page_size": 7, "page": page});
            let answer = client.query(alice, &filters).await.unwrap();
            let data = &answer.json["data"];
            assert_eq!(
                (&data["total"], &data["page"], &data["page_size"]),
                (&json!(30), &json!(page), &json!(7))
            );
            assert_eq!(data["has_more"], page < 5);
            by_number.extend_from_slice(answer.items());

            let mut filters = json!({"order": order, "page_size": 7});
            if cursor.is_string() {
                filters["cursor"] = cursor;
            }
            let answer = client.query(alice, &filters).await.unwrap();
            by_cursor.extend_from_slice(answer.items());
            cursor = answer.json["data"]["next_cursor"].clone();
        }
        assert_eq!(by_number, whole);
        assert_eq!(by_cursor, whole);
        assert!(cursor.is_null(), "after the last page there is none");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_field_error_suggests_nearest() {
    let backend = TestBackend::start().await.unwrap();
    let answer = backend
        .client
        .query(&backend.keys.users.alice, &json!({"page_sise": 5}))
        .await
        .unwrap();
    assert_eq!(answer.status, 422, "{}", answer.json);
    assert!(answer.error_code().starts_with("VAL_"), "{}", answer.json);
    assert_eq!(answer.error_fields(), ["page_sise"]);
    assert!(
        answer.json.to_string().contains("page_size"),
        "{}",
        answer.json
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_all_errors_at_once() {
    let backend = TestBackend::start().await.unwrap();
    let wrong = json!({
        "storage_type": "neither",
        "page": 0,
        "page_size": 101,
        "start_date": "yesterday",
        "exchange_id": "42",
        "order": "sideways",
        "status": "teapot",
        "nonsense": true,
    });
    let answer = backend
        .client
        .query(&backend.keys.users.alice, &wrong)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &answer.json["success"]),
        (422, &json!(false)),
        "{}",
        answer.json
    );
    let mut fields = answer.error_fields();
    fields.sort_unstable();
    let expected = [
        "exchange_id",
        "nonsense",
        "order",
        "page",
        "page_size",
        "start_date",
        "status",
        "storage_type",
    ];
    assert_eq!(fields, expected);
    let backwards = json!({"start_date": "2026-02-02", "end_date": "2026-02-01"});
    let answer = backend
        .client
        .query(&backend.keys.users.alice, &backwards)
        .await
        .unwrap();
    assert_eq!(answer.status, 422, "{}", answer.json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_json_object_is_accepted() {
    let backend = TestBackend::start().await.unwrap();
    for body in [json!([]), json!("text"), json!(null)] {
        let answer = backend
            .client
            .query(&backend.keys.users.alice, &body)
            .await
            .unwrap();
        assert!(
            matches!(answer.status, 400 | 422),
            "{body}: {}",
            answer.json
        );
        assert!(
            answer.error_code().starts_with("VAL_"),
            "{body}: {}",
            answer.json
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_has_recorded_values() {
    let backend = TestBackend::start().await.unwrap();
    let mut sample =
        Sample::request("alice", "/api/x", minutes_ago(1), " {\"n\": 1}").with_session_timeout(5);
    sample.record.ttl_days = NonZeroU32::new(30);
    sample.record.metadata = json!({"model": "gpt-4"}).as_object().unwrap().clone();
    store(&backend, &[sample.clone()]).await;
    let entry = &ask(&backend, &json!({})).await[0];
    assert!(entry["id"].is_u64());
    assert_eq!(entry["type"], "request");
    assert_eq!(entry["endpoint"], "/api/x");
    assert_eq!(entry["user_id"], "alice");
    assert_eq!(entry["exchange_id"], json!(sample.record.exchange_id));
    assert_eq!(
        (&entry["method"], &entry["path"], &entry["status"]),
        (&json!("POST"), &json!("/api/x"), &json!(200))
    );
    assert_eq!(entry["data"], json!({"n": 1}));
    assert_eq!(entry["storage_info"]["model"], "gpt-4");
    assert!(entry["storage_info"]["session_id"].is_string());
    let content = &entry["content"];
    assert_eq!(
        (&content["form"], &content["size"]),
        (&json!("json"), &json!(9))
    );
    assert_eq!(
        (&content["truncated"], &content["completion"]),
        (&json!(false), &json!("complete"))
    );
    for field in ["created_at", "ttl"] {
        assert!(
            entry[field].as_str().unwrap().ends_with('Z'),
            "{field} of {entry}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_has_headers_and_exchange_details() {
    let backend = TestBackend::start().await.unwrap();
    let mut sample = Sample::request("alice", "/api/x", minutes_ago(1), "{\"n\":1}");
    let pair = |name, value| (Cow::Borrowed(name), Cow::Borrowed(value));
    sample.record.headers = vec![pair("b", "1"), pair("a", "2"), pair("b", "3")];
    sample.record.trailers = vec![pair("grpc-status", "0")];
    sample.record.redactions = [("email", 2), ("$.password", 1)]
        .map(|(rule, count)| (Cow::Borrowed(rule), count))
        .into();
    sample.record.response_flags = 1 << 40;
    sample.record.response_details = Some(Cow::Borrowed("route_not_found"));
    sample.record.upstream_host = Some(Cow::Borrowed("127.0.0.1:8081"));
    sample.record.workload = Some(Cow::Borrowed("shop"));
    let plain = Sample::request("alice", "/api/plain", minutes_ago(2), "{}");
    store(&backend, &[sample, plain]).await;

    let entries = ask(&backend, &json!({"include": ["headers", "data"]})).await;
    let headers = json!([["b", "1"], ["a", "2"], ["b", "3"]]);
    assert_eq!(entries[0]["headers"], headers);
    assert_eq!(entries[0]["trailers"], json!([["grpc-status", "0"]]));
    assert_eq!(entries[0]["data"], json!({"n": 1}));
    assert_eq!(entries[0]["content"]["redactions"], 3);
    let account = json!({
        "response_flags": 1_u64 << 40, "response_details": "route_not_found",
        "upstream_host": "127.0.0.1:8081", "workload": "shop",
    });
    assert_eq!(entries[0]["proxy"], account);
    assert_eq!(entries[1]["headers"], json!([]));
    assert_eq!(entries[1]["trailers"], json!([]));
    assert_eq!(entries[1]["content"]["redactions"], 0);
    assert!(entries[1].get("proxy").is_none(), "{}", entries[1]);

    let headers_alone = &ask(&backend, &json!({"include": ["headers"]})).await[0];
    assert_eq!(headers_alone["headers"], headers);
    assert!(headers_alone.get("data").is_none(), "{headers_alone}");
    for filters in [json!({}), json!({"include": ["data"]})] {
        let entry = &ask(&backend, &filters).await[0];
        assert_eq!(entry["data"], json!({"n": 1}));
        assert!(entry.get("headers").is_none() && entry.get("trailers").is_none());
    }
    let wrong = json!({"include": ["header"]});
    let answer = backend
        .client
        .query(&backend.keys.users.alice, &wrong)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.error_fields()),
        (422, vec!["include"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_body_has_reason() {
    const DAY: u64 = 24 * 60;
    let backend = TestBackend::start().await.unwrap();
    let mut samples: Vec<_> = BodyMissing::VARIANTS
        .iter()
        .map(|&reason| {
            let mut sample = Sample::request("alice", "/api/x", minutes_ago(1), "");
            sample.record.body_missing = Some(reason);
            sample.record.body_size = 7;
            sample
        })
        .collect();
    // The body lived a day, the entry lives on.
    for (age, body_ttl_days) in [(2 * DAY, 1), (2 * DAY, 3)] {
        let mut sample = Sample::request("alice", "/api/x", minutes_ago(age), "{}");
        sample.record.ttl_days = NonZeroU32::new(30);
        sample.record.body_ttl_days = NonZeroU32::new(body_ttl_days);
        samples.push(sample);
    }
    store(&backend, &samples).await;
    for (sample, missing) in samples.iter().zip([
        json!("dropped"),
        json!("not_captured"),
        json!("unreadable"),
        json!("expired"),
        Value::Null,
    ]) {
        let entry = &ask(&backend, &json!({"exchange_id": sample.record.exchange_id})).await[0];
        assert_eq!(entry["content"]["missing"], missing, "{entry}");
        assert_eq!(entry["content"]["size"], sample.record.body_size);
        let is_there = missing.is_null();
        assert_eq!(entry["data"].is_null(), !is_there, "{entry}");
        let form = if is_there { "json" } else { "missing" };
        assert_eq!(entry["content"]["form"], form, "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_decoded_unless_encoding_unknown() {
    let backend = TestBackend::start().await.unwrap();
    let mut decoded = Sample::request("alice", "/api/x", minutes_ago(1), "{\"n\":1}");
    decoded.record.content_encoding = Some(Cow::Borrowed("gzip"));
    // As sent it was shorter.
    decoded.record.body_size = 5;
    decoded.record.body_decoded = true;
    let mut encoded = Sample::request("alice", "/api/x", minutes_ago(2), "{\"n\":1}");
    encoded.record.content_encoding = Some(Cow::Borrowed("compress"));
    store(&backend, &[decoded, encoded]).await;
    let entries = ask(&backend, &json!({})).await;
    for (entry, data, form, encoding, decoded) in [
        (&entries[0], json!({"n": 1}), "json", "gzip", true),
        (
            &entries[1],
            json!("eyJuIjoxfQ=="),
            "binary",
            "compress",
            false,
        ),
    ] {
        assert_eq!(entry["data"], data);
        let content = &entry["content"];
        assert_eq!(
            (&content["form"], &content["encoding"], &content["decoded"]),
            (&json!(form), &json!(encoding), &json!(decoded))
        );
    }
}

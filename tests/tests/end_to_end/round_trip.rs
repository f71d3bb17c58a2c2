//! A thousand exchanges of every kind, and each of their two thousand bodies back from the
//! collector, byte for byte, once.

use std::collections::{BTreeMap, BTreeSet};

use dossier_tests::testing::TestStack;
use dossier_tests::traffic::{Call, Protocol, Reply};
use dossier_tests::upstream::{BodyKind, echo, format_event, generate_body};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ExpectedBody, TIMEOUT, expected_body, text, wait_for_records};

const EXCHANGES: usize = 1000;
const CONCURRENCY: usize = 32;
const MAX_BODY: usize = 60 * 1024;
/// An echo of this in base64 still fits the cap of 64 KiB.
const MAX_ECHOED: usize = 40 * 1024;

/// An exchange as it should be.
struct Expected {
    call: Call,
    path: String,
    reply: Reply,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_exchanges_are_stored_exactly_once() {
    let stack = TestStack::start().await.unwrap();
    let expected: Vec<_> = (0..EXCHANGES).map(exchange).collect();
    let replies: Vec<_> = stream::iter(&expected)
        .map(|expected| {
            let reply = stack.traffic.send(&expected.call);
            async move { (expected, reply.await.unwrap()) }
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    for (expected, reply) in replies {
        assert_eq!(reply, expected.reply, "{}", expected.call.target);
    }

    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    client
        .wait_for_entries(admin, &json!({}), 2 * EXCHANGES as u64, TIMEOUT)
        .await
        .unwrap();
    wait_for_records(&stack.envoy, 2 * EXCHANGES as u64).await;
    let pages = client.query_pages(admin, &json!({})).await.unwrap();
    let entries: Vec<_> = pages
        .iter()
        .flat_map(|page| page.items().iter().zip(page.raw_data()))
        .collect();
    assert_eq!(entries.len(), 2 * EXCHANGES, "each half once");

    let mut halves = BTreeMap::new();
    for (entry, raw) in entries {
        let key = (
            text(entry, "path").to_owned(),
            text(entry, "type").to_owned(),
        );
        assert!(
            halves.insert(key.clone(), (entry, raw)).is_none(),
            "{key:?} is stored twice"
        );
    }
    let mut exchange_ids = BTreeSet::new();
    for expected in &expected {
        let half = |name: &str| &halves[&(expected.path.clone(), name.to_owned())];
        let ((request, sent), (response, answered)) = (half("request"), half("response"));
        check_common(request, expected);
        check_common(response, expected);
        let (content_type, body) = expected.call.body.clone().unwrap_or_default();
        check_body(request, sent, &content_type, &body);
        check_body(
            response,
            answered,
            &expected.reply.content_type,
            &expected.reply.body,
        );
        assert_eq!(
            request["exchange_id"], response["exchange_id"],
            "{}",
            expected.path
        );
        assert!(
            exchange_ids.insert(text(request, "exchange_id").to_owned()),
            "an exchange id is used twice"
        );
    }
}

fn check_common(entry: &Value, expected: &Expected) {
    let is_ai = expected.path.starts_with("/api/v1/ai/");
    let info = &entry["storage_info"];
    if is_ai {
        assert_eq!(
            (&info["model"], &info["version"]),
            (&json!("gpt-4"), &json!("1.0")),
            "{entry}"
        );
    } else {
        assert_eq!(
            (&info["service"], &info["model"]),
            (&json!("example"), &Value::Null),
            "{entry}"
        );
    }
    assert_eq!(
        entry["user_id"],
        expected.call.user.as_deref().unwrap_or("anonymous"),
        "{entry}"
    );
    assert_eq!(entry["endpoint"], expected.path, "{entry}");
    assert_eq!(entry["method"], expected.call.method.as_str(), "{entry}");
    assert_eq!(entry["status"], expected.reply.status, "{entry}");
    assert_eq!(entry["content"]["truncated"], false, "{entry}");
    assert_eq!(entry["content"]["completion"], "complete", "{entry}");
}

fn check_body(entry: &Value, raw: &str, content_type: &str, body: &[u8]) {
    let content = &entry["content"];
    assert_eq!(content["size"], body.len(), "{entry}");
    let sent_type = if content_type.is_empty() {
        Value::Null
    } else {
        json!(content_type)
    };
    assert_eq!(content["type"], sent_type, "{entry}");
    let shown = ExpectedBody {
        form: expected_body(content_type, body).form,
        raw: raw.to_owned(),
    };
    assert_eq!(shown, expected_body(content_type, body), "{entry}");
    assert_eq!(content["form"], shown.form, "{entry}");
}

/// The `number`-th exchange. Numbers without a common divisor, so that all combinations occur.
fn exchange(number: usize) -> Expected {
    let users = [
        Some("alice"),
        Some("bob"),
        Some("Müller"),
        None,
        Some("user/with spaces?"),
    ];
    let methods = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let prefix = if number.is_multiple_of(3) {
        "/api/v1/ai/"
    } else {
        "/api/shop/"
    };
    let path = format!("{prefix}things/{number}");
    let body = request_body(number);
    let (query, reply) = answer(number, body.as_ref().map_or(&[], |(_, body)| body));
    let call = Call {
        protocol: if number.is_multiple_of(2) {
            Protocol::Http1
        } else {
            Protocol::Http2
        },
        method: if body.is_none() {
            Method::GET
        } else {
            methods[number % methods.len()].clone()
        },
        target: format!("{path}{query}"),
        user: users[number % users.len()].map(str::to_owned),
        body,
        headers: Vec::new(),
    };
    Expected { call, path, reply }
}

fn request_body(number: usize) -> Option<(String, Vec<u8>)> {
    let size = size(number, MAX_BODY);
    let seed = number as u64;
    let (content_type, body) = match number % 7 {
        0 => return None,
        1 => ("application/json", Vec::new()),
        2 => ("application/json", awkward_json(size, seed)),
        3 | 4 => (
            "application/json",
            generate_body(BodyKind::Json, size, seed),
        ),
        5 => ("text/plain", generate_body(BodyKind::Text, size, seed)),
        _ => (
            "application/octet-stream",
            generate_body(BodyKind::Binary, size, seed),
        ),
    };
    Some((content_type.to_owned(), body))
}

/// JSON that changes when a program reads it and writes it again.
fn awkward_json(size: usize, seed: u64) -> Vec<u8> {
    let filler = String::from_utf8(generate_body(BodyKind::Json, size.max(2), seed)).unwrap();
    format!("{{\"b\" : 12345678901234567890.10, \"a\":1,\"a\":2,\n \"u\":\"\\u00fc \u{fc} \u{8a9e}\", \"filler\":{filler}}}")
        .into_bytes()
}

/// The query that asks for an answer, and the answer.
fn answer(number: usize, sent: &[u8]) -> (String, Reply) {
    let statuses = [200, 201, 400, 404, 422, 500, 503];
    let (status, size, seed) = (
        statuses[number / 2 % statuses.len()],
        size(number + 500, MAX_BODY),
        number as u64,
    );
    let kind = [BodyKind::Json, BodyKind::Text, BodyKind::Binary][number / 5 % 3];
    let reply = |content_type: &str, body| Reply {
        status,
        content_type: content_type.to_owned(),
        body,
    };
    match number % 11 {
        0..=2 if sent.len() <= MAX_ECHOED => (
            format!("?status={status}"),
            reply("application/json", echo(&format!("status={status}"), sent)),
        ),
        3 | 4 => {
            let events = u64::try_from(number % 20).unwrap();
            let body = (0..events)
                .map(|number| format_event(number, seed))
                .collect::<String>();
            (
                format!("?status={status}&stream={events}&seed={seed}"),
                reply("text/event-stream", body.into_bytes()),
            )
        }
        _ => (
            format!(
                "?status={status}&bytes={size}&type={}&seed={seed}",
                kind.as_str()
            ),
            reply(kind.content_type(), generate_body(kind, size, seed)),
        ),
    }
}

/// Sizes from nothing to `most`, small ones more often.
fn size(number: usize, most: usize) -> usize {
    let scrambled = number * 7919 % 1000;
    if scrambled == 0 {
        0
    } else {
        most * scrambled * scrambled / (999 * 999)
    }
}

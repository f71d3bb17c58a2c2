//! `redact`: nothing of what is planted in the traffic is in a batch, a row, a log or a metric, in
//! whatever form it came, and every other byte is what was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_tests::echo_service::EchoService;
use dossier_tests::scripted_service::{Step, send};
use dossier_tests::stub_collector::ReceivedHalf;
use dossier_tests::testing::{TestHarness, TestStack};
use dossier_tests::traffic::Call;
use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Setup, both, configure, encoded, everything, gzip, post, route_to_service, with};
use crate::support::{TIMEOUT, wait_for_records};
use planted::{GONE, KEPT, Planted, bodies, expect_none, mail, password, redaction};

mod dump;
mod planted;

/// Encodings that the filter undoes, by the names under which they are tried.
fn encodings(plain: &[u8]) -> [(&'static str, Option<&'static str>, Vec<u8>); 4] {
    [
        ("plain", None, plain.to_vec()),
        ("gzip", Some("gzip"), gzip(plain)),
        ("zlib", Some("deflate"), compress_to_vec_zlib(plain, 6)),
        ("raw", Some("deflate"), compress_to_vec(plain, 6)),
    ]
}

fn secrets(bodies: &[Planted]) -> Vec<String> {
    let secrets = bodies.iter().flat_map(|body| &body.secrets);
    secrets.cloned().collect()
}

fn redactions(half: &ReceivedHalf) -> u64 {
    let counts = half.record["redactions"].as_object();
    counts.map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum())
}

/// What was text before it was shown as bytes.
fn from_base64(text: &str) -> String {
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

/// What Envoy and the filter tell of themselves.
async fn read_envoy_output(harness: &TestHarness) -> Vec<(&'static str, Vec<u8>)> {
    let log = harness.envoy.process.log().text();
    let stats = harness.envoy.fetch_admin_page("stats").await.unwrap();
    assert!(log.contains("dossier: version") && stats.contains("dossier.values_redacted"));
    vec![("envoy.log", log.into()), ("the stats", stats.into())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_secrets_are_removed_from_any_body() {
    let capture = json!({"storage_type": "both", "redact": redaction()});
    let setup = Setup::start(&everything(&capture)).await;
    let bodies = bodies();
    let mut expected = BTreeMap::new();
    for (number, body) in bodies.iter().enumerate() {
        for (name, encoding, sent) in encodings(body.sent.as_bytes()) {
            let path = format!("/{number}/{name}");
            let call = encoded(post(&path, body.content_type, sent.clone()), encoding);
            // Nothing is taken out of the traffic itself.
            assert_eq!(setup.send(&call).await.body, sent);
            expected.insert(path, (body, encoding.is_some()));
        }
    }
    wait_for_records(&setup.harness.envoy, 2 * expected.len() as u64).await;
    let mut redacted = 0;
    for half in setup.harness.stub_collector.all_halves() {
        let (body, decoded) = expected[half.text("path")];
        assert_eq!(
            String::from_utf8_lossy(&half.body),
            body.left,
            "{}",
            half.record
        );
        assert_eq!(half.record["body_decoded"] == json!(true), decoded);
        assert_eq!(half.record["truncated"], json!(null));
        assert_eq!(
            redactions(&half),
            body.secrets.len() as u64,
            "{}",
            body.sent
        );
        // A hash of the whole would let who tries them all find a short secret.
        assert_eq!(half.record["body_xxh3"], json!(null));
        redacted += redactions(&half);
    }
    let counted = setup
        .harness
        .envoy
        .stat("dossier.values_redacted")
        .await
        .unwrap();
    assert_eq!(counted, redacted);

    let mut places = read_envoy_output(&setup.harness).await;
    let batches = setup.harness.stub_collector.batches().concat();
    let kept = batches
        .windows(KEPT.len())
        .filter(|it| *it == KEPT.as_bytes());
    assert!(
        kept.count() >= 2 * expected.len(),
        "what is searched is what was sent"
    );
    places.push(("the batches", batches));
    expect_none(&secrets(&bodies), &places);
}

/// A request with values planted all over its head, and these values.
fn heads() -> (Call, Vec<String>) {
    let [in_path, in_query, in_header] = [mail(), mail(), mail()];
    let [named, key, bearer, cookie] = [password(), password(), password(), password()];
    let target = format!(
        "/{KEPT}/{in_path}/x?a={KEPT}&mail={}&tok%65n={}&b=+%41",
        in_query.replace('@', "%40"),
        named.replace('~', "%7E"),
    );
    let call = post(&target, "application/json", format!("{{\"k\":\"{KEPT}\"}}"));
    let call = [
        ("x-api-key", key.clone()),
        ("x-note", format!("{KEPT}, {in_header}!")),
        ("authorization", format!("Bearer {bearer}")),
        ("cookie", format!("token={cookie}")),
    ]
    .into_iter()
    .fold(call, |call, (name, value)| with(call, name, &value));
    let secrets = [in_path, in_query, in_header, named, key, bearer, cookie];
    (call, secrets.into())
}

fn with_heads() -> Value {
    json!({
        "storage_type": "both",
        "headers": {
            "request": ["x-api-key", "x-note", "authorization"],
            "response": ["x-api-key", "x-note"],
        },
        "metadata": {"key": {"request_header": "x-api-key"}, "note": {"response_header": "x-note"}},
        "redact": redaction(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_queries_and_headers_are_redacted() {
    let setup = Setup::start(&everything(&with_heads())).await;
    let (call, secrets) = heads();
    setup.send(&call).await;
    let [request, response] = both(setup.of_user("alice", 2).await);
    let path = format!("/{KEPT}/{GONE}/x");
    let query = format!("a={KEPT}&mail={GONE}&tok%65n={GONE}&b=+%41");
    let note = format!("{KEPT}, {GONE}!");
    for half in [&request, &response] {
        assert_eq!((half.text("path"), half.text("endpoint")), (&*path, &*path));
        assert_eq!(half.text("query"), query);
        assert_eq!(half.record["metadata"], json!({"key": GONE, "note": note}));
    }
    let [key, note] = [["x-api-key", GONE], ["x-note", &note]];
    let bearer = format!("Bearer {GONE}");
    let expected = json!([key, note, ["authorization", bearer]]);
    assert_eq!(request.record["headers"], expected);
    assert_eq!(response.record["headers"], json!([key, note]));
    let mut places = read_envoy_output(&setup.harness).await;
    places.push((
        "the batches",
        setup.harness.stub_collector.batches().concat(),
    ));
    expect_none(&secrets, &places);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redacts_across_any_chunk_boundary() {
    const BODY: &str = r#"{"a":"\u0041","p\u0061ssword":"hunter2","n":[1,"b@c.de"],"password":2}"#;
    let left = format!(
        r#"{{"a":"\u0041","p\u0061ssword":"{GONE}","n":[1,"{GONE}"],"password":"{GONE}"}}"#
    );
    let capture = json!({"storage_type": "both", "redact": redaction()});
    let harness = TestHarness::start_with(|bootstrap| configure(bootstrap, &everything(&capture)));
    let harness = harness.await.unwrap();
    let head = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    for offset in 1..BODY.len() {
        let path = format!("/{offset}");
        let (first, second) = BODY.split_at(offset);
        let (came, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        harness.service.add_script(
            &path,
            [
                Step::Expect(first.as_bytes()),
                Step::Notify(Arc::clone(&came)),
                Step::Expect(second.as_bytes()),
                send(format!("HTTP/1.1 200 OK\r\n{head}{first}")),
                Step::Await(Arc::clone(&go_on)),
                send(second),
            ],
        );
        let mut client = harness.client().await.unwrap();
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{head}{first}");
        client.send(request).await.unwrap();
        // The second part leaves only when the first has passed Envoy, each way.
        came.notified().await;
        client.send(second).await.unwrap();
        client
            .read_until(&format!("\r\n\r\n{first}"))
            .await
            .unwrap();
        go_on.notify_one();
        client.read_until(second).await.unwrap();
        for half in both(
            harness
                .stub_collector
                .halves(&path, 2, TIMEOUT)
                .await
                .unwrap(),
        ) {
            assert_eq!(
                String::from_utf8_lossy(&half.body),
                left,
                "split at {offset}"
            );
            assert_eq!(half.number("body_size"), BODY.len() as u64);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_body_contains_no_partial_secret() {
    /// No so long piece of a secret may be left, however it is read.
    const PIECE_BYTES: usize = 6;
    let body = |secret: &str, mail: &str| {
        format!(
            r#"{{"k":"{KEPT}","password":"{secret}","note":"to {mail} - ok","tail":[1,2,3,4,5]}}"#
        )
    };
    let (secret, mail) = (password(), mail());
    let (sent, left) = (body(&secret, &mail), body(GONE, GONE));
    let caps: Vec<_> = (25..sent.len()).step_by(3).collect();
    let rule = |cap: &usize| {
        json!({
            "match": {"path": {"prefix": format!("/{cap}/")}},
            "capture": {"max_body_bytes": cap},
        })
    };
    let keys = json!({
        "defaults": {"storage_type": "both", "redact": redaction()},
        "routes": caps.iter().map(rule).collect::<Vec<_>>(),
    });
    let setup = Setup::start(&keys).await;
    let mut records = 0;
    for cap in &caps {
        for (name, encoding, bytes) in encodings(sent.as_bytes()) {
            let target = format!("/{cap}/{name}");
            let call = post(&target, "application/json", bytes);
            setup.send(&encoded(call, encoding)).await;
            records += 2;
        }
    }
    wait_for_records(&setup.harness.envoy, records).await;
    let pieces = [secret, mail].map(|secret| {
        let pieces = secret.as_bytes().windows(PIECE_BYTES);
        pieces.map(<[u8]>::to_vec).collect::<Vec<_>>()
    });
    for half in setup.harness.stub_collector.all_halves() {
        let kept = &half.body;
        for piece in pieces.iter().flatten() {
            let is_left = kept.windows(PIECE_BYTES).any(|it| it == piece);
            assert!(
                !is_left,
                "{} {}",
                half.text("path"),
                String::from_utf8_lossy(kept)
            );
        }
        // As far as something is left, it is what the whole leaves, but for a quote that closes it.
        let begun = kept.strip_suffix(b"\"").unwrap_or(kept);
        assert!(
            left.as_bytes().starts_with(begun),
            "{}",
            String::from_utf8_lossy(kept)
        );
        assert_eq!(half.record["truncated"], json!(true), "{}", half.record);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opaque_body_is_kept_only_if_configured() {
    let mut keep = redaction();
    keep["unreadable"] = json!("keep");
    let keys = json!({
        "defaults": {"storage_type": "both", "redact": redaction()},
        "routes": [{"match": {"path": {"prefix": "/keep"}}, "capture": {"redact": keep}}],
    });
    let setup = Setup::start(&keys).await;
    let body = format!("{{\"password\":\"{}\"}}", password());
    for (number, (content_type, encoding)) in [
        ("application/json", Some("br")),
        ("application/json", Some("zstd")),
        ("application/json", Some("gzip, gzip")),
        // No gzip at all, whatever it says.
        ("application/json", Some("gzip")),
        ("application/json; charset=utf-16", None),
        ("multipart/form-data", None),
    ]
    .into_iter()
    .enumerate()
    {
        for (place, missing, kept) in [("keep", "", body.as_bytes()), ("drop", "unreadable", b"")] {
            let target = format!("/{place}/{number}");
            let call = encoded(post(&target, content_type, body.clone()), encoding);
            for half in setup.record(&call).await {
                let what = format!("{place} {content_type} {encoding:?}");
                assert_eq!(half.text("body_missing"), missing, "{what}");
                assert_eq!(half.body, kept, "{what}");
                assert_eq!(half.number("body_size"), body.len() as u64, "{what}");
                assert_eq!(
                    half.record["body_xxh3"].is_null(),
                    !missing.is_empty(),
                    "{what}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_values_have_equal_hashes() {
    const KEY: &str = "a-key-that-only-the-tests-know";
    const KNOWN: &str = "known@mail.example.com";
    // As everybody with the key computes it: HMAC-SHA-256, its first half.
    const HASH_OF_KNOWN: &str = "hmac:2fcd9bb95b987b79c001cf62f9224979";
    let mut redact = redaction();
    redact["with"] = json!("hash");
    let mut keys = everything(&json!({
        "storage_type": "both",
        "headers": {"request": ["x-api-key"]},
        "redact": redact,
    }));
    keys["hash_key"] = json!("${DOSSIER_HASH_KEY}");
    let setup = Setup::start_with(&keys, |bootstrap| {
        bootstrap.set_variable("DOSSIER_HASH_KEY", KEY)
    });
    let setup = setup.await;
    let (one, other) = (KNOWN.to_owned(), mail());
    let call = |target: &str, first: &str, second: &str| {
        let body = json!({"password": first, "note": format!("<{first}> <{second}>")});
        let target = format!("{target}?token={}", first.replace('@', "%40"));
        with(Call::json("alice", &target, &body), "x-api-key", second)
    };
    let hashes = async |path: &str, first: &str, second: &str| {
        let [request, response] = setup.record(&call(path, first, second)).await;
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(request.body, response.body);
        let query = request
            .text("query")
            .strip_prefix("token=")
            .unwrap()
            .to_owned();
        let header = request.record["headers"][0][1].as_str().unwrap().to_owned();
        let note = body["note"].as_str().unwrap();
        let expected = (body["password"].as_str(), note.to_owned());
        assert_eq!(expected, (Some(&*query), format!("<{query}> <{header}>")));
        assert_eq!(redactions(&request), 5);
        (query, header)
    };
    let (first, second) = hashes("/1", &one, &other).await;
    assert_eq!(first, HASH_OF_KNOWN);
    let digits = second.strip_prefix("hmac:").unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|it| it.is_ascii_hexdigit()));
    assert_ne!(first, second);
    // Also in another VM, and the other way round.
    for path in ["/2", "/3", "/4", "/5"] {
        assert_eq!(
            hashes(path, &other, &one).await,
            (second.clone(), first.clone())
        );
    }
    let mut places = read_envoy_output(&setup.harness).await;
    places.push((
        "the batches",
        setup.harness.stub_collector.batches().concat(),
    ));
    expect_none(&[one, other, KEY.to_owned()], &places);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_rows_and_outputs_contain_no_secret() {
    let mut capture = with_heads();
    // Bodies stand in the rows as they are, so that they can be searched.
    capture["compress"] = json!(false);
    let echo_service = EchoService::start().await.unwrap();
    let stack = TestStack::start_with(|plan| {
        route_to_service(&mut plan.bootstrap, echo_service.address)?;
        configure(&mut plan.bootstrap, &everything(&capture))
    });
    let stack = stack.await.unwrap();
    let bodies = bodies();
    for (number, body) in bodies.iter().enumerate() {
        let [plain, gzip, ..] = encodings(body.sent.as_bytes());
        let (_, encoding, sent) = if number % 2 == 0 { plain } else { gzip };
        let call = post(&format!("/{number}"), body.content_type, sent);
        let call = encoded(call, encoding);
        stack.traffic.send(&call).await.unwrap();
    }
    let (call, of_heads) = heads();
    let call = Call {
        method: Method::PUT,
        ..call
    };
    stack.traffic.send(&call).await.unwrap();
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let count = 2 * (bodies.len() as u64 + 1);
    client
        .wait_for_entries(alice, &json!({}), count, TIMEOUT)
        .await
        .unwrap();

    let mut answers = Vec::new();
    for page in client.query_pages(alice, &json!({})).await.unwrap() {
        for (item, data) in page.items().iter().zip(page.raw_data()) {
            if item["method"] == "POST" {
                let number: usize = item["path"].as_str().unwrap()[1..].parse().unwrap();
                let left = &bodies[number].left;
                let is_list = item["content"]["type"] == "application/x-ndjson";
                let shown = match item["content"]["form"].as_str() {
                    Some("json") if !is_list => data,
                    Some("text") => serde_json::from_str(&data).unwrap(),
                    // An answer shows it decoded; the stored form stands by itself.
                    Some("json" | "events" | "grpc" | "multipart") => {
                        let path = format!("/storage/entries/{}/body", item["id"]);
                        let kept = client.get(&path, Some(alice)).await.unwrap().bytes;
                        String::from_utf8_lossy(&kept).into_owned()
                    }
                    _ => from_base64(&serde_json::from_str::<String>(&data).unwrap()),
                };
                assert_eq!(&shown, left, "{}", item["content"]);
                let redacted = bodies[number].secrets.len();
                assert_eq!(item["content"]["redactions"], redacted);
            }
        }
        answers.extend(page.bytes);
    }
    let rows = dump::everything(&stack.folder().join("data")).await;
    let kept = rows.windows(KEPT.len()).filter(|it| *it == KEPT.as_bytes());
    assert!(
        kept.count() as u64 >= count,
        "what is searched is what was sent"
    );
    let file = |name: &str| std::fs::read(stack.folder().join(name)).unwrap();
    let metrics = client.get("/metrics", None).await.unwrap().bytes;
    let places = [
        ("the answers", answers),
        ("the rows", rows),
        ("the metrics", metrics),
        (
            "the stats",
            stack.envoy.fetch_admin_page("stats").await.unwrap().into(),
        ),
        ("envoy.log", file("envoy.log")),
        ("collector.log", file("collector.log")),
        ("Postgres's log", file("data/postgres/postgres.log")),
    ];
    for (place, bytes) in &places {
        assert!(!bytes.is_empty(), "{place}");
    }
    expect_none(&[secrets(&bodies), of_heads].concat(), &places);
}

//! Valid configurations, and the problems of invalid ones.

use std::time::Duration;

use dossier_wire::{Compression, StorageCompression};
use serde_json::{Value, json};

use super::*;
use crate::headers::tests::headers;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn parse(value: &Value) -> Result<Config, Problems> {
    Config::parse(value.to_string().as_bytes())
}

fn problems(value: &Value) -> Vec<String> {
    parse(value)
        .unwrap_err()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn with(key: &str, value: Value) -> Value {
    let mut config = json!({"collector": {"cluster": "c"}});
    config[key] = value;
    config
}

fn plan(config: &Config, path: &str, metadata: Option<&Value>) -> CapturePlan {
    let bytes = metadata.map(serialised_metadata);
    let headers = headers(&[
        (":path", path),
        (":method", "POST"),
        (":authority", "Api.example.com:8443"),
    ]);
    let request = RequestView::new(&headers, Some(b"ai-chat"));
    let unexpected = |problems: &Problems| panic!("{problems}");
    (*config
        .rules
        .choose_plan(&request, bytes.as_deref(), unexpected))
    .clone()
}

#[test]
fn minimal_configuration_records_nothing() {
    let config = parse(&json!({"collector": {"cluster": "c"}})).unwrap();
    assert_eq!(
        config.collector,
        CollectorSettings {
            cluster: "c".into(),
            authority: "dossier".into(),
            path: "/ingest/v1/batches".into(),
            token: None,
            timeout: Duration::from_secs(5),
        }
    );
    assert_eq!(config.batch, BatchSettings::default());
    assert_eq!(config.buffer_bytes, 16 << 20);
    assert_eq!(plan(&config, "/", None).storage, StorageType::None);
    assert_eq!(plan(&config, "/", None).max_body_bytes, 65_536);
}

#[test]
fn reads_every_key() {
    let config = parse(&json!({
        "collector": {"cluster": "c", "authority": "a", "path": "/p", "token": "secret", "timeout": "500ms"},
        "batch": {"max_records": 10.0, "max_bytes": "64KiB", "max_delay": "2s", "compression": "best"},
        "buffer": {"max_bytes": 2_097_152},
        "user": [{"header": "X-User-Id"}, {"jwt_claim": "realm.user"}, {"peer_certificate": "uri_san"}],
        "defaults": {"storage_type": "response"},
        "routes": [{
            "match": {"path": {"prefix": "/api/"}},
            "capture": {
                "storage_type": "both", "ttl_days": 30.0, "session_timeout_minutes": 60,
                "compress": true, "metadata": {"model": "gpt-4", "n": 4.0, "on": true},
                "max_body_bytes": "1KiB", "endpoint": "/api/{x}",
            },
        }],
    }))
    .unwrap();
    assert_eq!(
        config.collector.token,
        Some(SecretSource::Literal("secret".into()))
    );
    assert_eq!(config.batch.max_records, 10);
    assert_eq!(config.batch.compression, Compression::Best);
    assert_eq!(config.buffer_bytes, 2 << 20);
    assert_eq!(
        config.user,
        [
            UserSource::Header("x-user-id".into()),
            UserSource::JwtClaim(vec!["realm".into(), "user".into()]),
            UserSource::PeerCertificate("uri_san_peer_certificate"),
        ]
    );
    assert_eq!(plan(&config, "/other", None).storage, StorageType::Response);
    let plan = plan(&config, "/api/x", None);
    assert_eq!(plan.storage, StorageType::Both);
    assert_eq!(plan.ttl_days.unwrap().get(), 30);
    assert_eq!(plan.session_timeout_minutes.unwrap().get(), 60);
    assert_eq!(plan.compress, StorageCompression::Always);
    assert_eq!(
        Value::Object(plan.metadata),
        json!({"model": "gpt-4", "n": 4, "on": true})
    );
    assert_eq!(plan.max_body_bytes, 1024);
    assert_eq!(plan.endpoint.as_deref(), Some("/api/{x}"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn problems_name_path_expectation_and_value() {
    let route = |capture: Value| with("routes", json!([{"match": {}, "capture": capture}]));
    let matching = |matcher: Value| with("routes", json!([{"match": matcher, "capture": {}}]));
    for (config, expected) in [
        (
            json!([]),
            ": expected an object with collector and routes, got a list of 0",
        ),
        (
            json!({}),
            "collector: expected an object with cluster, got nothing",
        ),
        (
            json!({"collector": {}}),
            "collector.cluster: expected the name of an Envoy cluster, got nothing",
        ),
        (
            with("colector", json!(1)),
            "colector: unknown key, did you mean collector?",
        ),
        (
            with("batch", json!(3)),
            "batch: expected an object with max_records, max_bytes, max_delay and compression, got 3",
        ),
        (
            with("batch", json!({"max_records": 1})),
            "batch.max_records: expected a whole number from 2 to 10000, got 1",
        ),
        (
            with("batch", json!({"max_bytes": "4MB"})),
            "batch.max_bytes: expected a size, such as \"64KiB\" or 65536, from 16KiB to 3MiB, got \"4MB\"",
        ),
        (
            with("batch", json!({"max_delay": 1})),
            "batch.max_delay: expected a duration with its unit, such as \"500ms\" or \"5s\", from 10ms to 1m, got 1",
        ),
        (
            with("batch", json!({"compression": "gzip"})),
            "batch.compression: expected one of none, fast, best, got \"gzip\"",
        ),
        (
            json!({"collector": {"cluster": "c"}, "batch": {"max_bytes": "1MiB"}, "buffer": {"max_bytes": "1MiB"}}),
            "buffer.max_bytes: expected at least twice batch.max_bytes, so that one batch fills while another is sent, got \"1MiB\"",
        ),
        (
            with("user", json!([{"header": "x user"}])),
            "user[0].header: expected the name of a header, got \"x user\"",
        ),
        (
            with("user", json!([{"jwt_claim": "sub", "header": "x"}, {}])),
            "user[0]: expected exactly one of header, jwt_claim, peer_certificate, got 2 of them",
        ),
        (
            with("user", json!([{}])),
            "user[0]: expected exactly one of header, jwt_claim, peer_certificate, got none of them",
        ),
        (
            with("routes", json!([{"capture": {}}])),
            "routes[0].match: expected an object with route, host, path, methods or headers, got nothing",
        ),
        (
            with(
                "routes",
                json!([{"match": {"path": {"prefix": "api"}}, "capture": {}}]),
            ),
            "routes[0].match.path.prefix: expected a path that begins with a slash, of at most 1024 bytes, got \"api\"",
        ),
        (
            with(
                "routes",
                json!([{"match": {"verbs": ["GET"]}, "capture": {}}]),
            ),
            "routes[0].match.verbs: unknown key, expected one of route, host, path, methods, headers",
        ),
        (
            matching(json!({"methods": ["GET", "post"]})),
            "routes[0].match.methods[1]: expected a method in capital letters, such as \"POST\", got \"post\"",
        ),
        (
            matching(json!({"path": {"regex": "(", "prefix": "/"}})),
            "routes[0].match.path: expected exactly one of prefix, exact, regex, template, got 2 of them",
        ),
        (
            matching(json!({"path": {"regex": "("}})),
            "routes[0].match.path.regex: expected a regular expression in the syntax of the Rust crate regex, without \
             Unicode classes, look-around and back-references, that compiles to at most 256KiB, got \"(\"",
        ),
        (
            matching(json!({"path": {"template": "/a/{b"}})),
            "routes[0].match.path.template: expected a path with names in braces, such as \"/users/{id}/orders\", \
             got \"/a/{b\"",
        ),
        (
            matching(json!({"headers": [{"name": "x", "present": "yes"}]})),
            "routes[0].match.headers[0].present: expected true or false, got \"yes\"",
        ),
        (
            matching(json!({"host": ""})),
            "routes[0].match.host: expected a name of at most 1024 bytes, with up to 8 wildcards (*), got \"\"",
        ),
        (
            route(json!({"ttl_days": "30d"})),
            "routes[0].capture.ttl_days: expected a whole number of days from 1 to 3650, got \"30d\"",
        ),
        (
            route(json!({"ttl_days": 0})),
            "routes[0].capture.ttl_days: expected a whole number of days from 1 to 3650, got 0",
        ),
        (
            route(json!({"ttl_days": null})),
            "routes[0].capture.ttl_days: expected a whole number of days from 1 to 3650, got nothing",
        ),
        (
            route(json!({"compress": "yes"})),
            "routes[0].capture.compress: expected true, false or \"auto\", got \"yes\"",
        ),
        (
            route(json!({"metadata": {"tokens": null}})),
            "routes[0].capture.metadata.tokens: expected a constant (a string of at most 1024 bytes, a number, true or \
             false), or where to take it from, such as {request_json: $.model}, got nothing",
        ),
        (
            route(json!({"metadata": {"tokens": {"header": "x"}}})),
            "routes[0].capture.metadata.tokens.header: unknown key, expected one of request_json, response_json, \
             request_header, response_header",
        ),
        (
            route(json!({"session": {"cookie": "a=b"}})),
            "routes[0].capture.session.cookie: expected the name of a cookie, got \"a=b\"",
        ),
        (
            route(json!({"session": {"by": ["endpoint"], "header": "x", "query": "x"}})),
            "routes[0].capture.session: expected exactly one of header, cookie, query, request_json, got 2 of them",
        ),
        (
            route(json!({"session": {"by": ["path"]}})),
            "routes[0].capture.session.by[0]: expected endpoint, route, {header: …} or {metadata: …}, got \"path\"",
        ),
        (
            route(json!({"session": {"by": vec!["route"; 5]}})),
            "routes[0].capture.session.by: expected a list of at most 4 parts, got 5",
        ),
        (
            route(json!({"session": {"by": [{"metadata": ""}]}})),
            "routes[0].capture.session.by[0].metadata: expected a name in the metadata, of 1 to 64 bytes, got \"\"",
        ),
        (
            route(json!({"ttl_days": 7, "body_ttl_days": 8})),
            "routes[0].capture.body_ttl_days: expected at most ttl_days: a body cannot outlive its entry",
        ),
        (
            route(json!({"redact": {"json": ["$.a"], "with": "hash"}})),
            "routes[0].capture.redact.with: hash needs the key hash_key of the plugin's configuration",
        ),
        (
            route(json!({"sample": 1.5})),
            "routes[0].capture.sample: expected a number from 0 to 1, got 1.5",
        ),
        (
            route(json!({"when": {"status": ["4x4"], "min_duration": 500}})),
            "routes[0].capture.when.status[0]: expected a status such as 404, or a range such as \"400-599\" or \
             \"5xx\", got \"4x4\"",
        ),
        (
            route(json!({"content_types": ["json"]})),
            "routes[0].capture.content_types[0]: expected a content type such as \"application/json\", \"text/*\" \
             or \"*/*\", got \"json\"",
        ),
        (
            route(json!({"headers": {"request": ["x y"]}})),
            "routes[0].capture.headers.request[0]: expected the name of a header, got \"x y\"",
        ),
        (
            with("hash_key", json!("too short")),
            "hash_key: expected a string of 16 to 256 visible ASCII characters, or ${NAME} of an environment variable, \
             got another string",
        ),
        (
            route(json!({"max_body_bytes": "2MiB"})),
            "routes[0].capture.max_body_bytes: expected a size, such as \"64KiB\" or 65536, from 0B to 1MiB, got \"2MiB\"",
        ),
        (
            route(json!({"storage_typ": "both"})),
            "routes[0].capture.storage_typ: unknown key, did you mean storage_type?",
        ),
    ] {
        let found = problems(&config);
        assert!(
            found.iter().any(|problem| problem == expected),
            "{expected}\nis not in {found:#?}"
        );
    }
}

#[test]
fn reports_all_problems_at_once() {
    let found = problems(&json!({
        "collector": {"cluster": "", "timeout": "1h"},
        "routes": [{"match": {}, "capture": {"ttl_days": 0, "compress": 1}}, 7],
        "redact": {},
    }));
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn rejects_invalid_json_without_quoting_it() {
    let text = |bytes: &[u8]| Config::parse(bytes).unwrap_err().to_string();
    assert!(text(b" \n").contains("is empty"));
    assert_eq!(
        text(b"{\n \"token\": s3cret}"),
        "the configuration is not JSON: see line 2, column 11"
    );
}

#[test]
fn problems_never_show_the_token() {
    for token in [
        json!("s3cret with space"),
        json!("${s3cret"),
        json!(["s3cret"]),
        json!("${9s3cret}"),
    ] {
        let config = json!({"collector": {"cluster": "c", "token": token}});
        let found = problems(&config).join("\n");
        assert!(found.starts_with("collector.token: expected"), "{found}");
        assert!(!found.contains("s3cret"), "{found}");
    }
    assert_eq!(
        format!("{:?}", SecretSource::Literal("s3cret".into())),
        "Literal(…)"
    );
}

#[test]
fn token_is_read_from_environment() {
    let config = json!({"collector": {"cluster": "c", "token": "${INGEST_TOKEN}"}});
    let collector = parse(&config).unwrap().collector;
    let set = |name: &str| (name == "INGEST_TOKEN").then(|| "s3cret".to_owned());
    assert_eq!(collector.resolve_token(set), Ok(Some("s3cret".to_owned())));
    let unset = collector.resolve_token(|_| None).unwrap_err().to_string();
    assert!(unset.contains("INGEST_TOKEN is not set"), "{unset}");
    let bad = collector
        .resolve_token(|_| Some("s3\ncret".to_owned()))
        .unwrap_err()
        .to_string();
    assert!(!bad.contains("s3"), "{bad}");
}

#[test]
fn route_overrides_rule_and_rule_overrides_defaults() {
    let config = parse(&json!({
        "collector": {"cluster": "c"},
        "defaults": {"storage_type": "request", "ttl_days": 1, "metadata": {"a": "default", "b": "default"}},
        "routes": [
            {"match": {"path": {"prefix": "/a/"}}, "capture": {"ttl_days": 2, "metadata": {"a": "rule"}}},
            {"match": {"path": {"prefix": "/"}}, "capture": {"ttl_days": 3}},
        ],
    }))
    .unwrap();
    let days = |plan: &CapturePlan| plan.ttl_days.unwrap().get();
    let first = plan(&config, "/a/b", None);
    assert_eq!((days(&first), first.storage), (2, StorageType::Request));
    assert_eq!(
        Value::Object(first.metadata),
        json!({"a": "rule", "b": "default"})
    );
    assert_eq!(days(&plan(&config, "/b", None)), 3);
    assert_eq!(days(&plan(&config, "*", None)), 1);

    let metadata = json!({"dossier": {"storage_type": "both", "metadata": {"b": "route"}}});
    for _ in 0..2 {
        let first = plan(&config, "/a/b", Some(&metadata));
        assert_eq!((days(&first), first.storage), (2, StorageType::Both));
        assert_eq!(
            Value::Object(first.metadata),
            json!({"a": "rule", "b": "route"})
        );
        assert_eq!(days(&plan(&config, "/b", Some(&metadata))), 3);
    }
}

#[test]
fn rule_matches_when_all_conditions_hold() {
    for (matcher, fits) in [
        (json!({}), true),
        (
            json!({"route": "ai-*", "host": "*.EXAMPLE.com", "methods": ["GET", "POST"]}),
            true,
        ),
        (json!({"route": "ai"}), false),
        (json!({"host": "example.com"}), false),
        (json!({"methods": ["GET"]}), false),
        (json!({"path": {"exact": "/users/7/orders"}}), true),
        (json!({"path": {"exact": "/users"}}), false),
        (json!({"path": {"regex": "/users/[0-9]+/.*"}}), true),
        (json!({"path": {"regex": "/users|/x"}}), false),
        (json!({"path": {"template": "/users/{id}/orders"}}), true),
        (json!({"path": {"template": "/users/{id}"}}), false),
        (
            json!({"headers": [{"name": "X-Debug", "exact": "1"}]}),
            true,
        ),
        (
            json!({"headers": [{"name": "x-debug", "prefix": "2"}]}),
            true,
        ),
        (
            json!({"headers": [{"name": "x-debug", "exact": "1"}, {"name": "x-debug", "regex": "2+"}]}),
            true,
        ),
        (
            json!({"headers": [{"name": "x-debug", "regex": "2"}]}),
            false,
        ),
        (
            json!({"headers": [{"name": "x-none", "present": false}]}),
            true,
        ),
        (
            json!({"headers": [{"name": "x-none", "present": true}]}),
            false,
        ),
    ] {
        let config = with(
            "routes",
            json!([{"match": matcher, "capture": {"storage_type": "both"}}]),
        );
        let config = parse(&config).unwrap();
        let headers = headers(&[
            (":path", "/users/7/orders?a=1"),
            (":method", "POST"),
            (":authority", "Api.Example.com:8443"),
            ("x-debug", "1"),
            ("x-debug", "22"),
        ]);
        let request = RequestView::new(&headers, Some(b"ai-chat"));
        let plan = config.rules.choose_plan(&request, None, |_| ());
        assert_eq!(plan.storage == StorageType::Both, fits, "{matcher}");
    }
}

#[test]
fn endpoint_defaults_to_path_template() {
    let template = |capture: Value| {
        let rule = json!([{"match": {"path": {"template": "/users/{id}"}}, "capture": capture}]);
        parse(&with("routes", rule)).unwrap()
    };
    let endpoint = |config: &Config, metadata| plan(config, "/users/7", metadata).endpoint;
    let plain = template(json!({}));
    assert_eq!(endpoint(&plain, None).as_deref(), Some("/users/{id}"));
    let own = json!({"dossier": {"storage_type": "both"}});
    assert_eq!(endpoint(&plain, Some(&own)).as_deref(), Some("/users/{id}"));
    let named = template(json!({"endpoint": "/people"}));
    assert_eq!(endpoint(&named, None).as_deref(), Some("/people"));
}

#[test]
fn invalid_route_metadata_gives_minimal_plan() {
    let config = parse(&with("defaults", json!({"storage_type": "request"}))).unwrap();
    let bytes = serialised_metadata(&json!({"dossier": {"storage_type": "both", "ttl_days": 0}}));
    let mut reported = 0;
    for _ in 0..3 {
        let headers = headers(&[(":path", "/")]);
        let request = RequestView::new(&headers, None);
        let plan = config
            .rules
            .choose_plan(&request, Some(&bytes), |_| reported += 1);
        assert_eq!(plan.storage, StorageType::Request);
        assert!(plan.minimal);
    }
    assert_eq!(reported, 1);
}

#[test]
fn rule_that_matches_records_both_halves() {
    let config = |defaults: Value, rule: Value| {
        parse(&json!({"collector": {"cluster": "c"}, "defaults": defaults, "routes": [rule]}))
            .unwrap()
    };
    let matcher = json!({"path": {"prefix": "/api/"}});
    let short = json!({"match": matcher});
    let kept = json!({"match": matcher, "capture": {"ttl_days": 7}});
    for (defaults, rule, storage) in [
        (json!({}), &short, StorageType::Both),
        (json!({}), &kept, StorageType::Both),
        // What it says is about what no rule matches.
        (json!({"storage_type": "none"}), &short, StorageType::Both),
        (
            json!({"storage_type": "request"}),
            &short,
            StorageType::Request,
        ),
        (json!({"ttl_days": 1}), &short, StorageType::Both),
        (
            json!({"storage_type": "both"}),
            &json!({"match": matcher, "capture": {"storage_type": "none"}}),
            StorageType::None,
        ),
    ] {
        let config = config(defaults.clone(), rule.clone());
        assert_eq!(
            plan(&config, "/api/x", None).storage,
            storage,
            "{defaults} {rule}"
        );
    }
    let config = config(json!({"ttl_days": 1}), short);
    assert_eq!(plan(&config, "/other", None).storage, StorageType::None);
}

#[test]
fn route_with_own_keys_records_both_halves() {
    let rules = json!([
        {"match": {"path": {"prefix": "/none/"}}, "capture": {"storage_type": "none"}},
        {"match": {"path": {"prefix": "/request/"}}, "capture": {"storage_type": "request"}},
    ]);
    for defaults in [json!({}), json!({"storage_type": "none"})] {
        let config = json!({"collector": {"cluster": "c"}, "defaults": defaults, "routes": rules});
        let config = parse(&config).unwrap();
        let storage =
            |path, keys: Value| plan(&config, path, Some(&json!({"dossier": keys}))).storage;
        assert_eq!(storage("/", json!({})), StorageType::Both);
        assert_eq!(storage("/", json!({"ttl_days": 7})), StorageType::Both);
        assert_eq!(
            storage("/", json!({"storage_type": "none"})),
            StorageType::None
        );
        assert_eq!(storage("/request/", json!({})), StorageType::Request);
        assert_eq!(storage("/none/", json!({})), StorageType::None);
        let others = json!({"others": {}});
        assert_eq!(plan(&config, "/", Some(&others)).storage, StorageType::None);
    }
}

#[test]
fn invalid_metadata_makes_nothing_record() {
    let config = parse(&json!({"collector": {"cluster": "c"}})).unwrap();
    let bytes = serialised_metadata(&json!({"dossier": {"ttl_days": 0}}));
    let headers = headers(&[(":path", "/")]);
    let request = RequestView::new(&headers, None);
    let plan = config.rules.choose_plan(&request, Some(&bytes), |_| ());
    assert_eq!(plan.storage, StorageType::None);
}

#[test]
fn rules_that_record_nothing_are_found() {
    let prefix = |prefix: &str, capture: Value| json!({"match": {"path": {"prefix": prefix}}, "capture": capture});
    let rules = json!([
        prefix("/api/none/", json!({"storage_type": "none"})),
        prefix("/api/a/", json!({"sample": 0})),
        prefix("/api/b/", json!({"when": {"status": []}})),
        {"match": {"methods": []}},
        {"match": {"path": {"prefix": "/api/"}, "methods": ["GET", "PUT"], "host": "A"}},
        {"match": {"path": {"prefix": "/api/c"}, "methods": ["PUT"], "host": "a", "route": "r"}},
        {"match": {"path": {"prefix": "/api/c"}, "methods": ["POST"], "host": "a"}},
        {"match": {"path": {"prefix": "/api/c"}, "methods": ["PUT"]}},
        {"match": {"path": {"regex": "/x.*"}, "headers": [{"name": "h", "exact": "1"}]}},
        {"match": {"path": {"regex": "/x.*"}, "headers": [{"name": "h", "exact": "2"}]}},
        {"match": {"path": {"regex": "/x.*"}, "headers": [{"name": "h", "exact": "1"}]}},
        {"match": {}},
        prefix("/last/", json!({})),
    ]);
    let rules = parse(&with("routes", rules)).unwrap().rules;
    let idle: Vec<_> = rules
        .find_idle()
        .iter()
        .map(|it| (it.number, it.reason))
        .collect();
    let expected = [
        (0, IdleReason::StorageType),
        (1, IdleReason::Sample),
        (2, IdleReason::Status),
        (3, IdleReason::Methods),
        (5, IdleReason::Shadowed(4)),
        (10, IdleReason::Shadowed(8)),
        (12, IdleReason::Shadowed(11)),
    ];
    assert_eq!(idle, expected);
    assert!(!rules.only_routes_record());
    assert!(
        parse(&with("routes", json!([])))
            .unwrap()
            .rules
            .only_routes_record()
    );
}

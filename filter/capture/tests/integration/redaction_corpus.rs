//! Redacts bodies with planted secrets, in every format: no secret may remain, and nothing else may
//! change. The same is then tested as properties.

use dossier_capture::config::redact::parse;
use dossier_capture::redact::{HashKey, RawBody, RedactedBody, Redaction, RedactionCounts};
use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use proptest::prelude::*;
use serde_json::{Value, json};

const REPLACEMENT: &str = "[GONE]";
/// A planted value that only its name gives away.
const PASSWORD: &str = "Zq9~hunter2~Zq9";
/// Planted values that match a pattern. After `Bearer`, only the token is one.
const PATTERNED: [(&str, &str); 8] = [
    ("", "alice.q@example.com"),
    ("", "4111 1111 1111 1111"),
    ("", "5555555555554444"),
    ("Bearer ", "mF_9.B5f-4.1JqM"),
    ("", "AKIAIOSFODNN7EXAMPLE"),
    ("", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5OSJ9.dozjgNryP4J3jVmN"),
    ("", "GB29 NWBK 6016 1331 9268 19"),
    ("", "+49 170 555 7788"),
];
/// No piece of this length may remain of a planted value in a truncated body.
const PIECE_BYTES: usize = 6;
const MAX_BYTES: usize = 1 << 20;

/// A body, its expected redacted form, and its secrets.
#[derive(Debug, Clone, Default)]
struct Planted {
    kind: &'static str,
    text: String,
    redacted: String,
    secrets: Vec<String>,
}

impl Planted {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    fn text(mut self, text: &str) -> Self {
        self.text += text;
        self.redacted += text;
        self
    }

    fn secret(mut self, written: &str, redacted: &str, secret: &str) -> Self {
        self.text += written;
        self.redacted += redacted;
        self.secrets.push(secret.to_owned());
        self
    }

    fn around(mut self, before: &str, after: &str) -> Self {
        self.text = format!("{before}{}{after}", self.text);
        self.redacted = format!("{before}{}{after}", self.redacted);
        self
    }
}

const EVERY: [&str; 7] = [
    "email",
    "credit_card",
    "bearer_token",
    "aws_key",
    "jwt",
    "iban",
    "phone",
];

fn redaction() -> Redaction {
    let keys = json!({
        "json": ["$..password"],
        "query": ["token"],
        "patterns": EVERY,
        "with": REPLACEMENT,
    });
    parse(&keys, "redact").unwrap().unwrap()
}

fn search(
    redaction: &Redaction,
    kind: &str,
    encoding: &str,
    bytes: &[u8],
    cut: bool,
) -> RedactedBody {
    let key = HashKey::new(b"a key of sixteen bytes or more").unwrap();
    let body = RawBody {
        bytes: bytes.to_vec(),
        content_type: Some(kind),
        content_encoding: Some(encoding),
        truncated: cut,
        max_bytes: MAX_BYTES,
    };
    redaction.redact_body(body, Some(&key), &mut RedactionCounts::default())
}

/// Escapes every character as `\u0000`, astral ones as a pair.
fn escaped(text: &str) -> String {
    let unit = |unit| format!("\\u{unit:04X}");
    text.encode_utf16().map(unit).collect::<Vec<_>>().concat()
}

/// Escapes every byte as `%00`.
fn percent(text: &str) -> String {
    let byte = |byte| format!("%{byte:02x}");
    text.bytes().map(byte).collect::<Vec<_>>().concat()
}

/// The text as different readers may decode it.
fn readings(bytes: &[u8]) -> [String; 3] {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut unescaped = String::new();
    let mut rest = &text[..];
    while let Some(at) = rest.find("\\u") {
        unescaped += &rest[..at];
        let unit = rest.get(at + 2..at + 6);
        let unit = unit.and_then(|unit| u32::from_str_radix(unit, 16).ok());
        match unit.and_then(char::from_u32) {
            Some(character) => {
                unescaped.push(character);
                rest = &rest[at + 6..];
            }
            None => rest = &rest[at + 2..],
        }
    }
    unescaped += rest;
    let mut decoded = String::new();
    let mut rest = &text[..];
    while let Some(at) = rest.find('%') {
        decoded += &rest[..at];
        let byte = rest.get(at + 1..at + 3);
        match byte.and_then(|byte| u8::from_str_radix(byte, 16).ok()) {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None => rest = &rest[at + 1..],
        }
    }
    decoded += rest;
    [text, unescaped, decoded]
}

/// Prefixes and suffixes that nest an object's members.
fn nestings() -> Vec<(String, String)> {
    let mut nestings: Vec<(String, String)> = [
        ("{", "}"),
        ("{\"a\": 1, ", ", \"z\": [true, null]}"),
        ("{\"a\":{\"b\":{", "}}}"),
        ("[[{", "}]]"),
        ("{\"list\":[1,{\"x\":null},{", "},\"y\"],\"n\":-2.5e3}"),
        ("{\n\t\"o\" : {\r\n ", "\n} }\n"),
        ("\u{feff}{\"größe\":\"\\\"\\\\\",", "}"),
    ]
    .map(|(before, after)| (before.to_owned(), after.to_owned()))
    .into();
    nestings.push((
        "{\"d\":[".repeat(30) + "{",
        "}".to_owned() + &"]}".repeat(30),
    ));
    nestings
}

/// Members whose value is replaced because of its key.
fn named_members() -> Vec<Planted> {
    let json = || Planted::new("application/json");
    let replaced = &format!("\"{REPLACEMENT}\"");
    let mut members = Vec::new();
    for key in ["password", "\\u0070assword", &escaped("password")] {
        let quoted = format!("\"{key}\": ");
        for value in [
            format!("\"{PASSWORD}\""),
            format!("\"{}\"", escaped(PASSWORD)),
            format!("[1, \"{PASSWORD}\", {{}}]"),
            format!("{{\"x\": {{\"password\": \"{PASSWORD}\"}}}}"),
        ] {
            members.push(json().text(&quoted).secret(&value, replaced, PASSWORD));
        }
        members.push(
            json()
                .text(&quoted)
                .secret("90817263", replaced, "90817263"),
        );
        members.push(
            json()
                .text(&quoted)
                .secret("\"first~secret\"", replaced, "first~secret")
                .text(", \"b\": 1, \"password\":")
                .secret(&format!("\"{PASSWORD}\""), replaced, PASSWORD),
        );
    }
    members
}

/// Members whose value is replaced because it matches a pattern.
fn patterned_members() -> Vec<Planted> {
    let json = || Planted::new("application/json");
    let mut members = Vec::new();
    for (before, secret) in PATTERNED {
        let before = format!("\"note\": \"see: {before}");
        members.push(
            json()
                .text(&before)
                .secret(secret, REPLACEMENT, secret)
                .text(" .\""),
        );
        members.push(
            json()
                .text(&before)
                .secret(&escaped(secret), REPLACEMENT, secret)
                .text("\\n\""),
        );
    }
    for (before, secret) in PATTERNED {
        // A tool call of a language model: a document in a string of another.
        let before =
            format!("\"arguments\": \"{{\\\"n\\\": 1, \\\"note\\\": \\\"see:\\\\n- {before}");
        let inside = json().text(&before);
        let twice = escaped(secret).replace('\\', "\\\\");
        members.push(
            inside
                .clone()
                .secret(secret, REPLACEMENT, secret)
                .text("\\\"}\""),
        );
        members.push(
            inside
                .secret(&twice, REPLACEMENT, secret)
                .text("\\\\n\\\"}\""),
        );
    }
    members.push(
        json()
            .text("\"")
            .secret("bob.q@example.org", REPLACEMENT, "bob.q@example.org")
            .text("\": 1"),
    );
    members.push(json().text("\"card\": ").secret(
        "5555555555554444",
        &format!("\"{REPLACEMENT}\""),
        "5555555555554444",
    ));
    members
}

fn json_bodies() -> Vec<Planted> {
    let members = [named_members(), patterned_members()].concat();
    let nested = |(before, after): (String, String)| {
        let around = move |member: &Planted| member.clone().around(&before, &after);
        members.iter().map(around).collect::<Vec<_>>()
    };
    nestings().into_iter().flat_map(nested).collect()
}

/// Bodies that are not JSON, or consist of pieces of JSON.
fn other_bodies() -> Vec<Planted> {
    let mut bodies = Vec::new();
    for (before, secret) in PATTERNED {
        for kind in ["text/plain", "text/html; charset=utf-8", "application/xml"] {
            let text = Planted::new(kind).text(&format!("<p>Dear x, {before}"));
            bodies.push(text.secret(secret, REPLACEMENT, secret).text(" .</p>\nend"));
        }
        let form = Planted::new("application/x-www-form-urlencoded").text("a=1&b=");
        let form = form
            .text(&percent(before))
            .secret(&percent(secret), REPLACEMENT, secret);
        bodies.push(form.text("&c=%41+d"));
        let events = Planted::new("text/event-stream").text(": hello\nevent: x\ndata: ");
        let events = events.text(before).secret(secret, REPLACEMENT, secret);
        bodies.push(events.text("\n\ndata: [DONE]\n\n"));
        let part = "--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n";
        let parts = Planted::new("multipart/form-data; boundary=B").text(part);
        let parts = parts.text(before).secret(secret, REPLACEMENT, secret);
        bodies.push(parts.text("\r\n--B--\r\n"));
    }
    for member in [named_members(), patterned_members()].concat() {
        let line = member.around("{", "}");
        let mut lines = line.clone().around("{\"a\":1}\n", "\n{\"b\":2}\n");
        lines.kind = "application/x-ndjson";
        bodies.push(lines);
        let mut events = line.around("data: {\"a\":1}\n\nid: 7\ndata: ", "\n\ndata: [DONE]\n\n");
        events.kind = "text/event-stream";
        bodies.push(events);
    }
    for name in ["token", "TOKEN", &percent("token")] {
        let form = Planted::new("application/x-www-form-urlencoded").text(&format!("a=1&{name}="));
        bodies.push(
            form.clone()
                .secret(PASSWORD, REPLACEMENT, PASSWORD)
                .text("&b=2"),
        );
        bodies.push(
            form.secret(&percent(PASSWORD), REPLACEMENT, PASSWORD)
                .text("&b=2"),
        );
    }
    let part = "--B\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n";
    let parts = Planted::new("multipart/form-data; boundary=\"B\"").text(part);
    bodies.push(
        parts
            .secret(PASSWORD, REPLACEMENT, PASSWORD)
            .text("\r\n--B--\r\n"),
    );
    bodies
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut member = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    member.extend(compress_to_vec(plain, 6));
    member.extend([0; 8]);
    member
}

#[test]
fn replaces_secrets_and_nothing_else() {
    let redaction = redaction();
    let bodies = [json_bodies(), other_bodies()].concat();
    assert!(bodies.len() >= 200, "{}", bodies.len());
    for body in &bodies {
        let plain = body.text.as_bytes();
        for (encoding, bytes) in [
            ("", plain.to_vec()),
            ("gzip", gzip(plain)),
            ("deflate", compress_to_vec_zlib(plain, 6)),
            ("deflate", compress_to_vec(plain, 6)),
        ] {
            let searched = search(&redaction, body.kind, encoding, &bytes, false);
            let left = String::from_utf8(searched.bytes).unwrap();
            assert_eq!(left, body.redacted, "{encoding} {}", body.text);
            assert!(!searched.truncated && searched.missing.is_none());
            assert_eq!(searched.decoded, !encoding.is_empty());
        }
        for secret in &body.secrets {
            assert!(
                !body.redacted.contains(secret),
                "the corpus is wrong: {body:?}"
            );
        }
    }
}

/// Asserts that no piece of a planted value remains in any reading.
fn assert_no_piece(body: &Planted, left: &[u8], cut: usize) {
    for reading in readings(left) {
        for secret in &body.secrets {
            let pieces = secret.as_bytes().windows(PIECE_BYTES.min(secret.len()));
            for piece in pieces {
                let piece = std::str::from_utf8(piece).unwrap();
                assert!(
                    !reading.contains(piece),
                    "{piece} is left of {} cut at {cut}: {reading}",
                    body.text
                );
            }
        }
    }
}

#[test]
fn truncated_body_shows_no_partial_secret() {
    let redaction = redaction();
    for body in [json_bodies(), other_bodies()].concat() {
        for cut in 1..body.text.len() {
            let begun = &body.text.as_bytes()[..cut];
            let searched = search(&redaction, body.kind, "", begun, true);
            assert!(searched.truncated);
            assert_no_piece(&body, &searched.bytes, cut);
            // Whatever remains is a prefix of the redacted complete body.
            let ends = [&b"\""[..], b""];
            let same = ends.iter().any(|end| {
                let left = searched.bytes.strip_suffix(*end);
                left.is_some_and(|left| body.redacted.as_bytes().starts_with(left))
            });
            let event = body.kind == "text/event-stream";
            assert!(same || event, "{} cut at {cut}", body.text);
        }
    }
}

#[test]
fn truncated_encoded_body_shows_no_partial_secret() {
    let redaction = redaction();
    for body in json_bodies().into_iter().step_by(7) {
        let encoded = gzip(body.text.as_bytes());
        for cut in 1..encoded.len() - 8 {
            let searched = search(&redaction, body.kind, "gzip", &encoded[..cut], true);
            assert!(searched.truncated && searched.decoded);
            assert_no_piece(&body, &searched.bytes, cut);
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z]{1,3}@[a-z]{1,3}\\.[a-z]{2}",
        "\\+[1-9][0-9]{6,16}",
        "[0-9]{3} [0-9 -]{8,16}",
        "(Bearer |eyJ|AKIA|GB29 )[A-Za-z0-9._-]{8,40}",
        "ORD-[0-9]{6,9}é?",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from(4_111_111_111_111_111_u64)),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let key = prop_oneof!["[a-c]", any::<String>(), "[a-z]{2}@[a-z]{2}\\.[a-z]{2}"];
        prop_oneof![
            // A document in a string of another.
            inner
                .clone()
                .prop_map(|value| Value::from(value.to_string())),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_redaction() -> impl Strategy<Value = Redaction> {
    let step = prop_oneof![
        Just(".a"),
        Just("..b"),
        Just("['c']"),
        Just("[0]"),
        Just("[*]"),
        Just(".*"),
        Just("..[1]"),
    ];
    let path = prop::collection::vec(step, 1..4).prop_map(|steps| format!("${}", steps.concat()));
    let pattern = prop_oneof![
        prop::sample::select(&EVERY[..]).prop_map(Value::from),
        Just(json!({"name": "order", "regex": "ORD-[0-9]{8}."})),
        Just(json!({"name": "digits", "regex": "[0-9]+"})),
    ];
    let paths = prop::collection::vec(path, 0..4);
    let patterns = prop::collection::vec(pattern, 0..4);
    let with = prop_oneof![Just("hash"), Just("[REDACTED]"), Just("x'<&>{}")];
    (paths, patterns, with).prop_filter_map("something to redact", |(json, patterns, with)| {
        parse(
            &json!({"json": json, "patterns": patterns, "with": with}),
            "redact",
        )
        .unwrap()
    })
}

proptest! {
    #[test]
    fn valid_json_stays_valid(value in any_json(), redaction in any_redaction(), pretty: bool) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let searched = search(&redaction, "application/json", "", text.as_bytes(), false);
        prop_assert!(!searched.truncated);
        prop_assert!(serde_json::from_slice::<Value>(&searched.bytes).is_ok());
    }

    #[test]
    fn without_matches_nothing_changes(value in any_json(), pretty: bool) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let keys = json!({
            "json": ["$..nowhere", "$['no where']"],
            "patterns": ["aws_key", {"name": "none", "regex": "NOWHERE[0-9]+"}],
        });
        let redaction = parse(&keys, "redact").unwrap().unwrap();
        let searched = search(&redaction, "application/json", "", text.as_bytes(), false);
        prop_assert_eq!(String::from_utf8(searched.bytes).unwrap(), text);
        prop_assert!(!searched.truncated);
    }

    #[test]
    fn arbitrary_bytes_stay_within_limit(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\":,\\u0@.\n&=%+d1"[..])], 0..400),
        kind in prop::sample::select(vec![
            "application/json", "application/x-ndjson", "text/event-stream", "text/plain", "",
            "application/x-www-form-urlencoded", "multipart/form-data; boundary=\"", "application/grpc",
        ]),
        encoding in prop::sample::select(vec!["", "gzip", "deflate"]),
        redaction in any_redaction(),
        cut: bool,
    ) {
        let searched = search(&redaction, kind, encoding, &bytes, cut);
        prop_assert!(searched.bytes.len() <= MAX_BYTES.max(bytes.len()) + (64 << 10));
        let text = String::from_utf8_lossy(&bytes);
        let mut counts = RedactionCounts::default();
        let bound = text.len() + (8 << 10);
        prop_assert!(redaction.redact_query(&*text, None, &mut counts).len() <= bound);
        prop_assert!(redaction.redact_text(&*text, None, &mut counts).len() <= bound);
    }
}

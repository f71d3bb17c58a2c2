//! Bodies with values planted in them that no record may hold: what is sent, and what must be left.

use std::sync::atomic::{AtomicUsize, Ordering};

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What stands in the place of a planted value.
pub(super) const GONE: &str = "[GONE]";
/// What every body has beside its planted values, and keeps.
pub(super) const KEPT: &str = "this-is-kept";

/// The redaction under which nothing planted is left.
pub(super) fn redaction() -> Value {
    json!({
        "json": ["$..password", "$.messages[*].content"],
        "headers": ["x-api-key"],
        "query": ["token"],
        "patterns": [
            "email", "credit_card", "bearer_token", "aws_key", "jwt", "iban", "phone",
            {"name": "order", "regex": "ORD-[0-9]{8}"},
        ],
        "with": GONE,
    })
}

/// A body, what must be left of it, and what must not.
#[derive(Debug, Clone)]
pub(super) struct Planted {
    pub(super) content_type: &'static str,
    pub(super) sent: String,
    pub(super) left: String,
    /// One for each value that is replaced.
    pub(super) secrets: Vec<String>,
}

impl Planted {
    fn new(content_type: &'static str) -> Self {
        Self {
            content_type,
            sent: String::new(),
            left: String::new(),
            secrets: Vec::new(),
        }
    }

    fn keep(mut self, text: &str) -> Self {
        self.sent += text;
        self.left += text;
        self
    }

    /// Something that is replaced; `secret` is what must not be left of it.
    fn gone(mut self, written: &str, left: &str, secret: &str) -> Self {
        self.sent += written;
        self.left += left;
        self.secrets.push(secret.to_owned());
        self
    }

    /// A secret that is found for what it looks like.
    fn found(self, secret: &str) -> Self {
        self.gone(secret, GONE, secret)
    }

    fn around(mut self, before: &str, behind: &str) -> Self {
        self.sent = format!("{before}{}{behind}", self.sent);
        self.left = format!("{before}{}{behind}", self.left);
        self
    }
}

/// A value unlike all others, so that whatever is left of it tells where it comes from.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(100);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A value that only its place gives away.
pub(super) fn password() -> String {
    format!("hunter2~{}~Zq9kx", number())
}

/// A value that what it looks like gives away.
pub(super) fn mail() -> String {
    format!("leak{}@mail.example.com", number())
}

/// One secret of each pattern, and what gives it away but stays.
fn patterned() -> Vec<(&'static str, String)> {
    let number = number();
    vec![
        ("", mail()),
        ("", "4111 1111 1111 1111".to_owned()),
        ("", "5555555555554444".to_owned()),
        ("Bearer ", format!("mF_9.B5f-4.1JqM{number}")),
        ("", format!("AKIAIOSFODNN7EXA{number:04}")),
        (
            "",
            format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5OSJ9.dozjgNryP4J3jVmN{number}"),
        ),
        ("", "GB29 NWBK 6016 1331 9268 19".to_owned()),
        ("", format!("+49 170 555 7{number}")),
        ("", format!("ORD-{:08}", 10_000_000 + number)),
    ]
}

/// Every character as `\u0000`.
fn escaped(text: &str) -> String {
    let unit = |unit| format!("\\u{unit:04x}");
    text.encode_utf16().map(unit).collect()
}

/// Every byte as `%00`.
fn percent(text: &str) -> String {
    let byte = |byte| format!("%{byte:02X}");
    text.bytes().map(byte).collect()
}

/// Ways to nest an object's members.
fn nestings() -> Vec<(String, String)> {
    let mut nestings: Vec<(String, String)> = [
        ("{", "}"),
        ("{\"a\": 1, ", ", \"z\": [true, null]}"),
        ("{\"a\":{\"b\":{", "}}}"),
        ("[[{", "}]]"),
        ("{\"list\":[1,{\"x\":null},{", "},\"y\"],\"n\":-2.5e3}"),
        ("{\n\t\"o\" : {\r\n ", "\n} }"),
        ("{\"größe\":\"\\\"\\\\\",", "}"),
    ]
    .map(|(before, behind)| (before.to_owned(), behind.to_owned()))
    .into();
    nestings.push((
        "{\"d\":[".repeat(30) + "{",
        "}".to_owned() + &"]}".repeat(30),
    ));
    nestings
}

/// Members of an object, some of whose values must go.
fn members() -> Vec<Planted> {
    let json = || Planted::new("application/json").keep(&format!("\"k\":\"{KEPT}\","));
    let gone = &format!("\"{GONE}\"");
    let mut members = Vec::new();
    for key in ["password", "\\u0070assword", &escaped("password")] {
        let named = || json().keep(&format!("\"{key}\": "));
        let secret = password();
        members.push(named().gone(&format!("\"{secret}\""), gone, &secret));
        members.push(named().gone(&format!("\"{}\"", escaped(&secret)), gone, &secret));
        let list = format!("[1, \"{secret}\", {{}}]");
        members.push(named().gone(&list, gone, &secret));
        let object = format!("{{\"x\": {{\"password\": \"{secret}\"}}}}");
        members.push(named().gone(&object, gone, &secret));
        let digits = format!("908172635{}", number());
        members.push(named().gone(&digits, gone, &digits));
        let twice = named().gone(&format!("\"{secret}\""), gone, &secret);
        let second = password();
        members.push(twice.keep(", \"b\": 1, \"password\":").gone(
            &format!("\"{second}\""),
            gone,
            &second,
        ));
    }
    for (before, secret) in patterned() {
        let note = || json().keep(&format!("\"note\": \"see: {before}"));
        members.push(note().found(&secret).keep(" .\""));
        members.push(note().gone(&escaped(&secret), GONE, &secret).keep("\\n\""));
    }
    members.push(json().keep("\"").found(&mail()).keep("\": 1"));
    members
}

fn json_bodies() -> Vec<Planted> {
    let nested = |(before, behind): (String, String)| {
        let around = move |member: Planted| member.around(&before, &behind);
        members().into_iter().map(around).collect::<Vec<_>>()
    };
    let mut bodies: Vec<_> = nestings().into_iter().flat_map(nested).collect();
    let content = password();
    bodies.push(
        Planted::new("application/vnd.chat+json")
            .keep(&format!(
                "{{\"k\":\"{KEPT}\",\"messages\":[{{\"role\":\"user\",\"content\":"
            ))
            .gone(&format!("\"{content}\""), &format!("\"{GONE}\""), &content)
            .keep("}]}"),
    );
    bodies
}

fn other_bodies() -> Vec<Planted> {
    let mut bodies = Vec::new();
    for (before, secret) in patterned() {
        for content_type in [
            "text/plain",
            "text/html; charset=utf-8",
            "application/xml",
            "",
        ] {
            let text = Planted::new(content_type).keep(&format!("<p>{KEPT}, {before}"));
            bodies.push(text.found(&secret).keep(" .</p>\nend"));
        }
        let form = Planted::new("application/x-www-form-urlencoded")
            .keep(&format!("a={KEPT}&b={}", percent(before)));
        let form = form.gone(&percent(&secret), GONE, &secret);
        bodies.push(form.keep("&c=%41+d"));
        let events =
            Planted::new("text/event-stream").keep(&format!(": {KEPT}\nevent: x\ndata: {before}"));
        bodies.push(events.found(&secret).keep("\n\ndata: [DONE]\n\n"));
        let part = "--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n";
        let parts =
            Planted::new("multipart/form-data; boundary=B").keep(&format!("{part}{KEPT} {before}"));
        bodies.push(parts.found(&secret).keep("\r\n--B--\r\n"));
    }
    for member in members() {
        let line = member.around("{", "}");
        let mut lines = line.clone().around("{\"a\":1}\n", "\n{\"b\":2}\n");
        lines.content_type = "application/x-ndjson";
        bodies.push(lines);
        let mut events = line.around("data: {\"a\":1}\n\nid: 7\ndata: ", "\n\ndata: [DONE]\n\n");
        events.content_type = "text/event-stream";
        bodies.push(events);
    }
    for name in ["token", "TOKEN", &percent("token")] {
        let secret = password();
        let form =
            Planted::new("application/x-www-form-urlencoded").keep(&format!("a={KEPT}&{name}="));
        bodies.push(form.clone().found(&secret).keep("&b=2"));
        bodies.push(form.gone(&percent(&secret), GONE, &secret).keep("&b=2"));
    }
    let part = "--B\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n";
    let parts = Planted::new("multipart/form-data; boundary=\"B\"").keep(&format!(
        "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{KEPT}\r\n{part}"
    ));
    bodies.push(parts.found(&password()).keep("\r\n--B--\r\n"));
    bodies
}

/// All of them.
pub(super) fn bodies() -> Vec<Planted> {
    [json_bodies(), other_bodies()].concat()
}

/// How a value may be written and still be read.
fn forms(secret: &str) -> Vec<String> {
    let reserved = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_string()
        } else {
            percent(&c.to_string())
        }
    };
    let mut forms = vec![
        secret.to_owned(),
        escaped(secret),
        percent(secret),
        secret.chars().map(reserved).collect(),
    ];
    // Within a longer text, base64 of the same bytes comes in three forms, less their ends.
    for shift in 0..3 {
        let shifted = [&[0; 2][..shift], secret.as_bytes()].concat();
        let whole = shifted.len() / 3 * 4;
        let from = if shift == 0 { 0 } else { 4 };
        for text in [
            STANDARD_NO_PAD.encode(&shifted),
            URL_SAFE_NO_PAD.encode(&shifted),
        ] {
            forms.push(text[from..whole].to_owned());
        }
    }
    forms
}

/// Looks for secrets, in whatever form.
struct Search {
    forms: Vec<String>,
    all_at_once: AhoCorasick,
}

impl Search {
    fn of(secrets: &[String]) -> Self {
        let forms: Vec<_> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        Self {
            // The digits of escapes are written large or small.
            all_at_once: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(&forms)
                .unwrap(),
            forms,
        }
    }

    /// The form in which a secret stands there, and what stands around it.
    fn find(&self, bytes: &[u8]) -> Option<String> {
        let found = self.all_at_once.find(bytes)?;
        let around = found.start().saturating_sub(200)..bytes.len().min(found.end() + 200);
        let around = String::from_utf8_lossy(&bytes[around]);
        Some(format!("{} in {around}", self.forms[found.pattern()]))
    }
}

/// Fails if any of the secrets stands in any of these, in whatever form.
pub(super) fn expect_none(secrets: &[String], places: &[(&str, Vec<u8>)]) {
    let search = Search::of(secrets);
    for (place, bytes) in places {
        assert_eq!(search.find(bytes), None, "a secret is in {place}");
    }
}

#[test]
fn finds_secret_in_every_form() {
    let secret = password();
    let search = Search::of(std::slice::from_ref(&secret));
    for text in [
        format!("a {secret} b"),
        escaped(&secret),
        percent(&secret),
        secret.replace('~', "%7e"),
        STANDARD.encode(format!("in a text {secret} of some length")),
        STANDARD.encode(format!("in a text: {secret}")),
        URL_SAFE_NO_PAD.encode(format!("another {secret}")),
    ] {
        assert!(search.find(text.as_bytes()).is_some(), "{text}");
    }
    assert_eq!(search.find(password().as_bytes()), None);
}

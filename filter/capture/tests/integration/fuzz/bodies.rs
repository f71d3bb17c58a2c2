//! Fuzzes the JSON scanner and redaction.

use dossier_capture::config::redact::parse;
use dossier_capture::json::{Paths, Scanner};
use dossier_capture::redact::{HashKey, RawBody, RawText, Redaction, RedactionCounts};

use serde_json::json;
use serde_json::value::RawValue;

use super::engine::{Random, Target};

const MAX_BYTES: usize = 4096;
/// Limits of what replacements add.
const BODY_GROWTH: usize = 64 << 10;
const TEXT_GROWTH: usize = 8 << 10;
const JSON: &str = "application/json";
const KINDS: [&str; 9] = [
    JSON,
    "application/x-ndjson",
    "text/event-stream",
    "text/plain",
    "image/png",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=B",
    "application/grpc",
    "text/plain, text/html",
];
const ENCODINGS: [&str; 4] = ["", "", "gzip", "deflate"];
const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b"\\u0061",
    b"\\ud83d",
    b"\\\\u0040",
    b"%40",
    b"%25",
    b"+",
    b"&",
    b";",
    b"=",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"--B",
    b"data: ",
    b"\xef\xbb\xbf",
    b"\x1e",
    b"\xc3",
    b"\xff",
    b"\0",
    b"@",
    b".com",
    b"-",
    b" ",
    b"1",
    b"true",
    b"-1.5e3",
    b"\"password\":",
    b"\"ssn\":",
    b"token=",
    b"name=\"token\"",
    b"alice@example.com",
    b"4111 1111 1111 1111",
    b"Bearer ",
    b"eyJ",
    b"AKIA",
    b"GB29",
    b"(415) ",
    b"abab",
];
const SEEDS: [&[u8]; 11] = [
    br#"{"password":"a\u0062c","ssn":[1,-2.5e3,{"x":null}],"m":[{"c":"alice@example.com"}]}"#,
    br#"[[[[{"a":{"a":{"a":{"ssn":true}}}}]]]]{"b":"\ud83d\ude00\\\""}"#,
    br#"{"arguments":"{\"mail\":\"alice\\u0040example.com\\nAKIAIOSFODNN7EXAMPLE\",\"u\":\"?m=a%40b.de\"}"}"#,
    b"{\"card\":4111111111111111,\"p\":\"+49 170 5557788\"}\n{\"x\":\"GB29 NWBK 6016 1331 9268 19\"}\n",
    b"event: x\r\ndata: {\"password\":1}\r\n\r\ndata: {\ndata: \"a\":1}\n\ndata: [DONE]\n\n",
    b"token=a%20b&mail=alice%40example.com;card=4111+1111+1111+1111&eyJa.eyJb.c",
    b"--B\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nsecret\r\n--B\r\n\r\nx\r\n--B--",
    b"Authorization: Bearer abcdefghijk AKIAIOSFODNN7EXAMPLE (415) 555-2671 415-555-2671",
    b"\0\0\0\0\x07a@b.com\x01\0\0\0\x01x",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xabV*H,..\xcf/JQ\xb2R*N-.NL\x07\0\0\0\0\0\0\0\0\0",
    b"\x78\x01\xabV*H,..\xcf/JQ\xb2R*N-.NL\x07\0\0\0\0\0",
];

fn redactions() -> [Redaction; 4] {
    let every = [
        "email",
        "credit_card",
        "bearer_token",
        "aws_key",
        "jwt",
        "iban",
        "phone",
    ];
    [
        json!({"json": ["$.password", "$..ssn", "$.m[*].c", "$..a..a", "$..*.x"]}),
        json!({"patterns": every, "query": ["token"]}),
        json!({
            "json": ["$..*"], "query": ["token"], "with": "hash", "unreadable": "keep",
            "patterns": ["jwt", {"name": "o", "regex": "[a-c]+."}, {"name": "x", "regex": "\\S\\s+\\S"}],
        }),
        json!({
            "headers": ["x"], "query": ["mail"], "with": "x",
            "patterns": [
                {"name": "ahead", "regex": "a(?:[^z]*z)?"},
                {"name": "states", "regex": "(?i)[ab]*a[ab]{60}c"},
                {"name": "edges", "regex": r"(?m)\b\w+$|^.\B."},
            ],
        }),
    ]
    .map(|keys| parse(&keys, "redact").unwrap().unwrap())
}

/// Tokens are in order, do not overlap, and are no more than the bytes.
fn scan(bytes: &[u8]) {
    let mut scanner = Scanner::new(bytes);
    let mut tokens = 0;
    let mut last = 0;
    while let Some(token) = scanner.next_token() {
        tokens += 1;
        assert!(last <= token.start && token.start < token.end && token.end <= bytes.len());
        last = token.end;
    }
    assert!(tokens <= bytes.len() && scanner.end().is_some());
}

fn redact(bytes: &[u8], redaction: &Redaction, key: Option<&HashKey>, random: &mut Random) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut counts = RedactionCounts::default();
    let bound = text.len() + TEXT_GROWTH;
    let sent = *random.pick(&[RawText::from(&*text), RawText::truncated(&text)]);
    assert!(redaction.redact_query(sent, key, &mut counts).len() <= bound);
    assert!(redaction.redact_header("x", sent, key, &mut counts).len() <= bound);
    assert!(redaction.redact_text(sent, key, &mut counts).len() <= bound);

    let kind = *random.pick(&KINDS);
    let encoding = *random.pick(&ENCODINGS);
    let truncated = random.below(2) == 0;
    let body = RawBody {
        bytes: bytes.to_vec(),
        content_type: Some(kind),
        content_encoding: Some(encoding),
        truncated,
        max_bytes: MAX_BYTES,
    };
    let searched = redaction.redact_body(body, key, &mut counts);
    assert!(searched.bytes.len() <= MAX_BYTES.max(bytes.len()) + BODY_GROWTH);
    assert!(searched.truncated || !truncated);
    // Each match has at least one byte, and each text is searched once.
    let gone_through = MAX_BYTES.max(bytes.len()) + 3 * text.len();
    assert!(counts.total() <= gone_through as u64);

    let valid = |bytes: &[u8]| serde_json::from_slice::<&RawValue>(bytes).is_ok();
    if kind == JSON && encoding.is_empty() && !searched.truncated && valid(bytes) {
        assert!(searched.missing.is_some() || valid(&searched.bytes));
    }
}

#[test]
fn bodies() {
    let target = Target {
        name: "bodies",
        seeds: SEEDS.map(<[u8]>::to_vec).to_vec(),
        tokens: TOKENS,
    };
    let redactions = redactions();
    let paths = ["$.password", "$..ssn", "$..*"].map(|path| path.parse().unwrap());
    let paths = Paths::new(paths.to_vec());
    let key = HashKey::new(b"a key of sixteen bytes or more").unwrap();
    target.run(|bytes, random| {
        scan(bytes);
        assert_eq!(paths.first_values(bytes).len(), paths.len());
        let key = (random.below(2) == 0).then_some(&key);
        redact(bytes, random.pick(&redactions), key, random);
    });
}

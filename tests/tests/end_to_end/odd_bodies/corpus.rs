//! Some two hundred bodies that are hard to show: escapes, numbers and depths of JSON, texts of many encodings, media
//! types, codings, streams.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A body as it is sent.
pub(super) struct OddBody {
    pub(super) content_type: &'static str,
    pub(super) encoding: Option<&'static str>,
    pub(super) bytes: Vec<u8>,
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

/// Within the string of a JSON value, a key, an event and a line.
const ESCAPES: [&str; 24] = [
    r"\u0000",
    r"\u0001",
    r"\u001f",
    r"\u007f",
    r"\u0080",
    r"\u2028",
    r"\ufeff",
    r"\ufffe",
    r"\uffff",
    r"\ud83d\ude00",
    r"\uD83D\uDE00",
    r"\ud83d",
    r"\ude00",
    r"\ude00\ud83d",
    r"\ud83d\ud83d",
    r"\ud83d\n\ude00",
    r"\\ud83d",
    r"\ud83d\\ude00",
    r#"\"\\\/\b\f\n\r\t"#,
    r"\x41",
    r"\u12",
    r"\uzzzz",
    "\u{7f}\u{85}\u{2028}\u{1f600}",
    "\u{1}\t",
];

const NUMBERS: [&str; 30] = [
    "0",
    "-0",
    "-0.0",
    "1.50",
    "1E+2",
    "18446744073709551615",
    "18446744073709551617",
    "-9223372036854775809",
    "123456789012345678901234567890.123456789",
    "1e308",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "1.8e308",
    "1e309",
    "1e400",
    "-1e400",
    "1e-400",
    "5e-324",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "0.000000000000000000000000000000000000000000001e350",
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "NaN",
    "-Infinity",
    "0x10",
    "1_000",
];

const DEPTHS: [usize; 8] = [2, 99, 100, 101, 126, 127, 128, 30_000];

const MEDIA_TYPES: [&str; 46] = [
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "text/json",
    "application/problem+json",
    "application/ld+json; profile=\"x;y\"",
    "application/json-rpc",
    "application/jsonrequest",
    "application/csp-report",
    "application/reports+json",
    "application/x-amz-json-1.0",
    "application/x-amz-json-1.1",
    "application/x-javascript",
    "application/javascript",
    "application/manifest+json",
    "application/json5",
    "application/jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/x-jsonl",
    "application/json-lines",
    "application/x-json-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/json-seq",
    "application/xml",
    "application/soap+xml",
    "image/svg+xml",
    "text/xml",
    "application/toml",
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "application/sql",
    "application/graphql",
    "application/x-www-form-urlencoded",
    "application/grpc",
    "application/grpc-web+proto",
    "application/octet-stream",
    "application/x-protobuf",
    "application/pdf",
    "image/png",
    "text/plain",
    "text/plain; charset=iso-8859-1",
    "text/event-stream",
    "multipart/form-data",
    "nonsense",
];

/// `text` in gzip, by Python.
const GZIP: &str = "H4sIAAAAAAACAytJrSgBAH/YVGUEAAAA";
/// `café` in Latin-1, by Node's brotli.
const BROTLI: &str = "iwGAY2Fm6QM=";

/// The corpus.
pub(super) fn odd_bodies() -> Vec<OddBody> {
    let mut bodies = Vec::new();
    let mut add = |content_type, bytes: Vec<u8>| {
        bodies.push(OddBody {
            content_type,
            encoding: None,
            bytes,
        });
    };
    for escape in ESCAPES {
        add(JSON, format!("{{\"prompt\":\"cut {escape}\"}}").into());
        add(
            JSON,
            format!("{{\"{escape}\":[{{\"{escape}\":1}}]}}").into(),
        );
        add(
            EVENTS,
            format!("data: {{\"a\":\"{escape}\"}}\n\ndata: \"{escape}\"\n\ndata: {escape}\n\n")
                .into(),
        );
    }
    for number in NUMBERS {
        add(JSON, format!("{{\"e\":{number}}}").into());
    }
    let lines = NUMBERS.map(|number| format!("{{\"e\":{number}}}\n"));
    add(LINES, lines.concat().into());
    let events = NUMBERS.map(|number| format!("data: [{number}]\n\n"));
    add(EVENTS, events.concat().into());
    for depth in DEPTHS {
        add(JSON, [vec![b'['; depth], vec![b']'; depth]].concat());
    }
    for depth in [100, 128, 9_000] {
        let nested = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        add(EVENTS, format!("data: {nested}\n\n").into());
        add(LINES, format!("{{}}\n{nested}\n").into());
        add(JSON, nested.into());
    }
    for content_type in MEDIA_TYPES {
        add(
            content_type,
            b"{\"a\": \"\\ud83d\", \"n\": 1e999}\n".to_vec(),
        );
    }
    for (content_type, bytes) in odd_texts() {
        add(content_type, bytes.to_vec());
    }
    for (encoding, content_type, bytes) in encoded() {
        bodies.push(OddBody {
            content_type,
            encoding: Some(encoding),
            bytes,
        });
    }
    bodies
}

fn odd_texts() -> [(&'static str, &'static [u8]); 26] {
    [
        (JSON, b"\xef\xbb\xbf{\"a\":1}"),
        (JSON, b"{\"a\":\"\xff\"}"),
        (JSON, b"{\"a\":\"\xed\xa0\xbd\"}"),
        (JSON, b"{\"a\":\"\xc0\x80\"}"),
        (JSON, b"{\0\"\0a\0\"\0:\x001\0}\0"),
        (JSON, b"{\"a\":1,\"a\":2,\"\":3}"),
        (JSON, b"{\"a\":1} {\"b\":2}"),
        (JSON, b"{\"a\":1"),
        (JSON, b" \n\t"),
        (JSON, b"\"alone\""),
        (JSON, b"null"),
        (JSON, b"{'a':1,}"),
        (JSON, b"{\"a\":1 /* why */}"),
        ("application/json; charset=utf-16", b"\xff\xfe{\0}\0"),
        ("application/json; charset=iso-8859-1", b"{\"a\":\"\xe9\"}"),
        ("text/plain; charset=utf-16be", b"\xd8\x3d\0a"),
        ("text/plain; charset=windows-1252", b"\x80\x81\x8d"),
        ("text/plain; charset=none-such", b"caf\xc3\xa9"),
        ("text/plain", b"\0\x01\x1b[31m\x7f"),
        ("text/plain", b"\xf0\x9f\x98"),
        (EVENTS, b"data: a\r\rdata: b\r\n\r\nid: \0\n\n:only a comment\n\n"),
        (EVENTS, b"\xef\xbb\xbfdata: \xff\n\ndata: {\"a\":\"\xff\"}\n\n"),
        ("multipart/form-data; boundary=b", b"--b\r\ncontent-disposition: form-data; name=\"\xff\"\r\n\r\n{\"e\":1e999}\r\n--b\r\ncontent-type: application/json\r\n\r\n\"\\ud83d\"\r\n--b--\r\n"),
        ("multipart/mixed; boundary=b", b"--b\r\n\r\nno end"),
        ("application/grpc", b"\0\0\0\0\x02hi\x01\xff\xff\xff\xffz"),
        ("application/json-seq", b"\x1e{\"a\":1e999}\n\x1e{\"a\":\n"),
    ]
}

fn encoded() -> [(&'static str, &'static str, Vec<u8>); 8] {
    let [gzip, brotli] = [GZIP, BROTLI].map(|text| STANDARD.decode(text).unwrap());
    let deflate = miniz_oxide::deflate::compress_to_vec_zlib(b"{\"a\":\"\\ud83d\"}", 6);
    [
        ("gzip", JSON, gzip.clone()),
        ("gzip", "text/plain", [gzip.as_slice(), &[0; 16]].concat()),
        ("gzip", "text/plain", [gzip.as_slice(), b"garbage"].concat()),
        ("gzip", JSON, b"{\"e\":1e999}".to_vec()),
        ("br", "text/plain; charset=iso-8859-1", brotli),
        ("deflate", JSON, deflate),
        ("zstd", JSON, b"\x28\xb5\x2f\xfd\xff".to_vec()),
        ("gzip, br", JSON, b"{\"a\":\"\\ude00\"}".to_vec()),
    ]
}

//! Mutated bodies thrown at the JSON scanner and at the redactor for `DOSSIER_FUZZ_SECONDS` (2 if
//! absent): no panic, no more output than the bound, no more work than a token for each byte.
#![cfg(not(target_arch = "wasm32"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use dossier_capture::config::redact::parse;
use dossier_capture::json::{Paths, Scanner};
use dossier_capture::redact::{Body, Counts, Redaction};
use serde_json::json;

const MOST: usize = 4096;
const GROWTH: usize = 64 << 10;
const LONGEST_INPUT: usize = 16 << 10;
const KINDS: [&str; 8] = [
    "application/json",
    "application/x-ndjson",
    "text/event-stream",
    "text/plain",
    "image/png",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=B",
    "application/grpc",
];
const ENCODINGS: [&str; 3] = ["", "gzip", "deflate"];
const SEEDS: [&[u8]; 9] = [
    br#"{"password":"a\u0062c","ssn":[1,-2.5e3,{"x":null}],"m":[{"c":"alice@example.com"}]}"#,
    br#"[[[[{"a":{"a":{"a":{"ssn":true}}}}]]]]{"b":"\ud83d\ude00\\\""}"#,
    b"{\"card\":4111111111111111,\"p\":\"+49 170 5557788\"}\n{\"x\":\"GB29 NWBK 6016 1331 9268 19\"}\n",
    b"event: x\r\ndata: {\"password\":1}\r\n\r\ndata: {\ndata: \"a\":1}\n\ndata: [DONE]\n\n",
    b"token=a%20b&mail=alice%40example.com&card=4111+1111+1111+1111&eyJa.eyJb.c",
    b"--B\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nsecret\r\n--B\r\n\r\nx\r\n--B--",
    b"Authorization: Bearer abcdefghijk AKIAIOSFODNN7EXAMPLE (415) 555-2671 415-555-2671",
    b"\0\0\0\0\x07a@b.com\x01\0\0\0\x01x",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xabV*H,..\xcf/JQ\xb2R*N-.NL\x07\0\0\0\0\0\0\0\0\0",
];

/// `SplitMix64`: the same inputs for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below(length - start + 1)
    }
}

fn mutated(random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(&SEEDS).to_vec();
    for _ in 0..random.below(8) {
        match random.below(5) {
            0 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            1 => {
                let other = random.pick(&SEEDS);
                let piece = other[random.range(other.len())].to_vec();
                let place = random.range(bytes.len());
                bytes.splice(place, piece);
            }
            2 => bytes.truncate(random.below(bytes.len() + 1)),
            3 => {
                let piece = bytes[random.range(bytes.len())].repeat(1 + random.below(40));
                let at = random.below(bytes.len() + 1);
                bytes.splice(at..at, piece);
            }
            _ => {
                let at = random.below(bytes.len() + 1);
                bytes.insert(at, random.pick(b"{}[]\"\\:,@.+-%&=\n\r 0\xff\0"));
            }
        }
        bytes.truncate(LONGEST_INPUT);
    }
    bytes
}

fn attempt(random: &mut Random, redactions: &[Redaction], paths: &Paths) {
    let bytes = mutated(random);
    let length = bytes.len();
    let mut scanner = Scanner::new(&bytes);
    let mut tokens = 0;
    let mut last = 0;
    while let Some(token) = scanner.next_token() {
        tokens += 1;
        assert!(last <= token.start && token.start < token.end && token.end <= length);
        last = token.end;
    }
    assert!(tokens <= length && scanner.end().is_some());
    assert_eq!(paths.first_values(&bytes).len(), paths.len());

    let redaction = &redactions[random.below(redactions.len())];
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut counts = Counts::default();
    assert!(redaction.query(&text, None, &mut counts).len() <= text.len() + GROWTH);
    assert!(redaction.header("x", &text, None, &mut counts).len() <= text.len() + GROWTH);
    let body = Body {
        bytes,
        content_type: Some(random.pick(&KINDS)),
        content_encoding: Some(random.pick(&ENCODINGS)),
        truncated: random.below(2) == 0,
        most: MOST,
    };
    let searched = redaction.body(body, None, &mut counts);
    assert!(searched.bytes.len() <= MOST.max(length) + GROWTH);
}

#[test]
fn mutated_bodies_are_survived() {
    let seconds = std::env::var("DOSSIER_FUZZ_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(2);
    let every = [
        "email",
        "credit_card",
        "bearer_token",
        "aws_key",
        "jwt",
        "iban",
        "phone",
    ];
    let redactions = [
        json!({"json": ["$.password", "$..ssn", "$.m[*].c", "$..a..a", "$..*.x"]}),
        json!({"patterns": every, "query": ["token"]}),
        json!({
            "json": ["$..*"], "query": ["token"], "with": "hash",
            "patterns": ["jwt", {"name": "o", "regex": "[a-c]+."}, {"name": "x", "regex": "\\S\\s+\\S"}],
        }),
    ]
    .map(|keys| parse(&keys, "redact").unwrap().unwrap());
    let paths = ["$.password", "$..ssn", "$..*"].map(|path| path.parse().unwrap());
    let paths = Paths::new(paths.to_vec());
    let start = Instant::now();
    let mut seed = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            attempt(&mut Random(seed), &redactions, &paths);
        }));
        assert!(outcome.is_ok(), "the seed {seed} fails");
        seed += 1;
    }
    assert!(seed > 0, "no time to try anything");
}

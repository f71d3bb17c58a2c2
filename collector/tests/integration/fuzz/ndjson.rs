//! Batches as NDJSON.

use dossier_collector::ingest::ndjson::NdjsonBatch;
use dossier_collector::limits::admission::Admission;
use dossier_wire::FrameContent;
use dossier_wire::frame::MAX_FRAMES;

use super::engine::{Random, Target};

/// Messages quote nothing from the input.
const MAX_ERROR_BYTES: usize = 200;
/// Memory is reserved in blocks.
const BLOCK_BYTES: usize = 1024;
const TOKENS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"[",
    b"\"",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e999",
    b"\\ud800",
    b"\\n",
    b"\xff",
    b"DOSSIER\x01",
    b"\"body_json\":",
    b"\"body_text\":\"",
    b"\"body_base64\":\"AP8=\"",
    b"\"body_size\":0",
    b"\"body_decoded\":true",
    b"\"metadata\":{",
];

fn seeds() -> Vec<Vec<u8>> {
    let line = |body: &str| {
        format!(
            r#"{{"exchange_id":"01890000-0000-7000-8000-000000000000","type":"request","user_id":"alice","endpoint":"/x","method":"POST","path":"/x","started_at":1,"first_byte_at":2,"ended_at":3,"body_size":99,"completion":"complete"{body}}}"#
        )
    };
    let bodies = [
        "",
        r#","body_json":{"a": [1, 2.50, null]}"#,
        r#","body_text":"two\nlines \u00fc""#,
        r#","body_base64":"AAECAwQF""#,
    ];
    let lines: Vec<_> = bodies.into_iter().map(line).collect();
    let all = lines.join("\n");
    let each = lines.into_iter().map(String::into_bytes);
    each.chain([all.into_bytes()]).collect()
}

/// Records are slices of the input, in order, and reserve no more memory than its length.
fn check(bytes: &[u8], _random: &mut Random) {
    let admission = Admission::default();
    let lines = match NdjsonBatch::parse(bytes, admission.reserve()) {
        Ok(lines) => lines,
        Err(error) => return assert!(error.to_string().len() <= MAX_ERROR_BYTES),
    };
    assert!(admission.reserved_bytes() <= bytes.len().next_multiple_of(BLOCK_BYTES));
    let (mut records, mut header_bytes, mut last) = (0, 0, None);
    for raw in lines.records() {
        records += 1;
        header_bytes += raw.header.len();
        assert!(raw.body.len() <= raw.header.len());
        assert!(last < Some(raw.position));
        last = Some(raw.position);
        match raw.content {
            Ok(FrameContent::Record(_, body)) => assert_eq!(body, raw.body),
            Ok(FrameContent::Gap(_)) => panic!("a line is a record"),
            Err(error) => assert!(error.len() <= MAX_ERROR_BYTES, "{error}"),
        }
    }
    assert!((1..=MAX_FRAMES).contains(&records));
    assert!(header_bytes <= bytes.len());
}

#[test]
fn ndjson_batches_parse_within_bounds() {
    let target = Target {
        name: "lines",
        seeds: seeds(),
        tokens: TOKENS,
    };
    target.run(check);
}

#[test]
fn seeds_are_valid_batches() {
    for seed in seeds() {
        let lines = NdjsonBatch::parse(&seed, Admission::default().reserve()).unwrap();
        assert!(lines.records().all(|raw| raw.content.is_ok()));
    }
}

//! Lines of JSON as producers send them.

use dossier_collector::ingest::ndjson::Lines;
use dossier_collector::limits::admission::Admission;
use dossier_wire::FrameContent;
use dossier_wire::frame::MAX_FRAMES;

use super::engine::{Random, Target};

/// Errors say where and why; they quote nothing.
const LONGEST_ERROR: usize = 200;
/// Room is taken in blocks.
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

/// What comes out of lines lies in them, in order, and takes no more room than they do.
fn read(bytes: &[u8], _random: &mut Random) {
    let admission = Admission::default();
    let lines = match Lines::parse(bytes, admission.reserve()) {
        Ok(lines) => lines,
        Err(error) => return assert!(error.to_string().len() <= LONGEST_ERROR),
    };
    assert!(admission.reserved_bytes() <= bytes.len().next_multiple_of(BLOCK_BYTES));
    let (mut read, mut header_bytes, mut last) = (0, 0, None);
    for candidate in lines.candidates() {
        read += 1;
        header_bytes += candidate.header.len();
        assert!(candidate.body.len() <= candidate.header.len());
        assert!(last < Some(candidate.position));
        last = Some(candidate.position);
        match candidate.item {
            Ok(FrameContent::Record(_, body)) => assert_eq!(body, candidate.body),
            Ok(FrameContent::Gap(_)) => panic!("a line is a record"),
            Err(error) => assert!(error.len() <= LONGEST_ERROR, "{error}"),
        }
    }
    assert!((1..=MAX_FRAMES).contains(&read));
    assert!(header_bytes <= bytes.len());
}

#[test]
fn lines() {
    let target = Target {
        name: "lines",
        seeds: seeds(),
        tokens: TOKENS,
    };
    target.run(read);
}

#[test]
fn the_seeds_are_lines_of_records() {
    for seed in seeds() {
        let lines = Lines::parse(&seed, Admission::default().reserve()).unwrap();
        assert!(lines.candidates().all(|candidate| candidate.item.is_ok()));
    }
}

//! Fuzzes the decoder of batches and the decompression before it.

use dossier_wire::VariantArray;
use std::borrow::Cow;

use dossier_wire::compression::{InflateError, inflate};
use dossier_wire::frame::{FRAME_PREFIX_BYTES, MAX_FRAMES, PREAMBLE_BYTES};
use dossier_wire::{Batch, Compression, Encoder, FrameContent, Gap, GapReason, Half, Record};
use serde_json::json;

use super::engine::Target;

const MAX_BYTES: usize = 16 << 10;
/// Errors say where and why; they never quote the input.
const MAX_ERROR_BYTES: usize = 200;
const TOKENS: &[&[u8]] = &[
    b"DOSSIER\x01",
    b"\x01",
    b"\x02",
    b"\x03",
    b"\0\0\0\0",
    b"\x02\0\0\0",
    b"\x01\x02\0\0\0\0\0\0\0{}",
    b"{",
    b"}",
    b"[",
    b"\"",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\ud800",
    b"\"body_size\":0",
    b"\"half\":\"request\"",
    b"\"metadata\":{",
    b"\xff",
    b"\x78\x01",
    b"\x78\x9c",
];

fn batch() -> Vec<u8> {
    let mut encoder = Encoder::new();
    let id = uuid::Uuid::from_u128(7);
    let mut record = Record::new(id, Half::Request, "alice", "/api/chat", 1_700_000_000_000);
    record
        .metadata
        .insert("model".to_owned(), json!(["gpt-4", 1.5, null, {"x": true}]));
    record.body_size = 13;
    record.headers = vec![("accept".into(), "*/*\n\"é".into())];
    record.redactions.insert(Cow::Borrowed("email"), 2);
    encoder.push_record(&record, b"{\"a\": [1, 2]}").unwrap();
    record.half = Half::Response;
    record.status = Some(200);
    encoder.push_record(&record, b"").unwrap();
    encoder
        .push_gap(&Gap {
            reason: GapReason::VARIANTS[0],
            records: 3,
            bytes: 1000,
            from: 1,
            to: 2,
        })
        .unwrap();
    encoder.finish()
}

fn seeds() -> Vec<Vec<u8>> {
    let batch = batch();
    let empty = Encoder::new().finish();
    vec![
        Compression::Fast.compress(&batch),
        Compression::Best.compress(&batch.repeat(50)),
        Compression::Fast.compress(&empty),
        batch,
        empty,
    ]
}

/// The frames must cover the batch, without overlaps and without holes.
fn decode(bytes: &[u8]) {
    let batch = match Batch::parse(bytes) {
        Ok(batch) => batch,
        Err(error) => return assert!(error.to_string().len() <= MAX_ERROR_BYTES),
    };
    let frames = batch.frames();
    assert!(frames.len() <= MAX_FRAMES);
    let length = |frame: &dossier_wire::Frame<'_>| {
        FRAME_PREFIX_BYTES + frame.header.len() + frame.body.len()
    };
    let lengths: usize = frames.iter().map(length).sum();
    assert_eq!(PREAMBLE_BYTES + lengths, bytes.len());
    for frame in frames {
        match frame.decode() {
            Ok(FrameContent::Record(record, body)) => {
                let size = serde_json::to_string(&*record).unwrap().len();
                // The shortest forms of keys and escapes are shorter than ours.
                assert!(size <= 1000 + 8 * frame.header.len(), "{size}");
                assert_eq!(body, frame.body);
            }
            Ok(FrameContent::Gap(_)) => assert!(frame.body.is_empty()),
            Err(error) => assert!(error.to_string().len() <= MAX_ERROR_BYTES),
        }
    }
}

#[test]
fn batches() {
    let target = Target {
        name: "batches",
        seeds: seeds(),
        tokens: TOKENS,
    };
    target.run(|bytes, _| {
        decode(bytes);
        match inflate(bytes, MAX_BYTES) {
            Ok(plain) => {
                assert!(plain.len() <= MAX_BYTES);
                decode(&plain);
            }
            Err(InflateError::TooLong { limit }) => assert_eq!(limit, MAX_BYTES),
            Err(InflateError::Malformed) => {}
        }
        let sent = Compression::Fast.compress(bytes);
        assert_eq!(inflate(&sent, bytes.len()).as_deref(), Ok(bytes));
    });
}

#[test]
fn seeds_are_valid_batches() {
    for seed in seeds() {
        let plain = inflate(&seed, MAX_BYTES << 4).unwrap_or(seed);
        // Consecutive batches are not a batch.
        if let Ok(batch) = Batch::parse(&plain) {
            assert!(batch.frames().iter().all(|frame| frame.decode().is_ok()));
        } else {
            assert!(plain.len() > batch().len());
        }
    }
}

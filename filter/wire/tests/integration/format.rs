//! The batch format: encoding round-trips, and invalid bytes give a named error, never a panic.

use dossier_wire::VariantArray;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use dossier_wire::decode::{Batch, BatchError, FrameContent, RecordError};
use dossier_wire::frame::{
    FRAME_PREFIX_BYTES, MAX_BATCH_BYTES, MAX_FRAMES, MAX_HEADER_BYTES, PREAMBLE_BYTES,
};
use dossier_wire::{
    BatchLimitExceeded, BodyMissing, Completion, Encoder, Gap, GapReason, Half, HeaderField,
    Record, SessionRule, StorageCompression, TruncatedField, TruncatedFields,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

fn text() -> impl Strategy<Value = String> {
    // Control characters, quotes, non-ASCII and astral characters all need care in JSON.
    "[ -~\u{0}-\u{1f}\u{80}-\u{2ff}\u{1F300}-\u{1F320}]{0,40}"
}

fn maybe_text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    prop::option::of(text().prop_map(Cow::Owned))
}

fn pairs() -> impl Strategy<Value = Vec<HeaderField<'static>>> {
    let text = || text().prop_map(Cow::Owned);
    prop::collection::vec((text(), text()), 0..4)
}

fn truncated_fields() -> BoxedStrategy<TruncatedFields> {
    let field = prop::sample::select(TruncatedField::VARIANTS);
    prop::collection::vec(field, 0..4)
        .prop_map(|fields| fields.into_iter().collect())
        .boxed()
}

fn session() -> impl Strategy<Value = Option<SessionRule<'static>>> {
    prop::option::of(prop_oneof![
        text().prop_map(|id| SessionRule::Id(Cow::Owned(id))),
        (1..=u32::MAX).prop_map(|m| SessionRule::TimeoutMinutes(NonZeroU32::new(m).unwrap())),
    ])
}

fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        prop::collection::vec(text(), 0..3).prop_map(|v| json!(v)),
    ];
    prop::collection::btree_map(text(), value, 0..5).prop_map(|m| m.into_iter().collect())
}

fn paths() -> impl Strategy<Value = BTreeMap<Cow<'static, str>, Cow<'static, str>>> {
    let text = || text().prop_map(Cow::Owned);
    prop::collection::btree_map(text(), text(), 0..3)
}

fn completion() -> impl Strategy<Value = Completion> {
    prop_oneof![
        Just(Completion::Complete),
        Just(Completion::ClientAborted),
        Just(Completion::UpstreamReset),
        Just(Completion::LocalReply),
        Just(Completion::Timeout),
    ]
}

prop_compose! {
    fn record()(
        exchange in any::<u128>(),
        is_request in any::<bool>(),
        user_id in text(),
        (endpoint, method, path) in (text(), text(), text()),
        (query, host, route) in (maybe_text(), maybe_text(), maybe_text()),
        status in prop::option::of(100u16..600),
        (metadata, metadata_paths) in (metadata(), paths()),
        (session, session_group) in (session(), maybe_text()),
        ttl in prop::option::of(1u32..),
        compress in prop_oneof![Just(StorageCompression::Auto), Just(StorageCompression::Always), Just(StorageCompression::Never)],
        times in any::<[u64; 3]>(),
        (xxh3, content_type, content_encoding) in (maybe_text(), maybe_text(), maybe_text()),
        (truncated, body_decoded) in any::<(bool, bool)>(),
        body_missing in prop::option::of(prop::sample::select(BodyMissing::VARIANTS)),
        body_ttl in prop::option::of(1u32..),
        redactions in prop::collection::btree_map(text().prop_map(Cow::Owned), 1u32.., 0..4).boxed(),
        (headers, trailers) in (pairs(), pairs()),
        response_flags in any::<u64>(),
        (response_details, upstream_host, workload) in (maybe_text(), maybe_text(), maybe_text()),
        completion in completion(),
        (request_id, traceparent, truncated_fields) in (maybe_text(), maybe_text(), truncated_fields()),
        body in prop::collection::vec(any::<u8>(), 0..300),
        unseen in 0u64..1000,
    ) -> (Record<'static>, Vec<u8>) {
        let record = Record {
            exchange_id: Uuid::from_u128(exchange),
            half: if is_request { Half::Request } else { Half::Response },
            user_id: Cow::Owned(user_id),
            endpoint: Cow::Owned(endpoint),
            method: Cow::Owned(method),
            path: Cow::Owned(path),
            query, host, route, status, metadata, metadata_paths, session, session_group,
            ttl_days: ttl.and_then(NonZeroU32::new),
            body_ttl_days: body_ttl.and_then(NonZeroU32::new),
            compress,
            started_at: times[0],
            first_byte_at: times[1],
            ended_at: times[2],
            body_size: body.len() as u64 + unseen,
            body_xxh3: xxh3,
            content_type, content_encoding, truncated, body_decoded, body_missing, redactions, headers, trailers,
            completion, response_flags, response_details, upstream_host, workload, request_id, traceparent,
            truncated_fields,
        };
        (record, body)
    }
}

prop_compose! {
    fn gap()(
        reason in 0..GapReason::VARIANTS.len(),
        numbers in any::<[u64; 4]>(),
    ) -> Gap {
        Gap { reason: GapReason::VARIANTS[reason], records: numbers[0], bytes: numbers[1], from: numbers[2], to: numbers[3] }
    }
}

#[derive(Debug, Clone)]
enum Written {
    Record(Box<Record<'static>>, Vec<u8>),
    Gap(Gap),
}

fn batch_content() -> impl Strategy<Value = Vec<Written>> {
    let item = prop_oneof![
        4 => record().prop_map(|(r, b)| Written::Record(Box::new(r), b)),
        1 => gap().prop_map(Written::Gap),
    ];
    prop::collection::vec(item, 0..8)
}

fn encode(items: &[Written]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for item in items {
        match item {
            Written::Record(record, body) => encoder.push_record(record, body).unwrap(),
            Written::Gap(gap) => encoder.push_gap(gap).unwrap(),
        }
    }
    assert_eq!(encoder.frames(), items.len());
    let length = encoder.len();
    let bytes = encoder.finish();
    assert_eq!(length, bytes.len());
    bytes
}

/// Any frame, also one that the encoder would never write.
fn frame(kind: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    bytes
}

fn batch_of(frames: &[u8]) -> Vec<u8> {
    [b"DOSSIER\x01", frames].concat()
}

proptest! {
    #[test]
    fn encoding_round_trips(items in batch_content()) {
        let bytes = encode(&items);
        let batch = Batch::parse(&bytes).unwrap();
        prop_assert_eq!(batch.frames().len(), items.len());
        for (frame, written) in batch.frames().iter().zip(&items) {
            match (frame.decode().unwrap(), written) {
                (FrameContent::Record(read, body), Written::Record(record, sent)) => {
                    prop_assert_eq!(&read, record);
                    prop_assert_eq!(body, &sent[..]);
                }
                (FrameContent::Gap(read), Written::Gap(gap)) => prop_assert_eq!(&read, gap),
                (read, _) => prop_assert!(false, "kinds differ: {:?}", read),
            }
        }
    }

    #[test]
    fn headers_equal_serde_output(items in batch_content()) {
        let bytes = encode(&items);
        for (frame, written) in Batch::parse(&bytes).unwrap().frames().iter().zip(&items) {
            if let Written::Record(record, _) = written {
                let header = serde_json::to_string(record).unwrap();
                prop_assert_eq!(std::str::from_utf8(frame.header).unwrap(), header);
            }
        }
    }

    #[test]
    fn truncated_batch_is_rejected_inside_frames(items in batch_content(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&items);
        let cut = cut.index(bytes.len());
        match Batch::parse(&bytes[..cut]) {
            Ok(batch) => prop_assert!(batch.frames().len() < items.len()),
            Err(BatchError::NotABatch) => prop_assert!(cut < PREAMBLE_BYTES),
            Err(BatchError::CutOff { left, needed, .. }) => prop_assert!((left as u64) < needed),
            Err(other) => prop_assert!(false, "unexpected: {other}"),
        }
    }

    #[test]
    fn damaged_batch_never_panics(items in batch_content(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encode(&items);
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(batch) = Batch::parse(&bytes) {
            for frame in batch.frames() {
                let _ = frame.decode();
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Batch::parse(&noise);
        if let Ok(batch) = Batch::parse(&batch_of(&noise)) {
            for frame in batch.frames() {
                let _ = frame.decode();
            }
        }
    }
}

#[test]
fn accepts_batch_without_frames() {
    let bytes = Encoder::new().finish();
    assert_eq!(bytes, b"DOSSIER\x01");
    assert!(Batch::parse(&bytes).unwrap().frames().is_empty());
}

#[test]
fn rejects_bytes_without_magic() {
    for bytes in [
        &b""[..],
        b"DOSS",
        b"DOSSIER",
        b"dossier\x01",
        b"{\"records\": []}",
    ] {
        assert_eq!(Batch::parse(bytes).unwrap_err(), BatchError::NotABatch);
    }
}

#[test]
fn rejects_unknown_version() {
    let error = Batch::parse(b"DOSSIER\x02").unwrap_err();
    assert_eq!(error, BatchError::UnknownVersion { found: 2 });
    assert!(error.to_string().contains("upgrade the collector"));
}

#[test]
fn rejects_unknown_frame_kind_with_offset() {
    let gap =
        json!({"reason": "buffer_full", "records": 1, "bytes": 2, "from": 3, "to": 4}).to_string();
    let mut frames = frame(2, gap.as_bytes(), b"");
    let second_at = PREAMBLE_BYTES + frames.len();
    frames.extend(frame(7, b"{}", b""));
    let error = Batch::parse(&batch_of(&frames)).unwrap_err();
    assert_eq!(
        error,
        BatchError::UnknownKind {
            frame: 1,
            offset: second_at,
            found: 7
        }
    );
}

#[test]
fn rejects_lengths_past_the_end() {
    for (header, body) in [
        (u32::MAX, 0),
        (0, u32::MAX),
        (10, 0),
        (0, 10),
        (u32::MAX, u32::MAX),
    ] {
        let mut bytes = batch_of(&[1]);
        bytes.extend_from_slice(&header.to_le_bytes());
        bytes.extend_from_slice(&body.to_le_bytes());
        bytes.extend_from_slice(b"123");
        let error = Batch::parse(&bytes).unwrap_err();
        assert!(
            matches!(
                error,
                BatchError::CutOff { frame: 0, .. } | BatchError::HeaderTooLong { frame: 0, .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn encoder_and_decoder_enforce_limits() {
    let too_long = vec![0; MAX_BATCH_BYTES + 1];
    assert_eq!(
        Batch::parse(&too_long).unwrap_err(),
        BatchError::TooLong {
            bytes: MAX_BATCH_BYTES + 1
        }
    );

    let many = batch_of(&frame(2, b"", b"").repeat(MAX_FRAMES + 1));
    assert_eq!(Batch::parse(&many).unwrap_err(), BatchError::TooManyFrames);
    let as_many_as_allowed = batch_of(&frame(2, b"", b"").repeat(MAX_FRAMES));
    assert_eq!(
        Batch::parse(&as_many_as_allowed).unwrap().frames().len(),
        MAX_FRAMES
    );

    let long_header = batch_of(&frame(1, &vec![b' '; MAX_HEADER_BYTES + 1], b""));
    assert!(matches!(
        Batch::parse(&long_header).unwrap_err(),
        BatchError::HeaderTooLong { .. }
    ));

    let gap = Gap {
        reason: GapReason::BufferFull,
        records: 1,
        bytes: 1,
        from: 1,
        to: 1,
    };
    let mut encoder = Encoder::new();
    for _ in 0..MAX_FRAMES {
        encoder.push_gap(&gap).unwrap();
    }
    let before = encoder.len();
    assert_eq!(encoder.push_gap(&gap), Err(BatchLimitExceeded));
    assert_eq!((encoder.len(), encoder.frames()), (before, MAX_FRAMES));
}

#[test]
fn rejected_record_leaves_batch_unchanged() {
    let mut encoder = Encoder::new();
    let (small, body) = minimal_record();
    encoder.push_record(&small, &body).unwrap();
    let before = encoder.clone().finish();
    let long = "x".repeat(MAX_HEADER_BYTES);
    let too_long = Record {
        path: Cow::Borrowed(&long),
        ..small.clone()
    };
    assert_eq!(encoder.push_record(&too_long, b""), Err(BatchLimitExceeded));
    assert_eq!(
        encoder.push_record(&small, &vec![0; MAX_BATCH_BYTES]),
        Err(BatchLimitExceeded)
    );
    assert_eq!(encoder.finish(), before);
}

#[test]
fn invalid_record_leaves_others_readable() {
    let (record, body) = minimal_record();
    let header = serde_json::to_vec(&record).unwrap();
    let good = frame(1, &header, &body);
    let mut missing: Value = serde_json::from_slice(&header).unwrap();
    missing.as_object_mut().unwrap().remove("user_id");
    let mut overlong = good.clone();
    overlong.truncate(FRAME_PREFIX_BYTES + header.len());
    let more = vec![0; usize::try_from(record.body_size).unwrap() + 1];
    let frames = [
        frame(1, b"{\"exchange_id\": ", b""),
        frame(1, missing.to_string().as_bytes(), b""),
        frame(1, b"\xff\xfe", b""),
        frame(1, &header, &more),
        frame(
            2,
            b"{\"reason\":\"whim\",\"records\":1,\"bytes\":1,\"from\":1,\"to\":1}",
            b"",
        ),
        frame(
            2,
            b"{\"reason\":\"buffer_full\",\"records\":1,\"bytes\":1,\"from\":1,\"to\":1}",
            b"!",
        ),
        good,
    ];
    let bytes = batch_of(&frames.concat());
    let batch = Batch::parse(&bytes).unwrap();
    let items: Vec<_> = batch
        .frames()
        .iter()
        .map(dossier_wire::Frame::decode)
        .collect();
    assert!(matches!(items[0], Err(RecordError::Header { .. })));
    assert!(matches!(items[1], Err(RecordError::Header { .. })));
    assert!(matches!(items[2], Err(RecordError::Header { .. })));
    assert!(matches!(
        items[3],
        Err(RecordError::BodyLongerThanStated {
            stated: 4,
            actual: 5
        })
    ));
    assert!(matches!(items[4], Err(RecordError::Header { .. })));
    assert!(matches!(
        items[5],
        Err(RecordError::GapWithBody { bytes: 1 })
    ));
    assert!(
        matches!(&items[6], Ok(FrameContent::Record(read, b)) if **read == record && *b == &body[..])
    );
}

#[test]
fn errors_never_quote_traffic() {
    let header = br#"{"exchange_id": "hunter2-is-no-uuid"}"#;
    let bytes = batch_of(&frame(1, header, b""));
    let error = Batch::parse(&bytes).unwrap().frames()[0]
        .decode()
        .unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn ignores_unknown_fields() {
    let (record, body) = minimal_record();
    let mut header: Value = serde_json::to_value(&record).unwrap();
    header["field_of_tomorrow"] = json!({"a": [1, 2]});
    let bytes = batch_of(&frame(1, header.to_string().as_bytes(), &body));
    let batch = Batch::parse(&bytes).unwrap();
    assert!(
        matches!(batch.frames()[0].decode(), Ok(FrameContent::Record(read, _)) if *read == record)
    );
}

/// A record without optional fields, and its body.
fn minimal_record() -> (Record<'static>, Vec<u8>) {
    let record = Record {
        method: Cow::Borrowed("GET"),
        first_byte_at: 2,
        ended_at: 3,
        body_size: 4,
        ..Record::new(Uuid::from_u128(1), Half::Request, "alice", "/", 1)
    };
    (record, b"body".to_vec())
}

#[test]
fn roll_back_removes_frames_since_checkpoint() {
    let (record, body) = minimal_record();
    let mut encoder = Encoder::new();
    encoder.push_record(&record, &body).unwrap();
    let checkpoint = encoder.checkpoint();
    let before = encoder.clone().finish();
    encoder.push_record(&record, &body).unwrap();
    encoder.roll_back(checkpoint);
    assert_eq!((encoder.frames(), encoder.clone().finish()), (1, before));
    encoder.push_record(&record, &body).unwrap();
    assert_eq!(Batch::parse(&encoder.finish()).unwrap().frames().len(), 2);
}

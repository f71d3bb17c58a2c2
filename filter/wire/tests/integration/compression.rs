//! Compression round-trips, and decompression respects its limit.

use dossier_wire::Compression;
use dossier_wire::compression::{BatchCompressor, InflateError, inflate};
use proptest::prelude::*;

proptest! {
    #[test]
    fn compression_round_trips(raw in prop::collection::vec(any::<u8>(), 0..5000)) {
        for compression in [Compression::Fast, Compression::Best] {
            let sent = compression.compress(&raw);
            prop_assert_eq!(inflate(&sent, raw.len().max(1)).unwrap(), raw.clone());
        }
        prop_assert_eq!(Compression::None.compress(&raw), raw);
    }

    #[test]
    fn incremental_compression_round_trips(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 0..20), 1..4),
    ) {
        use Compression::{Best, Fast, None};
        let mut compressor = BatchCompressor::new(None);
        // Each compression after each other one, whose state may be reused.
        for compression in [None, Fast, None, Best, Fast, Best, None] {
            compressor.add(b"of a batch that is discarded");
            compressor.set_compression(compression);
            for pieces in &batches {
                let mut added = 0;
                for piece in pieces {
                    compressor.add(piece);
                    added += piece.len();
                    // 0 must mean that nothing was added, not that nothing was output yet.
                    prop_assert_eq!(compressor.buffered_bytes() == 0, added == 0);
                }
                let (sent, raw) = (compressor.finish(), pieces.concat());
                prop_assert_eq!(compressor.buffered_bytes(), 0);
                let back = if compression.content_encoding().is_some() {
                    inflate(&sent, raw.len().max(1)).unwrap()
                } else {
                    sent
                };
                prop_assert_eq!(back, raw);
            }
        }
    }

    #[test]
    fn inflating_noise_respects_limit(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(bytes) = inflate(&noise, 100) {
            prop_assert!(bytes.len() <= 100);
        }
    }
}

#[test]
fn rejects_output_over_limit() {
    let bomb = Compression::Best.compress(&vec![0; 10 << 20]);
    assert!(bomb.len() < 20_000);
    assert_eq!(
        inflate(&bomb, 1 << 20),
        Err(InflateError::TooLong { limit: 1 << 20 })
    );
}

#[test]
fn rejects_truncated_or_damaged_stream() {
    let mut sent =
        Compression::Fast.compress(b"a batch of records, some of them alike, some of them not");
    assert_eq!(
        inflate(&sent[..sent.len() - 1], 1000),
        Err(InflateError::Malformed)
    );
    let last = sent.len() - 1;
    sent[last] ^= 1;
    assert_eq!(inflate(&sent, 1000), Err(InflateError::Malformed));
}

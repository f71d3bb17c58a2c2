//! Compression as a property: what goes in comes out, and never more than the limit.

use dossier_wire::Compression;
use dossier_wire::compression::{InflateError, Packer, inflate};
use proptest::prelude::*;

proptest! {
    #[test]
    fn compressed_bytes_come_back(raw in prop::collection::vec(any::<u8>(), 0..5000)) {
        for compression in [Compression::Fast, Compression::Best] {
            let sent = compression.compress(&raw);
            prop_assert_eq!(inflate(&sent, raw.len().max(1)).unwrap(), raw.clone());
        }
        prop_assert_eq!(Compression::None.compress(&raw), raw);
    }

    #[test]
    fn batches_added_bit_by_bit_come_back_one_by_one(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 0..20), 1..4),
    ) {
        use Compression::{Best, Fast, None};
        let mut packer = Packer::new(None);
        // Each of them after each other one, with what the packer kept of it.
        for compression in [None, Fast, None, Best, Fast, Best, None] {
            packer.add(b"of a batch that is given up");
            packer.set_compression(compression);
            for pieces in &batches {
                let mut added = 0;
                for piece in pieces {
                    packer.add(piece);
                    added += piece.len();
                    // Whoever waits until nothing is held must not be told so too early.
                    prop_assert_eq!(packer.held() == 0, added == 0);
                }
                let (sent, raw) = (packer.take(), pieces.concat());
                prop_assert_eq!(packer.held(), 0);
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
    fn noise_never_panics_nor_passes_the_limit(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(bytes) = inflate(&noise, 100) {
            prop_assert!(bytes.len() <= 100);
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = Compression::Best.compress(&vec![0; 10 << 20]);
    assert!(bomb.len() < 20_000);
    assert_eq!(
        inflate(&bomb, 1 << 20),
        Err(InflateError::TooLong { limit: 1 << 20 })
    );
}

#[test]
fn a_cut_or_damaged_stream_is_malformed() {
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

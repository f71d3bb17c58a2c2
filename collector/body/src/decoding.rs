//! Undoes content encodings: as far as the bytes go, up to a limit.

use std::io::Read;

use brotli_decompressor::Decompressor;
use dossier_content::content_coding::ContentCoding;
use dossier_content::inflate::{End, Format, inflate};

use crate::truncation::Truncation;

/// Limit of encodings of one body.
const MAX_LAYERS: usize = 4;
/// The largest window that RFC 9659 allows on the web: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;
const CHUNK_BYTES: usize = 16 * 1024;

/// A decoded body, or the body as it was if it could not be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DecodedBody {
    pub(super) bytes: Vec<u8>,
    /// Why these are not all bytes, or are still encoded.
    pub(super) truncation: Option<Truncation>,
    /// The encoding is not supported, so the bytes are neither JSON nor text.
    pub(super) opaque: bool,
}

/// The bytes of a body without its content encodings, up to a limit; `None` if they cannot be undone.
#[must_use]
pub fn decoded(body: &[u8], encoding: Option<&str>, limit: usize) -> Option<Vec<u8>> {
    let decoded = decode(body.to_vec(), encoding, limit);
    (decoded.truncation != Some(Truncation::NotDecoded)).then_some(decoded.bytes)
}

/// Undoes the encodings that the header `content-encoding` lists, the last first.
///
/// Bytes that are not in that encoding are returned unchanged: the header may be wrong.
pub(super) fn decode(body: Vec<u8>, encoding: Option<&str>, limit: usize) -> DecodedBody {
    let layers = layers(encoding.unwrap_or_default());
    let result = layers
        .as_ref()
        .map(|layers| undo_layers(&body, layers, limit));
    let (bytes, truncation) = match result {
        Some(DecodeResult::NotEncoded) => (body, None),
        Some(DecodeResult::Decoded(bytes, truncation)) => (bytes, truncation),
        Some(DecodeResult::WrongEncoding) | None => (body, Some(Truncation::NotDecoded)),
    };
    let (bytes, over) = cut(bytes, limit);
    DecodedBody {
        bytes,
        truncation: over.or(truncation),
        opaque: layers.is_none(),
    }
}

/// The encodings that a header lists; `None` if one is not supported or there are too many.
fn layers(header: &str) -> Option<Vec<ContentCoding>> {
    let mut layers = header
        .split(',')
        .map(ContentCoding::from_name)
        .collect::<Option<Vec<_>>>()?;
    layers.retain(|layer| *layer != ContentCoding::Identity);
    (layers.len() <= MAX_LAYERS).then_some(layers)
}

enum DecodeResult {
    NotEncoded,
    /// The decoded bytes, and why they are not all.
    Decoded(Vec<u8>, Option<Truncation>),
    /// The bytes are in another encoding than the header says, or in none.
    WrongEncoding,
}

fn undo_layers(body: &[u8], layers: &[ContentCoding], limit: usize) -> DecodeResult {
    let mut decoded: Option<(Vec<u8>, Option<Truncation>)> = None;
    for layer in layers.iter().rev() {
        let (outer, before) = decoded
            .as_ref()
            .map_or((body, None), |(bytes, truncation)| (bytes, *truncation));
        let (bytes, truncation) = undo(*layer, outer, limit);
        if truncation == Some(Truncation::BrokenOff) && (bytes.is_empty() || is_text(outer)) {
            return DecodeResult::WrongEncoding;
        }
        decoded = Some((bytes, before.or(truncation)));
    }
    decoded.map_or(DecodeResult::NotEncoded, |(bytes, truncation)| {
        DecodeResult::Decoded(bytes, truncation)
    })
}

/// Raw deflate and brotli have no magic number, so text may decode as the beginning of either; but neither is
/// ever text itself.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

fn undo(coding: ContentCoding, body: &[u8], limit: usize) -> (Vec<u8>, Option<Truncation>) {
    match coding {
        ContentCoding::Identity => cut(body.to_vec(), limit),
        ContentCoding::Gzip => inflated(Format::Gzip, body, limit),
        ContentCoding::Deflate => inflated(Format::Deflate, body, limit),
        ContentCoding::Brotli => read(Decompressor::new(body, CHUNK_BYTES), limit),
        ContentCoding::Zstd => zstd(body, limit),
    }
}

fn inflated(format: Format, body: &[u8], limit: usize) -> (Vec<u8>, Option<Truncation>) {
    let inflated = inflate(format, body, limit);
    let truncation = match inflated.end {
        End::Complete => None,
        End::Limit => Some(Truncation::OverLimit),
        End::CutOff | End::Damaged => Some(Truncation::BrokenOff),
    };
    (inflated.bytes, truncation)
}

fn read(decoder: impl Read, limit: usize) -> (Vec<u8>, Option<Truncation>) {
    let mut bytes = Vec::new();
    // Bytes read before an error are kept.
    let whole = decoder.take(limit as u64 + 1).read_to_end(&mut bytes);
    let (bytes, over) = cut(bytes, limit);
    (bytes, over.or(whole.err().map(|_| Truncation::BrokenOff)))
}

fn zstd(body: &[u8], limit: usize) -> (Vec<u8>, Option<Truncation>) {
    let decoder = zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Ok(decoder)
    });
    match decoder {
        Ok(decoder) => read(decoder, limit),
        Err(_) => (Vec::new(), Some(Truncation::BrokenOff)),
    }
}

fn cut(mut bytes: Vec<u8>, limit: usize) -> (Vec<u8>, Option<Truncation>) {
    let over = bytes.len() > limit;
    bytes.truncate(limit);
    (bytes, over.then_some(Truncation::OverLimit))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;
    /// [`lines`], compressed by Node's zlib.
    const LINES_IN_BROTLI: &str = concat!(
        "G7QHAMQb+u+7JgkE4crZAjlH3K6bgDD+/3IqLX+cRbcJake9yqjapJPf4fW/+eOis+GkmBl38zk7Ngn75PZutNgouGZxVStm",
        "Pny2a9Z7BHCtBnvmfLtRiWYZgNyMBCoVVv2ToleLXS5mNgfIDZNM2pfuYTuUbaP44+84OiDGaKoUoP19z3c+6FHuPQxzUAyK",
        "pzUF5X9KYTrpMSS4g0e4vmbUKFizumSL4HZGBBnFll74FGoMWVL7qYctLMIr08MWDYA4yG+gzWpB23BBB83DEFnxU2GasdZx",
        "77smE9mv7cL8dPDSq/ojscj9meZ9BWDr3uPksTe090sDwa0a+y9aUL9TtzCAuX8ajokF3s5bLQuFSN5G5aMmGxfz528jOEL1",
        "utwraPWm6eHMsPh0g98Wi+gnb3o8acuH+TpafKyDs5epXuwe1dcY/hSUfzYoowYP0rCRk6jhduW8NDnZINtRrc5PHXcpNi+R",
        "9OCIgTpC3dxgzelxyHvYZLLnd5QR/bQKCWr0w6x/EDTR4zKzpnup/JFvu1NshTZmYNwm2VzPZf0x2Axqf0T5RorO/FTiX/WO",
        "MrJtw/8Mrn6pv1ndzhL6JW4e",
    );
    /// 2 MiB of zeros, and one more.
    const ZEROS_IN_BROTLI: &str = "mwAAIPgnAOKxQED3/gM=";

    fn lines() -> Vec<u8> {
        let line = |n: u32| format!("line {}\n", n * n * 7919 % 10007);
        (0..200).map(line).collect::<String>().into_bytes()
    }

    fn brotli(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 1).unwrap()
    }

    /// The lines in every encoding.
    fn encoded() -> [(&'static str, Vec<u8>); 5] {
        [
            ("gzip", gzip(&lines())),
            ("deflate", zlib(&lines())),
            ("deflate", raw_deflate(&lines())),
            ("br", brotli(LINES_IN_BROTLI)),
            ("zstd", zstd(&lines())),
        ]
    }

    fn decoded(body: &[u8], encoding: &str) -> (Vec<u8>, Option<Truncation>) {
        let decoded = decode(body.to_vec(), Some(encoding), LIMIT);
        (decoded.bytes, decoded.truncation)
    }

    #[test]
    fn decodes_every_encoding() {
        for (encoding, body) in encoded() {
            assert_eq!(decoded(&body, encoding), (lines(), None), "{encoding}");
        }
        assert_eq!(decoded(&gzip(b"x"), " X-GZip "), (b"x".to_vec(), None));
        assert_eq!(decoded(b"x", "identity"), (b"x".to_vec(), None));
        assert_eq!(decode(b"x".to_vec(), None, LIMIT).truncation, None);
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(decoded(&members, "gzip"), (b"one two".to_vec(), None));
    }

    #[test]
    fn decodes_stacked_encodings_last_first() {
        let body = zstd(&zlib(&gzip(&lines())));
        assert_eq!(
            decoded(&body, "gzip, deflate, identity, zstd"),
            (lines(), None)
        );
    }

    #[test]
    fn too_many_layers_are_not_decoded() {
        let four = (0..MAX_LAYERS).fold(b"x".to_vec(), |body, _| gzip(&body));
        assert_eq!(decoded(&four, "gzip,gzip,gzip,gzip"), (b"x".to_vec(), None));
        let five = gzip(&four);
        let left = decode(five.clone(), Some("gzip,gzip,gzip,gzip,gzip"), LIMIT);
        assert_eq!((left.bytes, left.opaque), (five, true));
    }

    #[test]
    fn truncated_body_decodes_to_a_prefix() {
        for (encoding, body) in encoded() {
            for length in 1..body.len() {
                let (bytes, truncation) = decoded(&body[..length], encoding);
                if truncation == Some(Truncation::NotDecoded) {
                    assert_eq!(bytes, &body[..length]);
                } else {
                    assert!(lines().starts_with(&bytes), "{encoding} {length}");
                    assert_eq!(
                        truncation,
                        Some(Truncation::BrokenOff),
                        "{encoding} {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn truncated_body_loses_little() {
        for (encoding, body) in encoded() {
            // zstd gives out whole blocks only, and this is one.
            if encoding == "zstd" {
                continue;
            }
            let (bytes, _) = decoded(&body[..body.len() * 3 / 4], encoding);
            assert!(
                bytes.len() > lines().len() / 2,
                "{encoding}: {}",
                bytes.len()
            );
        }
    }

    #[test]
    fn wrong_encoding_leaves_body_unchanged() {
        for encoding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
            let (bytes, truncation) = decoded(b"{\"plain\": 1}", encoding);
            assert_eq!(bytes, b"{\"plain\": 1}", "{encoding}");
            assert_eq!(truncation, Some(Truncation::NotDecoded), "{encoding}");
        }
        let unknown = decode(b"x".to_vec(), Some("gzip, rot13"), LIMIT);
        assert_eq!(
            (unknown.truncation, unknown.opaque),
            (Some(Truncation::NotDecoded), true)
        );
    }

    #[test]
    fn output_never_exceeds_limit() {
        let zeros = vec![0; 2 * LIMIT + 1];
        for (encoding, body) in [
            ("gzip", gzip(&zeros)),
            ("deflate", zlib(&zeros)),
            ("deflate", raw_deflate(&zeros)),
            ("br", brotli(ZEROS_IN_BROTLI)),
            ("zstd", zstd(&zeros)),
            ("gzip, zstd", zstd(&gzip(&zeros))),
            ("identity", zeros.clone()),
        ] {
            let (bytes, truncation) = decoded(&body, encoding);
            assert_eq!(bytes.len(), LIMIT, "{encoding}");
            assert_eq!(truncation, Some(Truncation::OverLimit), "{encoding}");
            let exact = decode(body, Some(encoding), zeros.len());
            assert_eq!(
                (exact.bytes.len(), exact.truncation),
                (zeros.len(), None),
                "{encoding}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_stay_within_limit(
            body in prop::collection::vec(any::<u8>(), 0..300),
            encoding in "(gzip|deflate|br|zstd|,| ){0,5}",
        ) {
            prop_assert!(decode(body, Some(&encoding), 1000).bytes.len() <= 1000);
        }

        #[test]
        fn damaged_stream_stays_within_limit(at in 0_usize..600, byte: u8) {
            for (encoding, mut body) in encoded() {
                let at = at % body.len();
                body[at] = byte;
                let (bytes, _) = decoded(&body, encoding);
                prop_assert!(bytes.len() <= LIMIT);
            }
        }

        #[test]
        fn encoded_body_round_trips(body in prop::collection::vec(any::<u8>(), 1..2000)) {
            for (encoding, encoded) in [
                ("gzip", gzip(&body)),
                ("deflate", zlib(&body)),
                ("deflate", raw_deflate(&body)),
                ("zstd", zstd(&body)),
            ] {
                prop_assert_eq!(decoded(&encoded, encoding), (body.clone(), None));
            }
        }
    }
}

//! The format of a spool file: a fixed header with a checksum, then the batch as it was sent.

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::clock::{from_micros, to_micros};
use crate::model::ids::BatchId;
use crate::model::sha256::sha256;

/// The last byte is the version.
const MAGIC: &[u8; 8] = b"DSPOOL\0\x01";
const DIGEST_BYTES: usize = 32;
/// Files are counted in whole blocks, so that many small ones are not underestimated.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// Magic, id, time of receipt, encoding, digest.
const HEADER_BYTES: usize = MAGIC.len() + 16 + 8 + 1 + DIGEST_BYTES;

/// The content encoding of a batch as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not compressed.
    Identity,
    /// A zlib stream.
    Deflate,
}

/// A batch as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledBatch {
    /// Its id.
    pub id: BatchId,
    /// When it was received, to the microsecond.
    pub received_at: OffsetDateTime,
    /// How its bytes are encoded.
    pub encoding: Encoding,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Bytes that a batch takes on disk.
pub(super) fn disk_bytes(batch: &SpooledBatch) -> u64 {
    ((HEADER_BYTES + batch.bytes.len()) as u64).next_multiple_of(BLOCK_BYTES)
}

/// The header that precedes the batch's bytes.
pub(super) fn encode_header(batch: &SpooledBatch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(batch.id.0.as_bytes());
    bytes.extend_from_slice(&to_micros(batch.received_at).to_le_bytes());
    bytes.push(match batch.encoding {
        Encoding::Identity => 0,
        Encoding::Deflate => 1,
    });
    let digest = digest(&bytes, &batch.bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Decodes a file, or tells in what way it is damaged.
pub(super) fn decode(mut bytes: Bytes) -> Result<SpooledBatch, &'static str> {
    const TRUNCATED: &str = "truncated file";
    if bytes.len() < HEADER_BYTES {
        return Err(TRUNCATED);
    }
    let sent = bytes.split_off(HEADER_BYTES);
    let header = bytes.as_ref();
    let (fields, expected) = header.split_last_chunk::<DIGEST_BYTES>().ok_or(TRUNCATED)?;
    let (magic, after_magic) = fields.split_first_chunk::<8>().ok_or(TRUNCATED)?;
    if magic != MAGIC {
        return Err("unknown format or version");
    }
    if digest(fields, &sent) != *expected {
        return Err("checksum mismatch");
    }
    let (id, after_id) = after_magic.split_first_chunk::<16>().ok_or(TRUNCATED)?;
    let (received, encoding) = after_id.split_first_chunk::<8>().ok_or(TRUNCATED)?;
    Ok(SpooledBatch {
        id: BatchId(Uuid::from_bytes(*id)),
        received_at: from_micros(u64::from_le_bytes(*received)).ok_or("invalid timestamp")?,
        encoding: match encoding {
            [0] => Encoding::Identity,
            [1] => Encoding::Deflate,
            _ => return Err("unknown encoding"),
        },
        bytes: sent,
    })
}

fn digest(fields: &[u8], sent: &[u8]) -> [u8; DIGEST_BYTES] {
    sha256([fields, sent])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_detects_any_damage() {
        let batch = SpooledBatch {
            id: BatchId(Uuid::from_u128(7)),
            received_at: time::macros::datetime!(2026-06-01 12:00:00.000123 UTC),
            encoding: Encoding::Deflate,
            bytes: Bytes::from_static(b"anything"),
        };
        let whole = [&encode_header(&batch), &batch.bytes[..]].concat();
        let decode = |bytes: &[u8]| decode(Bytes::copy_from_slice(bytes));
        assert_eq!(decode(&whole), Ok(batch));
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(decode(&damaged).is_err(), "byte {place}");
            assert!(decode(&whole[..place]).is_err(), "cut at {place}");
        }
    }
}

//! What a file of the spool holds: a fixed head with a checksum, and the batch as it was sent.

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use super::folder::BLOCK_BYTES;
use crate::model::clock::from_micros;
use crate::model::ids::BatchId;
use crate::model::sha256::sha256;

/// The last byte is the version.
const MAGIC: &[u8; 8] = b"DSPOOL\0\x01";
const DIGEST_BYTES: usize = 32;
/// Magic, id, time of receipt, encoding, digest.
const HEAD_BYTES: usize = MAGIC.len() + 16 + 8 + 1 + DIGEST_BYTES;

/// How a batch was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// As a zlib stream.
    Deflate,
}

/// A batch as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledBatch {
    /// Its id.
    pub id: BatchId,
    /// When it came, to the microsecond.
    pub received_at: OffsetDateTime,
    /// What its bytes are.
    pub encoding: Encoding,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What a batch takes on disk. Whole blocks, so that many small files are not taken for little.
pub(super) fn size(batch: &SpooledBatch) -> u64 {
    ((HEAD_BYTES + batch.bytes.len()) as u64).next_multiple_of(BLOCK_BYTES)
}

/// What stands before the batch's bytes in its file.
pub(super) fn head(batch: &SpooledBatch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(batch.id.0.as_bytes());
    bytes.extend_from_slice(&micros(batch.received_at).to_le_bytes());
    bytes.push(match batch.encoding {
        Encoding::Identity => 0,
        Encoding::Deflate => 1,
    });
    let digest = digest(&bytes, &batch.bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Reads a file, or says what is wrong with it.
pub(super) fn read(mut bytes: Bytes) -> Result<SpooledBatch, &'static str> {
    const CUT_OFF: &str = "it is cut off";
    if bytes.len() < HEAD_BYTES {
        return Err(CUT_OFF);
    }
    let sent = bytes.split_off(HEAD_BYTES);
    let head = bytes.as_ref();
    let (facts, stated) = head.split_last_chunk::<DIGEST_BYTES>().ok_or(CUT_OFF)?;
    let (magic, facts_behind) = facts.split_first_chunk::<8>().ok_or(CUT_OFF)?;
    if magic != MAGIC {
        return Err("it does not begin as a file of this version does");
    }
    if digest(facts, &sent) != *stated {
        return Err("its checksum is wrong");
    }
    let (id, behind) = facts_behind.split_first_chunk::<16>().ok_or(CUT_OFF)?;
    let (received, encoding) = behind.split_first_chunk::<8>().ok_or(CUT_OFF)?;
    Ok(SpooledBatch {
        id: BatchId(Uuid::from_bytes(*id)),
        received_at: from_micros(u64::from_le_bytes(*received)).ok_or("its time is no time")?,
        encoding: match encoding {
            [0] => Encoding::Identity,
            [1] => Encoding::Deflate,
            _ => return Err("its encoding is unknown"),
        },
        bytes: sent,
    })
}

/// Microseconds since 1970; nothing is received before.
pub(super) fn micros(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(0)
}

fn digest(facts: &[u8], sent: &[u8]) -> [u8; DIGEST_BYTES] {
    sha256([facts, sent])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_any_damage_is_seen() {
        let batch = SpooledBatch {
            id: BatchId(Uuid::from_u128(7)),
            received_at: time::macros::datetime!(2026-06-01 12:00:00.000123 UTC),
            encoding: Encoding::Deflate,
            bytes: Bytes::from_static(b"anything"),
        };
        let whole = [&head(&batch), &batch.bytes[..]].concat();
        let read = |bytes: &[u8]| read(Bytes::copy_from_slice(bytes));
        assert_eq!(read(&whole), Ok(batch));
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(read(&damaged).is_err(), "byte {place}");
            assert!(read(&whole[..place]).is_err(), "cut at {place}");
        }
    }
}

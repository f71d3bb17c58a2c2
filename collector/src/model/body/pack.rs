//! How bodies are packed for the store.

use std::borrow::Cow;
use std::io::Read;

use dossier_wire::KeepCompressed;

/// Bodies below this many bytes are not worth compressing one by one.
const SMALLEST_TO_COMPRESS: usize = 256;
/// zstd's own default: about the ratio of gzip at many times its speed.
const ZSTD_LEVEL: i32 = 3;
/// No producer's body is longer; a stored body that claims to be is damaged.
const MAX_BODY_BYTES: u64 = dossier_wire::frame::MAX_BATCH_BYTES as u64;

/// How a body is packed in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As it came.
    Identity,
    /// One zstd frame.
    Zstd,
}

impl Codec {
    /// The name used in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zstd => "zstd",
        }
    }
}

/// A packed body that cannot be unpacked: the store is damaged.
#[derive(Debug, thiserror::Error)]
#[error("a stored body cannot be unpacked: {0}")]
pub struct Damaged(#[from] std::io::Error);

/// Packs a body as its route asks. `encoding` is that of its bytes, if they are in one: compressing
/// them again would be in vain.
#[must_use]
pub fn pack<'a>(
    body: &'a [u8],
    keep: KeepCompressed,
    encoding: Option<&str>,
) -> (Codec, Cow<'a, [u8]>) {
    let wanted = match keep {
        KeepCompressed::Always => !body.is_empty(),
        KeepCompressed::Never => false,
        KeepCompressed::Auto => body.len() >= SMALLEST_TO_COMPRESS && encoding.is_none(),
    };
    // Compressing to memory fails only for lack of memory; the body is then kept as it came.
    match wanted.then(|| zstd::bulk::compress(body, ZSTD_LEVEL)) {
        Some(Ok(packed)) if keep == KeepCompressed::Always || packed.len() < body.len() => {
            (Codec::Zstd, Cow::Owned(packed))
        }
        _ => (Codec::Identity, Cow::Borrowed(body)),
    }
}

/// Undoes [`pack`].
///
/// # Errors
/// [`Damaged`] if the bytes are not what `codec` says, or longer than any body may be.
pub fn unpack(codec: Codec, data: Vec<u8>) -> Result<Vec<u8>, Damaged> {
    match codec {
        Codec::Identity => Ok(data),
        Codec::Zstd => {
            let mut body = Vec::new();
            zstd::Decoder::new(data.as_slice())?
                .take(MAX_BODY_BYTES + 1)
                .read_to_end(&mut body)?;
            if body.len() as u64 > MAX_BODY_BYTES {
                return Err(Damaged(std::io::Error::other(
                    "it is longer than any body may be",
                )));
            }
            Ok(body)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_damaged_body_is_an_error() {
        assert!(unpack(Codec::Zstd, b"no zstd frame".to_vec()).is_err());
    }

    #[test]
    fn packing_follows_the_route() {
        let body = vec![b'a'; 1000];
        assert_eq!(pack(&body, KeepCompressed::Auto, None).0, Codec::Zstd);
        assert_eq!(
            pack(&body, KeepCompressed::Auto, Some("gzip")).0,
            Codec::Identity
        );
        assert_eq!(pack(&body, KeepCompressed::Never, None).0, Codec::Identity);
        assert_eq!(
            pack(b"short", KeepCompressed::Auto, None).0,
            Codec::Identity
        );
        assert_eq!(pack(b"short", KeepCompressed::Always, None).0, Codec::Zstd);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(body in prop::collection::vec(any::<u8>(), 0..2000)) {
            for keep in [KeepCompressed::Auto, KeepCompressed::Always, KeepCompressed::Never] {
                let (codec, data) = pack(&body, keep, None);
                prop_assert_eq!(unpack(codec, data.into_owned()).unwrap(), body.clone());
            }
        }
    }
}

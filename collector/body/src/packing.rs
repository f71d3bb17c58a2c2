//! Packs bodies for the store, compressed with zstd if that pays, and unpacks them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;

use dossier_wire::{Half, StorageCompression};
use strum::IntoStaticStr;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{DCtx, get_error_name, get_frame_content_size};

use crate::content_kind::is_compressed;
use crate::dictionary::{Dictionaries, Dictionary};
use crate::load_meter::CompressionEffort;

/// Smaller bodies are not compressed without a dictionary.
pub const MIN_BYTES_TO_COMPRESS: usize = 256;
/// Smaller bodies are not compressed with a dictionary either.
const MIN_BYTES_WITH_DICTIONARY: usize = 48;
/// Larger bodies are repetitive enough in themselves, and are compressed without a dictionary.
pub const MAX_BYTES_WITH_DICTIONARY: usize = 128 * 1024;
/// zstd's own default: about the ratio of gzip at many times its speed.
const ZSTD_LEVEL: i32 = 3;
/// No producer's body is longer; a stored body that claims to be is damaged.
const MAX_BODY_BYTES: u64 = dossier_wire::frame::MAX_BATCH_BYTES as u64;

/// The encoding of a packed body.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Codec {
    /// Not compressed.
    Identity,
    /// One zstd frame.
    Zstd,
    /// One zstd frame that needs a dictionary, without its id.
    Dictionary(Arc<Dictionary>),
}

impl Codec {
    /// The dictionary that unpacking needs.
    #[must_use]
    pub fn dictionary(&self) -> Option<&Dictionary> {
        match self {
            Self::Dictionary(dictionary) => Some(dictionary),
            Self::Identity | Self::Zstd => None,
        }
    }
}

/// A packed body that cannot be unpacked, since the store is damaged.
#[derive(Debug, thiserror::Error)]
#[error("stored body is damaged: {0}")]
pub struct DamagedBody(#[from] io::Error);

/// A body to be packed, and what its packing depends on.
#[derive(Debug, Clone, Copy)]
pub struct UnpackedBody<'a, 'b> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// As configured for its route.
    pub compression: StorageCompression,
    /// The content encoding of its bytes, if any; compressing them again would not pay.
    pub encoding: Option<&'b str>,
    /// `content-type`.
    pub content_type: Option<&'b str>,
    /// The endpoint, in normal form.
    pub endpoint: &'b str,
    /// The half of the exchange.
    pub half: Half,
}

/// Packs bodies, reusing its compressors.
pub struct BodyPacker<'a> {
    dictionaries: &'a Dictionaries,
    effort: CompressionEffort,
    plain: Option<Compressor<'static>>,
    with_dictionary: Option<Compressor<'a>>,
}

impl<'a> BodyPacker<'a> {
    /// With [`CompressionEffort::Thorough`].
    #[must_use]
    pub const fn new(dictionaries: &'a Dictionaries) -> Self {
        Self::with_effort(dictionaries, CompressionEffort::Thorough)
    }

    /// With the dictionaries and the effort of the caller.
    #[must_use]
    pub const fn with_effort(dictionaries: &'a Dictionaries, effort: CompressionEffort) -> Self {
        Self {
            dictionaries,
            effort,
            plain: None,
            with_dictionary: None,
        }
    }

    /// Packs a body as configured for its route.
    #[must_use]
    pub fn pack<'b>(&mut self, body: &UnpackedBody<'b, '_>) -> (Codec, Cow<'b, [u8]>) {
        let bytes = body.bytes;
        let fits = (MIN_BYTES_WITH_DICTIONARY..=MAX_BYTES_WITH_DICTIONARY).contains(&bytes.len());
        let dictionary = self.dictionaries.get(body.endpoint, body.half);
        let dictionary = dictionary.filter(|_| fits);
        let should_compress = match body.compression {
            StorageCompression::Always => !bytes.is_empty(),
            StorageCompression::Never => false,
            StorageCompression::Auto => {
                (bytes.len() >= MIN_BYTES_TO_COMPRESS || dictionary.is_some())
                    && body.encoding.is_none()
                    && !is_compressed(body.content_type)
            }
        };
        // Compression fails only if memory runs out; the body is then stored uncompressed.
        let packed = should_compress.then(|| match dictionary {
            Some(dictionary) => {
                let codec = Codec::Dictionary(Arc::clone(dictionary));
                self.compress_with(dictionary, bytes)
                    .map(|data| (codec, data))
            }
            None => self.compress(bytes).map(|data| (Codec::Zstd, data)),
        });
        match packed {
            Some(Ok((codec, mut data)))
                if body.compression == StorageCompression::Always || data.len() < bytes.len() =>
            {
                // Its capacity is that of the worst case.
                data.shrink_to_fit();
                (codec, Cow::Owned(data))
            }
            _ => (Codec::Identity, Cow::Borrowed(bytes)),
        }
    }

    fn compress(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let compressor = match &mut self.plain {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.compress(bytes)
    }

    fn compress_with(&mut self, dictionary: &'a Dictionary, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let compressor = match &mut self.with_dictionary {
            Some(compressor) => compressor,
            none => {
                let mut compressor = Compressor::default();
                // The row of the body has the dictionary's id.
                compressor.include_dictid(false)?;
                none.insert(compressor)
            }
        };
        compressor.set_prepared_dictionary(dictionary.encoder(self.effort)?)?;
        compressor.compress(bytes)
    }
}

thread_local! {
    /// Creating one takes longer than unpacking a short body.
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Undoes [`BodyPacker::pack`].
///
/// # Errors
/// [`DamagedBody`] if the bytes do not match `codec`, or the body is longer than any may be.
pub fn unpack(codec: Codec, data: Vec<u8>) -> Result<Vec<u8>, DamagedBody> {
    match codec {
        Codec::Identity => Ok(data),
        Codec::Zstd => {
            let mut body = Vec::new();
            zstd::Decoder::new(data.as_slice())?
                .take(MAX_BODY_BYTES + 1)
                .read_to_end(&mut body)?;
            if body.len() as u64 > MAX_BODY_BYTES {
                return Err(DamagedBody(io::Error::other("longer than any body may be")));
            }
            Ok(body)
        }
        Codec::Dictionary(dictionary) => {
            let length = get_frame_content_size(&data).ok().flatten();
            let length = length.filter(|length| *length <= MAX_BYTES_WITH_DICTIONARY as u64);
            let length = length.and_then(|length| usize::try_from(length).ok());
            let length = length.ok_or_else(|| io::Error::other("no valid length"))?;
            let mut body = Vec::with_capacity(length);
            let unpacked = CONTEXT.with_borrow_mut(|context| {
                context.decompress_using_ddict(&mut body, &data, dictionary.decoder().as_ddict())
            });
            match unpacked {
                Ok(_) => Ok(body),
                Err(code) => Err(DamagedBody(io::Error::other(get_error_name(code)))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(bytes: &[u8], compression: StorageCompression, encoding: Option<&str>) -> Codec {
        pack_typed(bytes, compression, encoding, None)
    }

    fn pack_typed(
        bytes: &[u8],
        compression: StorageCompression,
        encoding: Option<&str>,
        content_type: Option<&str>,
    ) -> Codec {
        let body = UnpackedBody {
            bytes,
            compression,
            encoding,
            content_type,
            endpoint: "/",
            half: Half::Request,
        };
        BodyPacker::new(&Dictionaries::default()).pack(&body).0
    }

    #[test]
    fn rejects_damaged_body() {
        assert!(unpack(Codec::Zstd, b"no zstd frame".to_vec()).is_err());
    }

    #[test]
    fn packing_follows_configured_compression() {
        let body = vec![b'a'; 1000];
        assert_eq!(pack(&body, StorageCompression::Auto, None), Codec::Zstd);
        assert_eq!(
            pack(&body, StorageCompression::Auto, Some("gzip")),
            Codec::Identity
        );
        assert_eq!(
            pack(&body, StorageCompression::Never, None),
            Codec::Identity
        );
        assert_eq!(
            pack(b"short", StorageCompression::Auto, None),
            Codec::Identity
        );
        assert_eq!(
            pack(b"short", StorageCompression::Always, None),
            Codec::Zstd
        );
    }

    #[test]
    fn compressed_media_is_packed_only_if_always() {
        let body = vec![b'a'; 1000];
        let packed = |compression| pack_typed(&body, compression, None, Some("image/png"));
        assert_eq!(packed(StorageCompression::Auto), Codec::Identity);
        assert_eq!(packed(StorageCompression::Always), Codec::Zstd);
    }

    proptest! {
        #[test]
        fn packed_body_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let none = Dictionaries::default();
            let mut packer = BodyPacker::new(&none);
            for compression in [StorageCompression::Auto, StorageCompression::Always, StorageCompression::Never] {
                let body = UnpackedBody {
                    bytes: &bytes,
                    compression,
                    encoding: None,
                    content_type: None,
                    endpoint: "/",
                    half: Half::Response,
                };
                let (codec, data) = packer.pack(&body);
                prop_assert_eq!(unpack(codec, data.into_owned()).unwrap(), bytes.clone());
            }
        }
    }
}

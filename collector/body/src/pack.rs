//! How bodies are packed for the store.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;

use dossier_wire::{Half, StorageCompression};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{DCtx, get_error_name, get_frame_content_size};

use super::dictionary::{Dictionaries, Dictionary};
use super::media::is_compressed;
use super::pace::Effort;

/// Bodies below this many bytes are not worth compressing one by one.
pub const SMALLEST_TO_COMPRESS: usize = 256;
/// With a dictionary even these are.
const SMALLEST_WITH_DICTIONARY: usize = 48;
/// Longer bodies have enough in common with themselves: none is packed with a dictionary.
pub const LARGEST_WITH_DICTIONARY: usize = 128 * 1024;
/// zstd's own default: about the ratio of gzip at many times its speed.
const ZSTD_LEVEL: i32 = 3;
/// No producer's body is longer; a stored body that claims to be is damaged.
const MAX_BODY_BYTES: u64 = dossier_wire::frame::MAX_BATCH_BYTES as u64;

/// How a body is packed in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// As it came.
    Identity,
    /// One zstd frame.
    Zstd,
    /// One zstd frame that refers to a dictionary, without naming it.
    Dictionary(Arc<Dictionary>),
}

impl Codec {
    /// The name used in the database.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zstd => "zstd",
            Self::Dictionary(_) => "dictionary",
        }
    }

    /// The dictionary that is needed to unpack it.
    #[must_use]
    pub fn dictionary(&self) -> Option<&Dictionary> {
        match self {
            Self::Dictionary(dictionary) => Some(dictionary),
            Self::Identity | Self::Zstd => None,
        }
    }
}

/// A packed body that cannot be unpacked: the store is damaged.
#[derive(Debug, thiserror::Error)]
#[error("a stored body cannot be unpacked: {0}")]
pub struct Damaged(#[from] io::Error);

/// A body to be packed.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked<'a, 'b> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What its route asks.
    pub keep: StorageCompression,
    /// What its bytes are encoded in, if anything: compressing them again would be in vain.
    pub encoding: Option<&'b str>,
    /// `content-type`.
    pub content_type: Option<&'b str>,
    /// In normal form.
    pub endpoint: &'b str,
    /// Of which half.
    pub half: Half,
}

/// Packs bodies, one after the other.
pub struct Packer<'a> {
    dictionaries: &'a Dictionaries,
    effort: Effort,
    plain: Option<Compressor<'static>>,
    with_dictionary: Option<Compressor<'a>>,
}

impl<'a> Packer<'a> {
    /// Packs with these dictionaries, and takes time for it.
    #[must_use]
    pub const fn new(dictionaries: &'a Dictionaries) -> Self {
        Self::with(dictionaries, Effort::Thorough)
    }

    /// Packs with these dictionaries, and takes as much time for it.
    #[must_use]
    pub const fn with(dictionaries: &'a Dictionaries, effort: Effort) -> Self {
        Self {
            dictionaries,
            effort,
            plain: None,
            with_dictionary: None,
        }
    }

    /// Packs a body as its route asks.
    #[must_use]
    pub fn pack<'b>(&mut self, body: &Unpacked<'b, '_>) -> (Codec, Cow<'b, [u8]>) {
        let bytes = body.bytes;
        let fits = (SMALLEST_WITH_DICTIONARY..=LARGEST_WITH_DICTIONARY).contains(&bytes.len());
        let dictionary = self.dictionaries.of(body.endpoint, body.half);
        let dictionary = dictionary.filter(|_| fits);
        let wanted = match body.keep {
            StorageCompression::Always => !bytes.is_empty(),
            StorageCompression::Never => false,
            StorageCompression::Auto => {
                (bytes.len() >= SMALLEST_TO_COMPRESS || dictionary.is_some())
                    && body.encoding.is_none()
                    && !is_compressed(body.content_type)
            }
        };
        // Compressing to memory fails only for lack of memory; the body is then kept as it came.
        let packed = wanted.then(|| match dictionary {
            Some(dictionary) => {
                let codec = Codec::Dictionary(Arc::clone(dictionary));
                self.compress_with(dictionary, bytes)
                    .map(|data| (codec, data))
            }
            None => self.compress(bytes).map(|data| (Codec::Zstd, data)),
        });
        match packed {
            Some(Ok((codec, mut data)))
                if body.keep == StorageCompression::Always || data.len() < bytes.len() =>
            {
                // zstd was given room for the worst.
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
                // The row beside the body names the dictionary.
                compressor.include_dictid(false)?;
                none.insert(compressor)
            }
        };
        compressor.set_prepared_dictionary(dictionary.encoder(self.effort)?)?;
        compressor.compress(bytes)
    }
}

thread_local! {
    /// To make it takes longer than to unpack a short body with it.
    static UNPACKER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Undoes [`Packer::pack`].
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
                return Err(Damaged(io::Error::other(
                    "it is longer than any body may be",
                )));
            }
            Ok(body)
        }
        Codec::Dictionary(dictionary) => {
            let length = get_frame_content_size(&data).ok().flatten();
            let length = length.filter(|length| *length <= LARGEST_WITH_DICTIONARY as u64);
            let length = length.and_then(|length| usize::try_from(length).ok());
            let length = length.ok_or_else(|| io::Error::other("it does not tell its length"))?;
            let mut body = Vec::with_capacity(length);
            let unpacked = UNPACKER.with_borrow_mut(|unpacker| {
                unpacker.decompress_using_ddict(&mut body, &data, dictionary.decoder().as_ddict())
            });
            match unpacked {
                Ok(_) => Ok(body),
                Err(code) => Err(Damaged(io::Error::other(get_error_name(code)))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(bytes: &[u8], keep: StorageCompression, encoding: Option<&str>) -> Codec {
        pack_typed(bytes, keep, encoding, None)
    }

    fn pack_typed(
        bytes: &[u8],
        keep: StorageCompression,
        encoding: Option<&str>,
        content_type: Option<&str>,
    ) -> Codec {
        let body = Unpacked {
            bytes,
            keep,
            encoding,
            content_type,
            endpoint: "/",
            half: Half::Request,
        };
        Packer::new(&Dictionaries::default()).pack(&body).0
    }

    #[test]
    fn a_damaged_body_is_an_error() {
        assert!(unpack(Codec::Zstd, b"no zstd frame".to_vec()).is_err());
    }

    #[test]
    fn packing_follows_the_route() {
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
    fn compressed_media_is_left_alone_unless_the_route_insists() {
        let body = vec![b'a'; 1000];
        let packed = |keep| pack_typed(&body, keep, None, Some("image/png"));
        assert_eq!(packed(StorageCompression::Auto), Codec::Identity);
        assert_eq!(packed(StorageCompression::Always), Codec::Zstd);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let none = Dictionaries::default();
            let mut packer = Packer::new(&none);
            for keep in [StorageCompression::Auto, StorageCompression::Always, StorageCompression::Never] {
                let body = Unpacked {
                    bytes: &bytes,
                    keep,
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

//! Undoes `content-encoding: gzip` and `deflate`, so that what is inside can be searched. Checksums
//! are not compared: what came out is what is searched and kept, right or wrong.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_IGNORE_ADLER32, TINFL_FLAG_PARSE_ZLIB_HEADER,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// An encoding that can be undone here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
}

/// Plain bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inflated {
    pub(super) bytes: Vec<u8>,
    /// There would be more: the encoded bytes are cut off, or the limit was reached.
    pub(super) cut: bool,
}

const FIRST_ROOM_BYTES: usize = 4 << 10;
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const GZIP_HEADER_BYTES: usize = 10;
const GZIP_TRAILER_BYTES: usize = 8;
const HAS_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;

/// Plain bytes up to a limit; none if the encoded ones are damaged.
pub(super) fn inflate(encoding: Encoding, encoded: &[u8], most: usize) -> Option<Inflated> {
    let mut output = Output {
        bytes: Vec::new(),
        most,
    };
    let cut = match encoding {
        Encoding::Gzip => gzip(encoded, &mut output)?,
        // What is called deflate is zlib by the standard, and raw with some senders.
        Encoding::Deflate if is_zlib(encoded) => {
            let (_, cut) = output.stream(encoded, TINFL_FLAG_PARSE_ZLIB_HEADER)?;
            cut
        }
        Encoding::Deflate => output.stream(encoded, 0)?.1,
    };
    let bytes = output.bytes;
    Some(Inflated { bytes, cut })
}

fn is_zlib(encoded: &[u8]) -> bool {
    let method = encoded.first().is_some_and(|first| first & 0x0f == 8);
    let checked = encoded
        .first_chunk::<2>()
        .is_none_or(|head| u16::from_be_bytes(*head).is_multiple_of(31));
    method && checked
}

/// Members behind each other; whether the last is cut off.
fn gzip(encoded: &[u8], output: &mut Output) -> Option<bool> {
    let mut rest = encoded;
    loop {
        let Some(data) = gzip_data(rest)? else {
            return Some(true);
        };
        let (read, cut) = output.stream(data, 0)?;
        if cut {
            return Some(true);
        }
        let behind = data.get(read..).unwrap_or_default();
        let Some(next) = behind.get(GZIP_TRAILER_BYTES..) else {
            return Some(false);
        };
        // Some senders pad the end with zeros.
        if !next.starts_with(GZIP_MAGIC) {
            return Some(false);
        }
        rest = next;
    }
}

/// What stands behind a member's header. None: it is no header. Some of none: it is cut off.
#[expect(
    clippy::option_option,
    reason = "damaged and cut off are told apart by the caller at once"
)]
fn gzip_data(member: &[u8]) -> Option<Option<&[u8]>> {
    let magic = member.get(..2).unwrap_or(member);
    if !GZIP_MAGIC.starts_with(magic) || member.get(2).is_some_and(|method| *method != 8) {
        return None;
    }
    Some(gzip_header_end(member))
}

fn gzip_header_end(member: &[u8]) -> Option<&[u8]> {
    let flags = *member.get(3)?;
    let mut rest = member.get(GZIP_HEADER_BYTES..)?;
    if flags & HAS_EXTRA != 0 {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & HAS_CRC != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

struct Output {
    bytes: Vec<u8>,
    most: usize,
}

impl Output {
    /// Appends what a stream holds: how many encoded bytes it took, and whether there would be more.
    fn stream(&mut self, encoded: &[u8], flags: u32) -> Option<(usize, bool)> {
        let flags = flags
            | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | TINFL_FLAG_HAS_MORE_INPUT
            | TINFL_FLAG_IGNORE_ADLER32;
        let start = self.bytes.len();
        let mut room = (encoded.len().saturating_mul(2)).max(FIRST_ROOM_BYTES);
        let mut inflater = Box::<DecompressorOxide>::default();
        let mut read = 0;
        let mut written = 0;
        loop {
            let length = start.saturating_add(room).min(self.most);
            self.bytes.resize(length.max(start), 0);
            let input = encoded.get(read..).unwrap_or_default();
            let output = self.bytes.get_mut(start..).unwrap_or_default();
            let (status, more_read, more_written) =
                decompress(&mut inflater, input, output, written, flags);
            read += more_read;
            written += more_written;
            let cut = match status {
                TINFLStatus::HasMoreOutput if length < self.most => {
                    room = room.saturating_mul(2);
                    continue;
                }
                TINFLStatus::Done => false,
                TINFLStatus::HasMoreOutput | TINFLStatus::NeedsMoreInput => true,
                _ => return None,
            };
            self.bytes.truncate(start + written);
            return Some((read, cut));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TEXT: &[u8] = b"some text, and some more text, and again some text";

    /// A member with a header that has every field.
    pub(in crate::redact) fn gzipped(plain: &[u8]) -> Vec<u8> {
        let mut member = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x03\0abcname\0comment\0\x12\x34".to_vec();
        member.extend(compress_to_vec(plain, 6));
        member.extend([0; 8]);
        member
    }

    fn plain(encoding: Encoding, encoded: &[u8]) -> (Vec<u8>, bool) {
        let inflated = inflate(encoding, encoded, 1 << 20).unwrap();
        (inflated.bytes, inflated.cut)
    }

    #[test]
    fn every_form_is_undone() {
        let whole = (TEXT.to_vec(), false);
        let member = gzipped(TEXT);
        assert_eq!(plain(Encoding::Gzip, &member), whole);
        assert_eq!(
            plain(Encoding::Deflate, &compress_to_vec_zlib(TEXT, 6)),
            whole
        );
        assert_eq!(plain(Encoding::Deflate, &compress_to_vec(TEXT, 6)), whole);
        let mut two = [&member[..], &member[..]].concat();
        assert_eq!(plain(Encoding::Gzip, &two), (TEXT.repeat(2), false));
        two.extend([0; 30]);
        assert_eq!(plain(Encoding::Gzip, &two), (TEXT.repeat(2), false));
        let long = TEXT.repeat(5000);
        assert_eq!(plain(Encoding::Gzip, &gzipped(&long)), (long, false));
    }

    #[test]
    fn what_is_cut_off_comes_out_as_far_as_it_goes() {
        for (encoding, encoded) in [
            (Encoding::Gzip, gzipped(TEXT)),
            (Encoding::Deflate, compress_to_vec_zlib(TEXT, 6)),
        ] {
            for end in 1..encoded.len() - 9 {
                let (bytes, cut) = plain(encoding, &encoded[..end]);
                assert!(cut, "{encoding:?} {end}");
                assert!(TEXT.starts_with(&bytes), "{encoding:?} {end}");
            }
        }
    }

    #[test]
    fn the_output_ends_at_its_limit() {
        let bomb = gzipped(&vec![b'a'; 4 << 20]);
        for most in [0, 1, 100, 70_000] {
            let inflated = inflate(Encoding::Gzip, &bomb, most).unwrap();
            assert_eq!((inflated.bytes.len(), inflated.cut), (most, true));
        }
        let exact = inflate(Encoding::Gzip, &gzipped(TEXT), TEXT.len()).unwrap();
        assert_eq!(exact.bytes, TEXT);
    }

    #[test]
    fn damage_is_told() {
        let mut damaged = gzipped(TEXT);
        let data = damaged.len() - 8 - compress_to_vec(TEXT, 6).len();
        damaged[data] = 0xff;
        assert_eq!(inflate(Encoding::Gzip, &damaged, 1000), None);
        assert_eq!(inflate(Encoding::Gzip, b"no gzip", 1000), None);
        assert_eq!(inflate(Encoding::Gzip, b"\x1f\x8b\x07", 1000), None);
        assert_eq!(inflate(Encoding::Deflate, b"\xff\xff\xff", 1000), None);
    }
}

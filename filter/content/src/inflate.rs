//! Undoes gzip and deflate within a bound. The filter searches what comes out and the collector shows what comes
//! out, so both use this reader. Checksums are not compared: what came out is what is searched and shown.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_IGNORE_ADLER32, TINFL_FLAG_PARSE_ZLIB_HEADER,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// What wraps the deflated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One or more members of RFC 1952. Zero bytes may follow them: some senders pad the end.
    Gzip,
    /// What HTTP calls deflate: zlib by the standard, without any wrapper by some senders.
    Deflate,
}

/// How the output ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing is missing.
    Complete,
    /// There would be more output than the limit allows.
    Limit,
    /// The input ends too early.
    CutOff,
    /// The input is damaged, or in another format. What was inflated before that is there.
    Damaged,
}

/// The output, and how it ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Inflated {
    /// No more than the limit.
    pub bytes: Vec<u8>,
    /// Whether something is missing, and why.
    pub end: End,
}

const FIRST_OUTPUT_BYTES: usize = 4 << 10;
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const DEFLATE_METHOD: u8 = 8;
const GZIP_HEADER_BYTES: usize = 10;
const GZIP_TRAILER_BYTES: usize = 8;
const HAS_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;

/// Inflates up to `limit` bytes.
#[must_use]
pub fn inflate(format: Format, encoded: &[u8], limit: usize) -> Inflated {
    let mut output = Output {
        bytes: Vec::new(),
        limit,
    };
    let end = match format {
        Format::Gzip => gzip(encoded, &mut output),
        Format::Deflate => deflate(encoded, &mut output),
    };
    Inflated {
        bytes: output.bytes,
        end,
    }
}

fn deflate(encoded: &[u8], output: &mut Output) -> End {
    if is_zlib(encoded) {
        let (_, end) = output.stream(encoded, TINFL_FLAG_PARSE_ZLIB_HEADER);
        if end != End::Damaged || !output.bytes.is_empty() {
            return end;
        }
    }
    output.stream(encoded, 0).1
}

fn is_zlib(encoded: &[u8]) -> bool {
    let method = encoded
        .first()
        .is_some_and(|first| first & 0x0f == DEFLATE_METHOD);
    let checked = encoded
        .first_chunk::<2>()
        .is_none_or(|head| u16::from_be_bytes(*head).is_multiple_of(31));
    method && checked
}

fn gzip(encoded: &[u8], output: &mut Output) -> End {
    let mut rest = encoded;
    loop {
        if !is_gzip(rest) {
            return End::Damaged;
        }
        let Some(data) = after_gzip_header(rest) else {
            return End::CutOff;
        };
        let (read, end) = output.stream(data, 0);
        if end != End::Complete {
            return end;
        }
        let trailer = data.get(read..).unwrap_or_default();
        let Some(next) = trailer.get(GZIP_TRAILER_BYTES..) else {
            return End::CutOff;
        };
        if next.iter().all(|byte| *byte == 0) {
            return End::Complete;
        }
        rest = next;
    }
}

/// Whether a member begins here, as far as the bytes go.
fn is_gzip(member: &[u8]) -> bool {
    let magic = member.get(..GZIP_MAGIC.len()).unwrap_or(member);
    let method = member.get(GZIP_MAGIC.len());
    GZIP_MAGIC.starts_with(magic) && method.is_none_or(|method| *method == DEFLATE_METHOD)
}

/// What follows a member's header; none if the header is cut off.
fn after_gzip_header(member: &[u8]) -> Option<&[u8]> {
    let flags = *member.get(3)?;
    let mut rest = member.get(GZIP_HEADER_BYTES..)?;
    if flags & HAS_EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
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
    limit: usize,
}

impl Output {
    /// Appends what a stream holds. Returns how many encoded bytes it took, and how it ends.
    fn stream(&mut self, encoded: &[u8], flags: u32) -> (usize, End) {
        let flags = flags
            | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | TINFL_FLAG_HAS_MORE_INPUT
            | TINFL_FLAG_IGNORE_ADLER32;
        let start = self.bytes.len();
        let mut capacity = (encoded.len().saturating_mul(2)).max(FIRST_OUTPUT_BYTES);
        let mut inflater = Box::<DecompressorOxide>::default();
        let (mut read, mut written) = (0, 0);
        loop {
            let length = start.saturating_add(capacity).min(self.limit);
            self.bytes.resize(length.max(start), 0);
            let input = encoded.get(read..).unwrap_or_default();
            let output = self.bytes.get_mut(start..).unwrap_or_default();
            let (status, more_read, more_written) =
                decompress(&mut inflater, input, output, written, flags);
            read += more_read;
            written += more_written;
            let end = match status {
                TINFLStatus::HasMoreOutput if length < self.limit => {
                    capacity = capacity.saturating_mul(2);
                    continue;
                }
                TINFLStatus::Done => End::Complete,
                TINFLStatus::HasMoreOutput => End::Limit,
                TINFLStatus::NeedsMoreInput => End::CutOff,
                _ => End::Damaged,
            };
            self.bytes.truncate(start + written);
            return (read, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TEXT: &[u8] = b"some text, and some more text, and again some text";

    /// A member with a header that has every field.
    fn gzipped(plain: &[u8]) -> Vec<u8> {
        let mut member = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x03\0abcname\0comment\0\x12\x34".to_vec();
        member.extend(compress_to_vec(plain, 6));
        member.extend([0; 8]);
        member
    }

    fn inflated(format: Format, encoded: &[u8]) -> (Vec<u8>, End) {
        let inflated = inflate(format, encoded, 1 << 20);
        (inflated.bytes, inflated.end)
    }

    #[test]
    fn only_zeros_may_follow_gzip() {
        for (behind, end) in [
            (&b""[..], End::Complete),
            (b"\0", End::Complete),
            (&[0; 512], End::Complete),
            (b"garbage", End::Damaged),
            (b"\0garbage", End::Damaged),
            (b"\x1f", End::CutOff),
        ] {
            let encoded = [&gzipped(TEXT)[..], behind].concat();
            let inflated = inflate(Format::Gzip, &encoded, 1000);
            assert_eq!(
                (inflated.bytes.as_slice(), inflated.end),
                (TEXT, end),
                "{behind:?}"
            );
        }
    }

    #[test]
    fn reads_every_format() {
        let whole = (TEXT.to_vec(), End::Complete);
        let member = gzipped(TEXT);
        assert_eq!(inflated(Format::Gzip, &member), whole);
        let zlib = compress_to_vec_zlib(TEXT, 6);
        assert_eq!(inflated(Format::Deflate, &zlib), whole);
        assert_eq!(inflated(Format::Deflate, &compress_to_vec(TEXT, 6)), whole);
        let mut two = [&member[..], &member[..]].concat();
        assert_eq!(
            inflated(Format::Gzip, &two),
            (TEXT.repeat(2), End::Complete)
        );
        two.extend([0; 30]);
        assert_eq!(
            inflated(Format::Gzip, &two),
            (TEXT.repeat(2), End::Complete)
        );
        let long = TEXT.repeat(5000);
        assert_eq!(
            inflated(Format::Gzip, &gzipped(&long)),
            (long, End::Complete)
        );
    }

    #[test]
    fn cut_input_gives_its_beginning() {
        for (format, encoded) in [
            (Format::Gzip, gzipped(TEXT)),
            (Format::Deflate, compress_to_vec_zlib(TEXT, 6)),
        ] {
            for length in 1..encoded.len() {
                let (bytes, end) = inflated(format, &encoded[..length]);
                assert_eq!(end, End::CutOff, "{format:?} {length}");
                assert!(TEXT.starts_with(&bytes), "{format:?} {length}");
            }
        }
    }

    #[test]
    fn output_ends_at_limit() {
        let bomb = gzipped(&vec![b'a'; 4 << 20]);
        for limit in [0, 1, 100, 70_000] {
            let inflated = inflate(Format::Gzip, &bomb, limit);
            assert_eq!((inflated.bytes.len(), inflated.end), (limit, End::Limit));
        }
        let exact = inflate(Format::Gzip, &gzipped(TEXT), TEXT.len());
        assert_eq!((&exact.bytes[..], exact.end), (TEXT, End::Complete));
    }

    #[test]
    fn damaged_input_is_reported() {
        let mut damaged = gzipped(TEXT);
        let data = damaged.len() - 8 - compress_to_vec(TEXT, 6).len();
        damaged[data] = 0xff;
        assert_eq!(inflated(Format::Gzip, &damaged).1, End::Damaged);
        assert_eq!(inflated(Format::Gzip, b"no gzip").1, End::Damaged);
        assert_eq!(inflated(Format::Gzip, b"\x1f\x8b\x07").1, End::Damaged);
        assert_eq!(inflated(Format::Deflate, b"\xff\xff\xff").1, End::Damaged);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn any_input_stays_within_limit(input in prop::collection::vec(any::<u8>(), 0..300), limit in 0_usize..500) {
            for format in [Format::Gzip, Format::Deflate] {
                prop_assert!(inflate(format, &input, limit).bytes.len() <= limit);
            }
        }

        #[test]
        fn deflated_bytes_come_back(plain in prop::collection::vec(any::<u8>(), 0..2000)) {
            let whole = (plain.clone(), End::Complete);
            prop_assert_eq!(inflated(Format::Gzip, &gzipped(&plain)), whole.clone());
            prop_assert_eq!(inflated(Format::Deflate, &compress_to_vec_zlib(&plain, 6)), whole.clone());
            prop_assert_eq!(inflated(Format::Deflate, &compress_to_vec(&plain, 6)), whole);
        }
    }
}

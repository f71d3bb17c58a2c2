//! The header of a gRPC frame: a byte of flags and the message's length, big-endian.

/// Bytes of a header.
pub const HEADER_BYTES: usize = 5;

const COMPRESSED: u8 = 0x01;
/// gRPC-Web sends trailers as a frame of their own.
const TRAILERS: u8 = 0x80;

/// What stands before a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    flags: u8,
    /// Bytes of the message.
    pub length: usize,
}

impl FrameHeader {
    /// Reads the header at the beginning of these bytes; none if they are fewer than a header.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [flags, length @ ..] = bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            flags: *flags,
            length: usize::try_from(u32::from_be_bytes(*length)).ok()?,
        })
    }

    /// Whether this first byte can be that of a frame: it has no unknown flag.
    #[must_use]
    pub const fn is_flags(byte: u8) -> bool {
        byte & !(COMPRESSED | TRAILERS) == 0
    }

    /// Whether the message is compressed.
    #[must_use]
    pub const fn is_compressed(self) -> bool {
        self.flags & COMPRESSED != 0
    }

    /// Whether the message is the trailers of gRPC-Web.
    #[must_use]
    pub const fn is_trailers(self) -> bool {
        self.flags & TRAILERS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn reads_flags_and_length() {
        let header = FrameHeader::read(b"\x81\0\0\x01\x02rest").unwrap();
        assert_eq!(header.length, 258);
        assert!(header.is_compressed() && header.is_trailers());
        let plain = FrameHeader::read(b"\0\0\0\0\0").unwrap();
        assert!(!plain.is_compressed() && !plain.is_trailers());
    }

    #[test]
    fn short_bytes_are_no_header() {
        assert_eq!(FrameHeader::read(b"\0\0\0\0"), None);
        assert_eq!(FrameHeader::read(b""), None);
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert!(FrameHeader::is_flags(0x81));
        assert!(!FrameHeader::is_flags(0x02));
    }
}

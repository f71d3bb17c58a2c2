//! SHA-256, by a library that uses the processor's instructions for it: every body is hashed.

use aws_lc_rs::digest::{Context, SHA256};

/// The digest of the concatenated parts.
#[must_use]
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    for (byte, found) in digest.iter_mut().zip(context.finish().as_ref()) {
        *byte = *found;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-2, appendix B.1.
    #[test]
    fn digest_does_not_depend_on_parts() {
        let expected = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
            0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61,
            0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(sha256([b"abc".as_slice()]), expected);
        assert_eq!(sha256([b"a".as_slice(), b"", b"bc"]), expected);
    }
}

//! Header maps in the serialisation of proxy-wasm, read in place.
//!
//! ```text
//! map = count u32 LE · (name length u32 LE · value length u32 LE)* · (name · 0 · value · 0)*
//! ```

use std::borrow::Cow;

/// Access to a request's headers, whether they are loaded or fetched from the proxy on demand.
pub trait HeaderLookup {
    /// The first value of a header. The name must be in lower case.
    fn first(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// All headers at once.
    fn headers(&self) -> &Headers;
}

/// Headers, in order, duplicates kept. Values are bytes: HTTP does not promise UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    bytes: Vec<u8>,
}

impl Headers {
    /// A truncated map yields the complete pairs.
    #[must_use]
    pub const fn from_serialised(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Like [`Self::default`], but const.
    #[must_use]
    pub const fn empty() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (count, rest) = self
            .bytes
            .split_first_chunk::<4>()
            .unwrap_or((&[0; 4], &[]));
        let count = u32::from_le_bytes(*count) as usize;
        let (lengths, data) = rest
            .split_at_checked(count.saturating_mul(8))
            .unwrap_or_default();
        let mut rest = data;
        lengths
            .as_chunks::<8>()
            .0
            .iter()
            .map_while(move |&[n0, n1, n2, n3, v0, v1, v2, v3]| {
                let name = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
                let value = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
                let (name, tail) = rest.split_at_checked(name)?;
                let (value, tail) = tail.get(1..)?.split_at_checked(value)?;
                rest = tail.get(1..)?;
                Some((name, value))
            })
    }

    /// The first value of a header. The name must be in lower case, as proxies keep them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// All values of a header, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(found, _)| *found == name.as_bytes())
            .map(|(_, value)| value)
    }
}

impl HeaderLookup for Headers {
    fn first(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.get(name).map(Cow::Borrowed)
    }

    fn headers(&self) -> &Headers {
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    pub(crate) fn headers(pairs: &[(&str, &str)]) -> Headers {
        let pairs = pairs.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        header_bytes(&pairs)
    }

    pub(crate) fn header_bytes(pairs: &[(&[u8], &[u8])]) -> Headers {
        let mut bytes = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
        for (name, value) in pairs {
            bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        }
        for (name, value) in pairs {
            bytes.extend([name, &b"\0"[..], value, b"\0"].concat());
        }
        Headers::from_serialised(bytes)
    }

    #[test]
    fn keeps_order_and_duplicates() {
        let map = headers(&[(":path", "/"), ("a", "1"), ("a", ""), ("b", "2")]);
        let pairs: Vec<_> = map.iter().collect();
        assert_eq!(
            pairs,
            [
                (&b":path"[..], &b"/"[..]),
                (b"a", b"1"),
                (b"a", b""),
                (b"b", b"2")
            ]
        );
        assert_eq!(map.get("a"), Some(&b"1"[..]));
        assert_eq!(map.get("c"), None);
        assert_eq!(Headers::default().iter().count(), 0);
    }

    #[test]
    fn reads_truncated_map_up_to_cut() {
        let map = headers(&[("name", "value"), ("x", "y")]);
        for end in 0..map.bytes.len() {
            let cut = Headers::from_serialised(map.bytes[..end].to_vec());
            assert!(cut.iter().count() <= 1);
        }
        assert_eq!(Headers::from_serialised(vec![0xff; 64]).iter().count(), 0);
    }
}

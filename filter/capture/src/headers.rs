//! A header map in the form in which a proxy-wasm host hands it out, read in place.
//!
//! ```text
//! map = count u32 LE · (name length u32 LE · value length u32 LE)* · (name · 0 · value · 0)*
//! ```

use std::borrow::Cow;

/// Where a request's headers are found: all there, or asked of the proxy when they are needed.
pub trait Lookup {
    /// The first value of a header. The name must be in lower case.
    fn first(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// All headers.
    fn whole(&self) -> &Headers;
}

/// Headers, in order, duplicates kept. Values are bytes: HTTP does not promise UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    bytes: Vec<u8>,
}

impl Headers {
    /// Takes a serialised map. One that is cut off yields the pairs before the cut.
    #[must_use]
    pub const fn from_serialised(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// No headers.
    #[must_use]
    pub const fn none() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Names and values.
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
                let (name, behind) = rest.split_at_checked(name)?;
                let (value, behind) = behind.get(1..)?.split_at_checked(value)?;
                rest = behind.get(1..)?;
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

impl Lookup for Headers {
    fn first(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.get(name).map(Cow::Borrowed)
    }

    fn whole(&self) -> &Headers {
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    pub(crate) fn headers(pairs: &[(&str, &str)]) -> Headers {
        let mut bytes = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
        for (name, value) in pairs {
            bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        }
        for (name, value) in pairs {
            bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        Headers::from_serialised(bytes)
    }

    #[test]
    fn pairs_come_in_order_with_duplicates() {
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
    fn a_map_cut_off_anywhere_is_read_up_to_the_cut() {
        let map = headers(&[("name", "value"), ("x", "y")]);
        for end in 0..map.bytes.len() {
            let cut = Headers::from_serialised(map.bytes[..end].to_vec());
            assert!(cut.iter().count() <= 1);
        }
        assert_eq!(Headers::from_serialised(vec![0xff; 64]).iter().count(), 0);
    }
}

//! Lines and fields of server-sent events, by the rules of the HTML standard: `\n`, `\r` or `\r\n` end a line,
//! an empty line ends an event, and one space after the colon is no part of the value.

use std::ops::Range;

use memchr::{memchr, memchr2};

/// Where the first line end is; none if no line ends in these bytes.
#[must_use]
pub fn line_end(bytes: &[u8]) -> Option<Range<usize>> {
    let start = memchr2(b'\n', b'\r', bytes)?;
    let length = match bytes.get(start..) {
        Some([b'\r', b'\n', ..]) => 2,
        _ => 1,
    };
    Some(start..start + length)
}

/// The field that a line holds: the end of its name, and the beginning of its value. A line without a colon is
/// a name with an empty value; a comment has an empty name.
#[must_use]
pub fn field(line: &[u8]) -> (usize, usize) {
    let Some(colon) = memchr(b':', line) else {
        return (line.len(), line.len());
    };
    let space = line.get(colon + 1) == Some(&b' ');
    (colon, colon + 1 + usize::from(space))
}

/// Calls `take` with the data of each event that has ended, its lines joined.
pub fn for_each_data(stream: &[u8], mut take: impl FnMut(&[u8])) {
    let mut data: Option<Vec<u8>> = None;
    let mut rest = stream;
    while let Some(end) = line_end(rest) {
        let line = rest.get(..end.start).unwrap_or_default();
        rest = rest.get(end.end..).unwrap_or_default();
        if line.is_empty() {
            if let Some(data) = data.take() {
                take(&data);
            }
            continue;
        }
        let (name, value) = field(line);
        if line.get(..name) != Some(b"data") {
            continue;
        }
        let value = line.get(value..).unwrap_or_default();
        match &mut data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => data = Some(value.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_each_kind_of_line_end() {
        assert_eq!(line_end(b"a\nb"), Some(1..2));
        assert_eq!(line_end(b"a\r\nb"), Some(1..3));
        assert_eq!(line_end(b"a\rb"), Some(1..2));
        assert_eq!(line_end(b"a\r"), Some(1..2));
        assert_eq!(line_end(b"ab"), None);
        assert_eq!(line_end(b""), None);
    }

    #[test]
    fn events_give_their_data() {
        let stream = b": hi\nevent: x\ndata: 1\ndata:2\n\nid: 7\n\ndata\r\n\r\ndata: unfinished\n";
        let mut found = Vec::new();
        for_each_data(stream, |data| found.push(data.to_vec()));
        assert_eq!(found, [&b"1\n2"[..], b""]);
    }

    #[test]
    fn divides_name_and_value() {
        assert_eq!(field(b"data: x"), (4, 6));
        assert_eq!(field(b"data:  x"), (4, 6));
        assert_eq!(field(b"data:x"), (4, 5));
        assert_eq!(field(b"data:"), (4, 5));
        assert_eq!(field(b"data"), (4, 4));
        assert_eq!(field(b": comment"), (0, 2));
    }
}

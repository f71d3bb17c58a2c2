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
    fn divides_name_and_value() {
        assert_eq!(field(b"data: x"), (4, 6));
        assert_eq!(field(b"data:  x"), (4, 6));
        assert_eq!(field(b"data:x"), (4, 5));
        assert_eq!(field(b"data:"), (4, 5));
        assert_eq!(field(b"data"), (4, 4));
        assert_eq!(field(b": comment"), (0, 2));
    }
}

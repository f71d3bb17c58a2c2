//! Writes JSON within a bound of bytes, escapes counted as they are written: a control character takes six.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

/// Bytes of the quotes around a string.
const QUOTE_BYTES: usize = 2;

/// The value as JSON, or `None` if that has more than `max_bytes`, of which no more are ever in memory.
pub(crate) fn write(
    value: &(impl Serialize + ?Sized),
    max_bytes: usize,
) -> serde_json::Result<Option<Box<RawValue>>> {
    let mut written = BoundedWriter {
        json: Vec::new(),
        max_bytes,
    };
    match serde_json::to_writer(&mut written, value) {
        Ok(()) => {}
        Err(error) if error.is_io() => return Ok(None),
        Err(error) => return Err(error),
    }
    let json = String::from_utf8(written.json).map_err(serde::ser::Error::custom)?;
    RawValue::from_string(json).map(Some)
}

/// The longest beginning of a text that, as a JSON string, has at most `max_bytes`.
pub(crate) fn fitting_start(text: &str, max_bytes: usize) -> &str {
    let mut left = max_bytes.saturating_sub(QUOTE_BYTES);
    let end = text.char_indices().find_map(|(at, character)| {
        match left.checked_sub(written_bytes(character)) {
            Some(rest) => {
                left = rest;
                None
            }
            None => Some(at),
        }
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// How many bytes `serde_json` writes for a character of a string.
const fn written_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

struct BoundedWriter {
    json: Vec<u8>,
    max_bytes: usize,
}

impl Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.max_bytes - self.json.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.json.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_over_bound_is_not_written() {
        for (value, bytes) in [("abc", 5), ("\0\0", 14), ("\"\n", 6), ("é", 4)] {
            let fits = write(value, bytes).unwrap().unwrap();
            assert_eq!(fits.get().len(), bytes, "{value:?}");
            assert!(write(value, bytes - 1).unwrap().is_none(), "{value:?}");
        }
    }

    #[test]
    fn fitting_start_is_longest() {
        let all: String = ('\0'..='\u{ff}').chain(['\u{2028}', '€', '😀']).collect();
        let whole = serde_json::to_string(&all).unwrap().len();
        for max in 2..=whole {
            let start = fitting_start(&all, max);
            let written = serde_json::to_string(start).unwrap().len();
            assert!(written <= max, "{max}");
            let next = all[start.len()..].chars().next();
            assert!(
                next.is_none_or(|it| written + written_bytes(it) > max),
                "{max}"
            );
        }
        assert_eq!(fitting_start(&all, whole), all);
        assert_eq!(fitting_start("a", 0), "");
    }
}

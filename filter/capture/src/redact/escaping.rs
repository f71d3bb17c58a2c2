//! Undoes escapes, with which secrets may be written: `alice\u0040example.com`, `alice%40example.com`.
//! Text is searched without its escapes, and matches are mapped back to the bytes as written.
//!
//! Escapes may be nested, as in a JSON document inside a JSON string, or in a link inside a link. In
//! `"\\nAKIA…"` the `n` is no letter before the key. So the text of each layer is searched.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memrchr;

use crate::json::{StringPart, split_string};

/// Length of `\u0040`, the longest escape of JSON.
const JSON_ESCAPE_BYTES: usize = 6;
/// Length of `%40`.
const PERCENT_ESCAPE_BYTES: usize = 3;
/// Of nested escapes.
const MAX_LAYERS: usize = 4;

/// How bytes are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escaping {
    /// Without escapes.
    Plain,
    /// JSON escapes.
    Json,
    /// Percent-encoding, as in a path.
    Percent,
    /// Percent-encoding with a plus for a space, as in a query or a form.
    Form,
}

#[derive(Debug, Default)]
struct Decoded {
    text: Vec<u8>,
    /// Spans of decoded bytes that map to written bytes, in order.
    spans: Vec<Span>,
}

/// Bytes in all their layers, with one layer of escapes decoded after the other.
#[derive(Debug)]
pub(super) struct EscapeLayers<'w> {
    written: &'w [u8],
    decoded: Vec<Decoded>,
    /// The first layer to search: the written bytes, unless they are known to be escaped.
    first: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// Offset in the decoded text.
    at: usize,
    /// Offset in the written bytes.
    written: usize,
    /// An escape, which maps as a whole.
    escape: bool,
}

impl Escaping {
    /// Whether there may be anything to decode.
    fn may_contain_escapes(self, written: &[u8]) -> bool {
        match self {
            Self::Plain => false,
            Self::Json => written.contains(&b'\\'),
            Self::Percent => written.contains(&b'%'),
            Self::Form => written.iter().any(|byte| matches!(byte, b'%' | b'+')),
        }
    }

    /// Removes an incomplete escape at the end of truncated bytes: it would read as letters and digits
    /// of its own.
    pub(super) fn strip_incomplete_escape(self, written: &[u8]) -> &[u8] {
        let (mark, length) = match self {
            Self::Plain => return written,
            Self::Json => (b'\\', JSON_ESCAPE_BYTES),
            Self::Percent | Self::Form => (b'%', PERCENT_ESCAPE_BYTES),
        };
        match memrchr(mark, written) {
            Some(at) if written.len() - at < length => written.get(..at).unwrap_or(written),
            _ => written,
        }
    }

    /// The bytes without their escapes.
    pub(super) fn decode(self, written: &[u8]) -> Cow<'_, [u8]> {
        if self.may_contain_escapes(written) {
            Cow::Owned(Decoded::new(self, written).text)
        } else {
            Cow::Borrowed(written)
        }
    }
}

impl<'w> EscapeLayers<'w> {
    pub(super) fn new(escaping: Escaping, written: &'w [u8]) -> Self {
        let layers: Vec<_> = escaping
            .may_contain_escapes(written)
            .then(|| Decoded::new(escaping, written))
            .into_iter()
            .collect();
        let mut layers = Self {
            written,
            first: layers.len(),
            decoded: layers,
        };
        while let Some(layer) = layers.next_layer() {
            layers.decoded.push(layer);
        }
        layers
    }

    fn next_layer(&self) -> Option<Decoded> {
        let text = self.last();
        [Escaping::Json, Escaping::Percent]
            .into_iter()
            .filter(|escaping| {
                self.decoded.len() < MAX_LAYERS && escaping.may_contain_escapes(text)
            })
            .map(|escaping| Decoded::new(escaping, text))
            .find(Decoded::has_escapes)
    }

    /// The layers to search, with their levels.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        (self.first..=self.decoded.len()).map(|level| (level, self.text(level)))
    }

    /// The text with all layers decoded.
    pub(super) fn last(&self) -> &[u8] {
        self.text(self.decoded.len())
    }

    fn text(&self, level: usize) -> &[u8] {
        let layer = level
            .checked_sub(1)
            .and_then(|below| self.decoded.get(below));
        layer.map_or(self.written, Decoded::text)
    }

    /// Maps a range of a layer to the written bytes. The result splits no escape of any layer, so that
    /// the rest can still be decoded when the range is replaced.
    pub(super) fn map_to_written(&self, level: usize, range: Range<usize>) -> Range<usize> {
        let above = self.decoded.iter().skip(level);
        let range = above.fold(range, |range, layer| layer.map_to_decoded(range));
        let all = self.decoded.iter().enumerate().rev();
        all.fold(range, |range, (below, layer)| {
            layer.map_to_written(range, self.text(below).len())
        })
    }
}

impl Decoded {
    fn new(escaping: Escaping, written: &[u8]) -> Self {
        let mut decoded = Self {
            text: Vec::with_capacity(written.len()),
            spans: Vec::new(),
        };
        match escaping {
            Escaping::Plain => decoded.push_plain(0, written),
            Escaping::Json => decoded.decode_json(written),
            Escaping::Percent => decoded.decode_percent(written, false),
            Escaping::Form => decoded.decode_percent(written, true),
        }
        decoded
    }

    fn text(&self) -> &[u8] {
        &self.text
    }

    fn has_escapes(&self) -> bool {
        self.spans.iter().any(|span| span.escape)
    }

    /// Maps written bytes to decoded ones.
    fn map_to_decoded(&self, range: Range<usize>) -> Range<usize> {
        let start = self.decoded_of_byte(range.start).start;
        match range.end.checked_sub(1).filter(|last| *last >= range.start) {
            Some(last) => start..self.decoded_of_byte(last).end,
            None => start..start,
        }
    }

    /// The decoded bytes of one written byte; the end for offsets past the last byte.
    fn decoded_of_byte(&self, written: usize) -> Range<usize> {
        let next = self.spans.partition_point(|span| span.written <= written);
        let Some(span) = next.checked_sub(1).and_then(|index| self.spans.get(index)) else {
            return 0..0;
        };
        let end = self.spans.get(next).map_or(self.text.len(), |span| span.at);
        if span.escape {
            return span.at..end;
        }
        let at = end.min(span.at + (written - span.written));
        at..end.min(at + 1)
    }

    /// Maps decoded bytes to written ones.
    fn map_to_written(&self, range: Range<usize>, length: usize) -> Range<usize> {
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            let at = self.written_of_byte(range.start, length).start;
            return at..at;
        };
        self.written_of_byte(range.start, length).start..self.written_of_byte(last, length).end
    }

    /// The written bytes of one decoded byte; the end for offsets past the last byte.
    fn written_of_byte(&self, at: usize, length: usize) -> Range<usize> {
        if at >= self.text.len() {
            return length..length;
        }
        let next = self.spans.partition_point(|span| span.at <= at);
        let Some(span) = next.checked_sub(1).and_then(|index| self.spans.get(index)) else {
            return at..at + 1;
        };
        if span.escape {
            let end = self.spans.get(next).map_or(length, |span| span.written);
            return span.written..end;
        }
        let start = span.written + (at - span.at);
        start..start + 1
    }

    fn push_plain(&mut self, start: usize, bytes: &[u8]) {
        self.push_span(start, false);
        self.text.extend_from_slice(bytes);
    }

    fn push_escape(&mut self, start: usize, bytes: &[u8]) {
        self.push_span(start, true);
        self.text.extend_from_slice(bytes);
    }

    fn push_span(&mut self, written: usize, escape: bool) {
        self.spans.push(Span {
            at: self.text.len(),
            written,
            escape,
        });
    }

    fn decode_json(&mut self, written: &[u8]) {
        for piece in split_string(written) {
            match piece {
                StringPart::Plain(range) => {
                    self.push_plain(range.start, written.get(range).unwrap_or_default());
                }
                StringPart::Escape(range, character) => {
                    self.push_escape(range.start, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    fn decode_percent(&mut self, written: &[u8], plus: bool) {
        let mut at = 0;
        while let Some(rest) = written.get(at..).filter(|rest| !rest.is_empty()) {
            let special = |byte: &u8| *byte == b'%' || (plus && *byte == b'+');
            let plain = rest.iter().position(special).unwrap_or(rest.len());
            if plain > 0 {
                self.push_plain(at, rest.get(..plain).unwrap_or_default());
                at += plain;
            } else if let Some(byte) = percent_escape(rest) {
                self.push_escape(at, &[byte]);
                at += PERCENT_ESCAPE_BYTES;
            } else {
                let plus = rest.first() == Some(&b'+');
                self.push_plain(at, if plus { b" " } else { b"%" });
                at += 1;
            }
        }
    }
}

/// Decodes the digits of a percent escape.
fn percent_escape(rest: &[u8]) -> Option<u8> {
    let digits = rest.strip_prefix(b"%")?.first_chunk::<2>()?;
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn decodes_escapes() {
        for (escaping, written, text) in [
            (Escaping::Plain, r"a\u0062%63+", r"a\u0062%63+"),
            (Escaping::Json, r"a\u0062%63+", "ab%63+"),
            (Escaping::Percent, r"a\u0062%63+", r"a\u0062c+"),
            (Escaping::Form, r"a%62+%2B%c3%A9", "ab +é"),
            (Escaping::Form, "100%+%zz%4", "100% %zz%4"),
        ] {
            assert_eq!(&*escaping.decode(written.as_bytes()), text.as_bytes());
        }
    }

    #[test]
    fn strips_incomplete_escape_at_end() {
        for (escaping, written, whole) in [
            (Escaping::Json, r"4111 \u00", "4111 "),
            (Escaping::Json, "4111\\", "4111"),
            (Escaping::Json, r"\u00411234", r"\u00411234"),
            (Escaping::Form, "41+%2", "41+"),
            (Escaping::Percent, "41%", "41"),
            (Escaping::Percent, "41%20", "41%20"),
            (Escaping::Plain, r"\u00", r"\u00"),
        ] {
            let left = escaping.strip_incomplete_escape(written.as_bytes());
            assert_eq!(left, whole.as_bytes(), "{written}");
        }
    }

    #[test]
    fn maps_matches_to_whole_escapes() {
        let written = br"x\u0040y\ud83d\ude00z";
        let decoded = Decoded::new(Escaping::Json, written);
        assert_eq!(decoded.text(), "x@y😀z".as_bytes());
        for (range, expected) in [
            (0..1, &br"x"[..]),
            (0..2, br"x\u0040"),
            (1..3, br"\u0040y"),
            (4..5, br"\ud83d\ude00"),
            (2..8, br"y\ud83d\ude00z"),
            (7..8, br"z"),
        ] {
            let back = decoded.map_to_written(range.clone(), written.len());
            assert_eq!(&written[back], expected, "{range:?}");
        }
        let end = written.len();
        assert_eq!(decoded.map_to_written(8..8, end), end..end);
        assert_eq!(decoded.map_to_written(7..7, end), end - 1..end - 1);
        let decoded = Decoded::new(Escaping::Form, b"%41+%42");
        assert_eq!(decoded.map_to_written(1..3, 7), 3..7);
    }

    #[test]
    fn maps_nested_escapes_to_written_bytes() {
        for (escaping, written, text) in [
            (Escaping::Plain, "plain", "plain"),
            (Escaping::Plain, r"x\u0040y", "x@y"),
            (Escaping::Json, r"x\\u0040y", "x@y"),
            (Escaping::Json, r"x\\\\u0040y", "x@y"),
            (Escaping::Json, "x%40y", "x@y"),
            (Escaping::Json, r"x\u002540y", "x@y"),
            (Escaping::Percent, "x%5Cu0040y", "x@y"),
            (Escaping::Form, "x%252540y", "x@y"),
            // Up to the maximum, and only what can be decoded.
            (Escaping::Form, "x%2525252540y", "x%40y"),
            (Escaping::Plain, r"x\u@y 100%", r"x\u@y 100%"),
        ] {
            let layers = EscapeLayers::new(escaping, written.as_bytes());
            let last = layers.decoded.len();
            assert_eq!(layers.last(), text.as_bytes(), "{written}");
            let end = written.len();
            assert_eq!(layers.map_to_written(last, 0..1), 0..1);
            assert_eq!(layers.map_to_written(last, 0..text.len()), 0..end);
            assert_eq!(
                layers.map_to_written(last, text.len()..text.len()),
                end..end
            );
            if text == "x@y" {
                let at = 1..end - 1;
                assert_eq!(layers.map_to_written(last, 1..2), at, "{written}");
                // A range that begins or ends inside an escape covers all of it.
                for (level, reading) in layers.iter() {
                    let inside = reading.len() - 2;
                    assert_eq!(layers.map_to_written(level, inside..inside + 1), at);
                    assert_eq!(layers.map_to_written(level, inside..inside).start, at.start);
                }
            }
        }
    }
}

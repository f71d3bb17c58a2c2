//! Secrets may be written with escapes: `alice\u0040example.com`, `alice%40example.com`. So text is
//! searched with its escapes undone, and what is found is traced back to the bytes as they stand.
//!
//! Escapes may stand behind escapes, as in a JSON document that is a string of another, or in a link
//! that is. In `"\\nAKIA…"` the `n` is no letter before the key. So each reading is searched.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memrchr;

use crate::json::{Piece, pieces};

/// Length of `\u0040`, the longest of JSON's.
const JSON_ESCAPE_BYTES: usize = 6;
/// Length of `%40`.
const PERCENT_ESCAPE_BYTES: usize = 3;
/// How many layers of escapes are undone.
const MOST_LAYERS: usize = 4;

/// How some bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are.
    Plain,
    /// With JSON's escapes.
    Json,
    /// With percent signs, as in a path.
    Percent,
    /// With percent signs, and a plus for a space, as in a query or a form.
    Form,
}

/// Bytes with their escapes undone.
#[derive(Debug, Default)]
struct Decoded {
    text: Vec<u8>,
    /// Where decoded and written bytes run in parallel, in order.
    spans: Vec<Span>,
}

/// Some bytes and all ways to read them: with one layer of escapes undone after the other.
#[derive(Debug)]
pub(super) struct Readings<'w> {
    written: &'w [u8],
    layers: Vec<Decoded>,
    /// The first level that is a reading: the written bytes, unless their coding says otherwise.
    first: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// Where it begins in the decoded text.
    at: usize,
    /// Where it begins as written.
    written: usize,
    /// An escape stands or falls as a whole.
    escape: bool,
}

impl Coding {
    /// Whether the bytes are written otherwise than they read.
    fn is_needed(self, written: &[u8]) -> bool {
        match self {
            Self::Plain => false,
            Self::Json => written.contains(&b'\\'),
            Self::Percent => written.contains(&b'%'),
            Self::Form => written.iter().any(|byte| matches!(byte, b'%' | b'+')),
        }
    }

    /// Bytes that are cut off, without the part of an escape at their end: it would read as letters
    /// and digits of its own.
    pub(super) fn without_cut_escape(self, written: &[u8]) -> &[u8] {
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

    /// The bytes as they read.
    pub(super) fn decode(self, written: &[u8]) -> Cow<'_, [u8]> {
        if self.is_needed(written) {
            Cow::Owned(Decoded::new(self, written).text)
        } else {
            Cow::Borrowed(written)
        }
    }
}

impl<'w> Readings<'w> {
    pub(super) fn new(coding: Coding, written: &'w [u8]) -> Self {
        let layers: Vec<_> = coding
            .is_needed(written)
            .then(|| Decoded::new(coding, written))
            .into_iter()
            .collect();
        let mut readings = Self {
            written,
            first: layers.len(),
            layers,
        };
        while let Some(layer) = readings.next_layer() {
            readings.layers.push(layer);
        }
        readings
    }

    fn next_layer(&self) -> Option<Decoded> {
        let text = self.last();
        [Coding::Json, Coding::Percent]
            .into_iter()
            .filter(|coding| self.layers.len() < MOST_LAYERS && coding.is_needed(text))
            .map(|coding| Decoded::new(coding, text))
            .find(Decoded::has_escapes)
    }

    /// The readings, with their levels.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        (self.first..=self.layers.len()).map(|level| (level, self.text(level)))
    }

    /// The bytes as they read at last.
    pub(super) fn last(&self) -> &[u8] {
        self.text(self.layers.len())
    }

    fn text(&self, level: usize) -> &[u8] {
        let layer = level
            .checked_sub(1)
            .and_then(|below| self.layers.get(below));
        layer.map_or(self.written, Decoded::text)
    }

    /// The written bytes that a part of a reading comes from. It splits no escape of any level, so
    /// that what can be read all the way still can when the part is replaced.
    pub(super) fn written(&self, level: usize, range: Range<usize>) -> Range<usize> {
        let above = self.layers.iter().skip(level);
        let range = above.fold(range, |range, layer| layer.read(range));
        let all = self.layers.iter().enumerate().rev();
        all.fold(range, |range, (below, layer)| {
            layer.written(range, self.text(below).len())
        })
    }
}

impl Decoded {
    fn new(coding: Coding, written: &[u8]) -> Self {
        let mut decoded = Self {
            text: Vec::with_capacity(written.len()),
            spans: Vec::new(),
        };
        match coding {
            Coding::Plain => decoded.plain(0, written),
            Coding::Json => decoded.json(written),
            Coding::Percent => decoded.percent(written, false),
            Coding::Form => decoded.percent(written, true),
        }
        decoded
    }

    fn text(&self) -> &[u8] {
        &self.text
    }

    fn has_escapes(&self) -> bool {
        self.spans.iter().any(|span| span.escape)
    }

    /// The decoded bytes that come from the written ones.
    fn read(&self, range: Range<usize>) -> Range<usize> {
        let start = self.read_one(range.start).start;
        match range.end.checked_sub(1).filter(|last| *last >= range.start) {
            Some(last) => start..self.read_one(last).end,
            None => start..start,
        }
    }

    /// The decoded bytes of one that is written. Behind the last one stands the end.
    fn read_one(&self, written: usize) -> Range<usize> {
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

    /// The written bytes that the decoded ones come from.
    fn written(&self, range: Range<usize>, length: usize) -> Range<usize> {
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            let at = self.place(range.start, length).start;
            return at..at;
        };
        self.place(range.start, length).start..self.place(last, length).end
    }

    /// The written bytes of one decoded byte. Behind the last one stands the end.
    fn place(&self, at: usize, length: usize) -> Range<usize> {
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

    fn plain(&mut self, start: usize, bytes: &[u8]) {
        self.span(start, false);
        self.text.extend_from_slice(bytes);
    }

    fn escape(&mut self, start: usize, bytes: &[u8]) {
        self.span(start, true);
        self.text.extend_from_slice(bytes);
    }

    fn span(&mut self, written: usize, escape: bool) {
        self.spans.push(Span {
            at: self.text.len(),
            written,
            escape,
        });
    }

    fn json(&mut self, written: &[u8]) {
        for piece in pieces(written) {
            match piece {
                Piece::Plain(range) => {
                    self.plain(range.start, written.get(range).unwrap_or_default());
                }
                Piece::Escape(range, character) => {
                    self.escape(range.start, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    fn percent(&mut self, written: &[u8], plus: bool) {
        let mut at = 0;
        while let Some(rest) = written.get(at..).filter(|rest| !rest.is_empty()) {
            let special = |byte: &u8| *byte == b'%' || (plus && *byte == b'+');
            let plain = rest.iter().position(special).unwrap_or(rest.len());
            if plain > 0 {
                self.plain(at, rest.get(..plain).unwrap_or_default());
                at += plain;
            } else if let Some(byte) = percent_escape(rest) {
                self.escape(at, &[byte]);
                at += PERCENT_ESCAPE_BYTES;
            } else {
                let plus = rest.first() == Some(&b'+');
                self.plain(at, if plus { b" " } else { b"%" });
                at += 1;
            }
        }
    }
}

/// The byte of a percent sign and two hex digits.
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
    fn escapes_are_undone() {
        for (coding, written, text) in [
            (Coding::Plain, r"a\u0062%63+", r"a\u0062%63+"),
            (Coding::Json, r"a\u0062%63+", "ab%63+"),
            (Coding::Percent, r"a\u0062%63+", r"a\u0062c+"),
            (Coding::Form, r"a%62+%2B%c3%A9", "ab +é"),
            (Coding::Form, "100%+%zz%4", "100% %zz%4"),
        ] {
            assert_eq!(&*coding.decode(written.as_bytes()), text.as_bytes());
        }
    }

    #[test]
    fn part_of_an_escape_at_a_cut_is_no_text() {
        for (coding, written, whole) in [
            (Coding::Json, r"4111 \u00", "4111 "),
            (Coding::Json, "4111\\", "4111"),
            (Coding::Json, r"\u00411234", r"\u00411234"),
            (Coding::Form, "41+%2", "41+"),
            (Coding::Percent, "41%", "41"),
            (Coding::Percent, "41%20", "41%20"),
            (Coding::Plain, r"\u00", r"\u00"),
        ] {
            let left = coding.without_cut_escape(written.as_bytes());
            assert_eq!(left, whole.as_bytes(), "{written}");
        }
    }

    #[test]
    fn what_is_found_is_traced_back_to_whole_escapes() {
        let written = br"x\u0040y\ud83d\ude00z";
        let decoded = Decoded::new(Coding::Json, written);
        assert_eq!(decoded.text(), "x@y😀z".as_bytes());
        for (range, expected) in [
            (0..1, &br"x"[..]),
            (0..2, br"x\u0040"),
            (1..3, br"\u0040y"),
            (4..5, br"\ud83d\ude00"),
            (2..8, br"y\ud83d\ude00z"),
            (7..8, br"z"),
        ] {
            let back = decoded.written(range.clone(), written.len());
            assert_eq!(&written[back], expected, "{range:?}");
        }
        let end = written.len();
        assert_eq!(decoded.written(8..8, end), end..end);
        assert_eq!(decoded.written(7..7, end), end - 1..end - 1);
        let decoded = Decoded::new(Coding::Form, b"%41+%42");
        assert_eq!(decoded.written(1..3, 7), 3..7);
    }

    #[test]
    fn layers_are_undone_one_by_one_and_traced_back() {
        for (coding, written, text) in [
            (Coding::Plain, "plain", "plain"),
            (Coding::Plain, r"x\u0040y", "x@y"),
            (Coding::Json, r"x\\u0040y", "x@y"),
            (Coding::Json, r"x\\\\u0040y", "x@y"),
            (Coding::Json, "x%40y", "x@y"),
            (Coding::Json, r"x\u002540y", "x@y"),
            (Coding::Percent, "x%5Cu0040y", "x@y"),
            (Coding::Form, "x%252540y", "x@y"),
            // Not without end, and not where there is nothing to undo.
            (Coding::Form, "x%2525252540y", "x%40y"),
            (Coding::Plain, r"x\u@y 100%", r"x\u@y 100%"),
        ] {
            let readings = Readings::new(coding, written.as_bytes());
            let last = readings.layers.len();
            assert_eq!(readings.last(), text.as_bytes(), "{written}");
            let end = written.len();
            assert_eq!(readings.written(last, 0..1), 0..1);
            assert_eq!(readings.written(last, 0..text.len()), 0..end);
            assert_eq!(readings.written(last, text.len()..text.len()), end..end);
            if text == "x@y" {
                let at = 1..end - 1;
                assert_eq!(readings.written(last, 1..2), at, "{written}");
                // Wherever it begins or ends in a reading, an escape is taken as a whole.
                for (level, reading) in readings.iter() {
                    let inside = reading.len() - 2;
                    assert_eq!(readings.written(level, inside..inside + 1), at);
                    assert_eq!(readings.written(level, inside..inside).start, at.start);
                }
            }
        }
    }
}

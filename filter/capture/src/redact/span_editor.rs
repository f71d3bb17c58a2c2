//! Replaces spans of bytes and leaves the others unchanged. Nothing is copied until something is
//! replaced.

use std::ops::Range;

#[derive(Debug)]
pub(super) struct SpanEditor<'b> {
    input: &'b [u8],
    output: Vec<u8>,
    /// How much of the input the output covers.
    done: usize,
    max_bytes: usize,
    is_full: bool,
}

impl<'b> SpanEditor<'b> {
    /// `max_bytes` limits the output.
    pub(super) const fn new(input: &'b [u8], max_bytes: usize) -> Self {
        Self {
            input,
            output: Vec::new(),
            done: 0,
            max_bytes,
            is_full: false,
        }
    }

    pub(super) const fn input(&self) -> &'b [u8] {
        self.input
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &'b [u8] {
        self.input.get(range).unwrap_or_default()
    }

    /// How much of the input is done.
    pub(super) const fn done(&self) -> usize {
        self.done
    }

    /// Whether the output has reached its limit: what follows is lost.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Spans must be in order and must not overlap.
    pub(super) fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        if self.done == 0 && self.output.is_empty() {
            self.output
                .reserve(self.max_bytes.min(self.input.len() + with.len()));
        }
        self.push(self.slice(self.done..range.start));
        self.push(with);
        self.done = range.end;
    }

    /// None if nothing was replaced.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        if self.done == 0 && self.output.is_empty() {
            return None;
        }
        self.push(self.slice(self.done..self.input.len()));
        Some(self.output)
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.max_bytes.saturating_sub(self.output.len());
        self.is_full |= bytes.len() > room;
        if !self.is_full {
            self.output.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn changes_only_replaced_spans() {
        let mut edit = SpanEditor::new(b"one two three", 100);
        edit.replace(4..7, b"2");
        edit.replace(8..8, b"(");
        edit.replace(12..13, b"");
        assert_eq!(edit.finish().unwrap(), b"one 2 (thre");
        assert_eq!(SpanEditor::new(b"same", 100).finish(), None);
    }

    #[test]
    fn output_ends_at_limit_after_whole_replacement() {
        let mut edit = SpanEditor::new(b"abc", 6);
        edit.replace(0..1, b"long");
        assert!(!edit.is_full());
        edit.replace(1..2, b"long");
        assert!(edit.is_full());
        assert_eq!(edit.finish().unwrap(), b"long");
    }
}

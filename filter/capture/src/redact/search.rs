//! Searches bytes for what the rules describe, and replaces it.

use std::ops::Range;
use std::rc::Rc;

use super::counts::RedactionCounts;
use super::escaping::{EscapeLayers, Escaping};
use super::hash::HashKey;
use super::pattern::find_uncertain_tail;
use super::rules::{Redaction, Replacement};
use super::span_editor::SpanEditor;

/// Replaces values if hashes are configured without a key.
const WITHOUT_KEY: &str = "[REDACTED]";

/// The state of one search.
#[derive(Debug)]
pub(super) struct Search<'r, 'b> {
    pub(super) redaction: &'r Redaction,
    key: Option<&'r HashKey>,
    counts: &'r mut RedactionCounts,
    pub(super) edit: SpanEditor<'b>,
    /// The bytes are only the beginning of what was sent.
    pub(super) truncated: bool,
    /// Something was removed without a replacement.
    pub(super) removed_bytes: bool,
    found: Vec<Match>,
}

/// A match, with the index of its pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Match {
    range: Range<usize>,
    pattern: usize,
}

impl<'r, 'b> Search<'r, 'b> {
    pub(super) const fn new(
        redaction: &'r Redaction,
        key: Option<&'r HashKey>,
        counts: &'r mut RedactionCounts,
        edit: SpanEditor<'b>,
    ) -> Self {
        Self {
            redaction,
            key,
            counts,
            edit,
            truncated: false,
            removed_bytes: false,
            found: Vec::new(),
        }
    }

    /// Whether the text at the end of this range may continue after the end of the bytes.
    pub(super) const fn may_continue(&self, end: usize) -> bool {
        self.truncated && end == self.edit.input().len()
    }

    /// Replaces matches of the patterns, and removes what may be the beginning of a match.
    pub(super) fn redact_text(&mut self, range: Range<usize>, escaping: Escaping) {
        if self.redaction.patterns.is_empty() || range.is_empty() {
            return;
        }
        let written = self.edit.slice(range.clone());
        self.find_matches(written, escaping);
        let tail = if self.may_continue(range.end) {
            range.start + self.find_tail(written, escaping)
        } else {
            range.end
        };
        let mut done = range.start;
        for found in std::mem::take(&mut self.found) {
            let start = range.start + found.range.start;
            let end = range.start + found.range.end;
            if start >= tail {
                break;
            }
            let value = EscapeLayers::new(escaping, self.edit.slice(start..end));
            let with = self.replacement(value.last());
            self.edit.replace(start..end, with.as_bytes());
            self.count_pattern(found.pattern);
            done = end;
        }
        if tail < range.end {
            self.remove(tail.max(done)..range.end);
        }
    }

    /// The index of the first pattern that matches in plain text.
    pub(super) fn first_plain_match(&mut self, written: &[u8]) -> Option<usize> {
        self.find_matches(written, Escaping::Plain);
        let first = self.found.first().map(|found| found.pattern);
        self.found.clear();
        first
    }

    /// Matches of the patterns in plain text, ordered and without overlaps.
    pub(super) fn plain_matches(&mut self, written: &[u8]) -> Vec<(Range<usize>, usize)> {
        self.find_matches(written, Escaping::Plain);
        let apart = |found: Match| (found.range, found.pattern);
        self.found.drain(..).map(apart).collect()
    }

    /// Replaces a value as a whole.
    pub(super) fn replace_value(&mut self, range: Range<usize>, value: &[u8], rule: &Rc<str>) {
        let with = self.replacement(value);
        self.edit.replace(range, with.as_bytes());
        self.counts.add(rule);
    }

    /// Replaces a JSON value as a whole, by a string.
    pub(super) fn replace_json_value(&mut self, range: Range<usize>, value: &[u8], rule: &Rc<str>) {
        let with = format!("\"{}\"", self.replacement(value));
        self.edit.replace(range, with.as_bytes());
        self.counts.add(rule);
    }

    /// Removes bytes without a replacement.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.edit.replace(range, b"");
            self.removed_bytes = true;
        }
    }

    pub(super) fn count_pattern(&mut self, number: usize) {
        if let Some(pattern) = self.redaction.patterns.get(number) {
            self.counts.add(&pattern.name);
        }
    }

    fn replacement(&self, value: &[u8]) -> String {
        match (&self.redaction.replacement, self.key) {
            (Replacement::Text(text), _) => text.as_ref().to_owned(),
            (Replacement::Hash, Some(key)) => key.replacement(value),
            (Replacement::Hash, None) => WITHOUT_KEY.to_owned(),
        }
    }

    /// Finds the matches in all layers, sorted and merged.
    fn find_matches(&mut self, written: &[u8], escaping: Escaping) {
        self.found.clear();
        self.find_in_layers(written, escaping);
        if escaping == Escaping::Form && written.contains(&b'+') {
            // A plus may also be a plus, as in +49 170 or in a+b@example.com.
            self.find_in_layers(written, Escaping::Percent);
        }
        merge_overlapping(&mut self.found);
    }

    fn find_in_layers(&mut self, written: &[u8], escaping: Escaping) {
        let found = &mut self.found;
        let layers = EscapeLayers::new(escaping, written);
        for (level, text) in layers.iter() {
            for (pattern, shape) in self.redaction.patterns.iter().enumerate() {
                shape.find(text, &mut |range| {
                    let range = layers.map_to_written(level, extend_to_characters(text, range));
                    found.push(Match { range, pattern });
                });
            }
        }
    }

    /// The beginning of the tail that is uncertain in any layer.
    fn find_tail(&self, written: &[u8], escaping: Escaping) -> usize {
        let written = escaping.strip_incomplete_escape(written);
        let layers = EscapeLayers::new(escaping, written);
        let mut start = written.len();
        for (level, text) in layers.iter() {
            for cut in [Escaping::Plain, Escaping::Json, Escaping::Percent] {
                let patterns = self.redaction.patterns.iter();
                let tail = find_uncertain_tail(patterns, cut.strip_incomplete_escape(text));
                start = start.min(layers.map_to_written(level, tail..tail).start);
            }
        }
        start
    }
}

/// Merges overlapping matches under the first one's pattern.
fn merge_overlapping(found: &mut Vec<Match>) {
    found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    found.dedup_by(|next, previous| {
        let overlap = next.range.start < previous.range.end;
        if overlap {
            previous.range.end = previous.range.end.max(next.range.end);
        }
        overlap
    });
}

/// Extends the range so that it splits no character, if the text is UTF-8.
fn extend_to_characters(text: &[u8], range: Range<usize>) -> Range<usize> {
    const MAX_CONTINUATION_BYTES: usize = 3;
    let inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let mut start = range.start;
    let mut end = range.end;
    while inside(start) && start > range.start.saturating_sub(MAX_CONTINUATION_BYTES) {
        start -= 1;
    }
    while inside(end) && end < range.end + MAX_CONTINUATION_BYTES {
        end += 1;
    }
    start..end
}

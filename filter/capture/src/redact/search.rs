//! One search through some bytes: what it looks for, what it has replaced, what it counted.

use std::ops::Range;
use std::rc::Rc;

use super::coding::{Coding, Readings};
use super::counts::RedactionCounts;
use super::edit::SpanEditor;
use super::hash::HashKey;
use super::pattern::tail;
use super::rules::{Redaction, Replacement};

/// What stands for a value if hashes are wanted and there is no key.
const WITHOUT_KEY: &str = "[REDACTED]";

/// A search under way.
#[derive(Debug)]
pub(super) struct Search<'r, 'b> {
    pub(super) redaction: &'r Redaction,
    key: Option<&'r HashKey>,
    counts: &'r mut RedactionCounts,
    pub(super) edit: SpanEditor<'b>,
    /// The bytes are only the beginning of what was sent.
    pub(super) open_end: bool,
    /// Something was left out without a replacement.
    pub(super) cut: bool,
    found: Vec<Found>,
}

/// A match, by the number of its pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
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
            open_end: false,
            cut: false,
            found: Vec::new(),
        }
    }

    /// Whether what is at the end of this range may go on behind the end of the bytes.
    pub(super) const fn may_go_on(&self, end: usize) -> bool {
        self.open_end && end == self.edit.input().len()
    }

    /// Searches text by the patterns, and leaves out what may be the beginning of a match.
    pub(super) fn text(&mut self, range: Range<usize>, coding: Coding) {
        if self.redaction.patterns.is_empty() || range.is_empty() {
            return;
        }
        let written = self.edit.slice(range.clone());
        self.find(written, coding);
        let tail = if self.may_go_on(range.end) {
            range.start + self.tail(written, coding)
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
            let value = Readings::new(coding, self.edit.slice(start..end));
            let with = self.replacement(value.last());
            self.edit.replace(start..end, with.as_bytes());
            self.count_pattern(found.pattern);
            done = end;
        }
        if tail < range.end {
            self.leave_out(tail.max(done)..range.end);
        }
    }

    /// The first pattern that matches somewhere in plain text.
    pub(super) fn first_match(&mut self, written: &[u8]) -> Option<usize> {
        self.find(written, Coding::Plain);
        let first = self.found.first().map(|found| found.pattern);
        self.found.clear();
        first
    }

    /// Where the patterns match in plain text, in order and apart from each other.
    pub(super) fn matches(&mut self, written: &[u8]) -> Vec<(Range<usize>, usize)> {
        self.find(written, Coding::Plain);
        let apart = |found: Found| (found.range, found.pattern);
        self.found.drain(..).map(apart).collect()
    }

    /// Replaces a value as a whole.
    pub(super) fn value(&mut self, range: Range<usize>, value: &[u8], rule: &Rc<str>) {
        let with = self.replacement(value);
        self.edit.replace(range, with.as_bytes());
        self.counts.add(rule);
    }

    /// Replaces a value of a JSON document as a whole: by a string.
    pub(super) fn json_value(&mut self, range: Range<usize>, value: &[u8], rule: &Rc<str>) {
        let with = format!("\"{}\"", self.replacement(value));
        self.edit.replace(range, with.as_bytes());
        self.counts.add(rule);
    }

    /// Leaves something out for good.
    pub(super) fn leave_out(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.edit.replace(range, b"");
            self.cut = true;
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

    /// Finds all matches in all readings, sorts them and joins those that overlap.
    fn find(&mut self, written: &[u8], coding: Coding) {
        self.found.clear();
        self.find_read(written, coding);
        if coding == Coding::Form && written.contains(&b'+') {
            // A plus may also have been meant as one, as in +49 170 or in a+b@example.com.
            self.find_read(written, Coding::Percent);
        }
        join(&mut self.found);
    }

    fn find_read(&mut self, written: &[u8], coding: Coding) {
        let found = &mut self.found;
        let readings = Readings::new(coding, written);
        for (level, text) in readings.iter() {
            for (pattern, shape) in self.redaction.patterns.iter().enumerate() {
                shape.find(text, &mut |range| {
                    let range = readings.written(level, whole_characters(text, range));
                    found.push(Found { range, pattern });
                });
            }
        }
    }

    /// Where the end begins that is doubtful in any reading.
    fn tail(&self, written: &[u8], coding: Coding) -> usize {
        let written = coding.without_cut_escape(written);
        let readings = Readings::new(coding, written);
        let mut start = written.len();
        for (level, text) in readings.iter() {
            for cut in [Coding::Plain, Coding::Json, Coding::Percent] {
                let patterns = self.redaction.patterns.iter();
                let tail = tail(patterns, cut.without_cut_escape(text));
                start = start.min(readings.written(level, tail..tail).start);
            }
        }
        start
    }
}

/// Joins matches that overlap: the first gives its name to all of it.
fn join(found: &mut Vec<Found>) {
    found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    found.dedup_by(|next, kept| {
        let overlap = next.range.start < kept.range.end;
        if overlap {
            kept.range.end = kept.range.end.max(next.range.end);
        }
        overlap
    });
}

/// The range grown so that it splits no character, if the text is UTF-8.
fn whole_characters(text: &[u8], range: Range<usize>) -> Range<usize> {
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

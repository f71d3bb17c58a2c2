//! Redacts server-sent events: each `data:` line that is JSON is treated as JSON.

use std::ops::Range;
use std::rc::Rc;

use dossier_content::sse;

use super::coding::Coding;
use super::search::Search;
use crate::json::{BYTE_ORDER_MARK, End, Scanner};

/// How streams of language models say that they are at an end. It only looks like JSON.
const DONE: &[u8] = b"[DONE]";

/// A line of an event without its end, and the data in it.
#[derive(Debug)]
struct Line {
    whole: Range<usize>,
    data: Option<Range<usize>>,
}

impl Search<'_, '_> {
    /// Redacts a stream of events.
    pub(super) fn events(&mut self) {
        let input = self.edit.input();
        let mut at = if input.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        let mut event = Vec::new();
        while at < input.len() && !self.edit.is_full() {
            let rest = self.edit.slice(at..input.len());
            let end = sse::line_end(rest).unwrap_or(rest.len()..rest.len());
            let line = at..at + end.start;
            at += end.end;
            if line.is_empty() {
                self.event(&std::mem::take(&mut event));
            } else {
                let data = self.data(line.clone());
                event.push(Line { whole: line, data });
            }
        }
        self.event(&event);
    }

    fn data(&self, line: Range<usize>) -> Option<Range<usize>> {
        let text = self.edit.slice(line.clone());
        let (name, value) = sse::field(text);
        (text.get(..name)? == b"data" && name < text.len()).then_some(line.start + value..line.end)
    }

    fn event(&mut self, lines: &[Line]) {
        let data = || lines.iter().filter_map(|line| line.data.clone());
        let spread = data().any(|data| self.is_spread(data));
        if spread
            && !self.redaction.paths.is_empty()
            && let (Some(first), Some(last)) = (data().next(), data().next_back())
        {
            return self.unreadable_event(lines, first.start..last.end);
        }
        for line in lines {
            match &line.data {
                Some(data) if spread => self.text(data.clone(), Coding::Json),
                Some(data) if self.is_event_json(data.clone()) => self.json(data.clone()),
                _ => self.text(line.whole.clone(), Coding::Plain),
            }
        }
    }

    fn is_event_json(&self, data: Range<usize>) -> bool {
        self.edit.slice(data.clone()).trim_ascii() != DONE && self.is_json(data)
    }

    /// Whether a document begins in this line and goes on in the next.
    fn is_spread(&self, data: Range<usize>) -> bool {
        if data.end == self.edit.input().len() || !self.is_event_json(data.clone()) {
            return false;
        }
        let mut scanner = Scanner::new(self.edit.slice(data));
        while scanner.next_token().is_some() {}
        scanner.end() == Some(End::Cut)
    }

    /// Paths cannot be followed through a document in pieces, so its data go as a whole.
    fn unreadable_event(&mut self, lines: &[Line], data: Range<usize>) {
        for line in lines.iter().filter(|line| line.whole.end < data.start) {
            self.text(line.whole.clone(), Coding::Plain);
        }
        let value = self.edit.slice(data.clone());
        self.value(data.clone(), value, &Rc::from("unreadable"));
        for line in lines.iter().filter(|line| line.whole.start >= data.end) {
            self.text(line.whole.clone(), Coding::Plain);
        }
    }
}

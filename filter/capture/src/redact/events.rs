//! Redacts server-sent events: JSON in `data:` lines is redacted as JSON.

use std::ops::Range;
use std::rc::Rc;

use dossier_content::sse;

use super::escaping::Escaping;
use super::search::Search;
use crate::json::{BYTE_ORDER_MARK, ScanEnd, Scanner};

/// The end marker in streams of language models, which only looks like JSON.
const DONE: &[u8] = b"[DONE]";

/// A line of an event without its line end, and its data.
#[derive(Debug)]
struct Line {
    whole: Range<usize>,
    data: Option<Range<usize>>,
}

impl Search<'_, '_> {
    pub(super) fn redact_events(&mut self) {
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
                self.redact_event(&std::mem::take(&mut event));
            } else {
                let data = self.find_data(line.clone());
                event.push(Line { whole: line, data });
            }
        }
        self.redact_event(&event);
    }

    fn find_data(&self, line: Range<usize>) -> Option<Range<usize>> {
        let text = self.edit.slice(line.clone());
        let (name, value) = sse::field(text);
        (text.get(..name)? == b"data" && name < text.len()).then_some(line.start + value..line.end)
    }

    fn redact_event(&mut self, lines: &[Line]) {
        let data = || lines.iter().filter_map(|line| line.data.clone());
        let spread = data().any(|data| self.continues_in_next_line(data));
        if spread
            && !self.redaction.paths.is_empty()
            && let (Some(first), Some(last)) = (data().next(), data().next_back())
        {
            return self.replace_event_data(lines, first.start..last.end);
        }
        for line in lines {
            match &line.data {
                Some(data) if spread => self.redact_text(data.clone(), Escaping::Json),
                Some(data) if self.is_event_json(data.clone()) => self.redact_json(data.clone()),
                _ => self.redact_text(line.whole.clone(), Escaping::Plain),
            }
        }
    }

    fn is_event_json(&self, data: Range<usize>) -> bool {
        self.edit.slice(data.clone()).trim_ascii() != DONE && self.is_json(data)
    }

    /// Whether a document begins in this line and continues in the next.
    fn continues_in_next_line(&self, data: Range<usize>) -> bool {
        if data.end == self.edit.input().len() || !self.is_event_json(data.clone()) {
            return false;
        }
        let mut scanner = Scanner::new(self.edit.slice(data));
        while scanner.next_token().is_some() {}
        scanner.end() == Some(ScanEnd::Cut)
    }

    /// Paths cannot be followed through a document in pieces, so its data is replaced as a whole.
    fn replace_event_data(&mut self, lines: &[Line], data: Range<usize>) {
        for line in lines.iter().filter(|line| line.whole.end < data.start) {
            self.redact_text(line.whole.clone(), Escaping::Plain);
        }
        let value = self.edit.slice(data.clone());
        self.replace_value(data.clone(), value, &Rc::from("unreadable"));
        for line in lines.iter().filter(|line| line.whole.start >= data.end) {
            self.redact_text(line.whole.clone(), Escaping::Plain);
        }
    }
}

//! Redacts JSON: values at configured paths as a whole, and patterns in all other strings, keys and
//! numbers.

use std::ops::Range;

use memchr::memchr;

use super::coding::Coding;
use super::search::Search;
use crate::json::{BYTE_ORDER_MARK, End, Kind, Scanner, Token, Walk};

/// Begins each document of a JSON text sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

impl Search<'_, '_> {
    /// Redacts the documents in a range.
    pub(super) fn json(&mut self, range: Range<usize>) {
        if let Some(at) = self.documents(range.clone()) {
            self.not_json(at..range.end);
        }
    }

    /// Redacts documents of which each stands on a line. One that is broken spoils its line only.
    pub(super) fn json_lines(&mut self, range: Range<usize>) {
        let mut start = range.start;
        while let Some(at) = self.documents(start..range.end) {
            let rest = self.edit.slice(at..range.end);
            if rest.first() == Some(&RECORD_SEPARATOR) {
                start = at + 1;
                continue;
            }
            start = at + memchr(b'\n', rest).unwrap_or(rest.len());
            self.not_json(at..start);
        }
    }

    /// Redacts the documents in a range, up to where it stops being JSON.
    fn documents(&mut self, range: Range<usize>) -> Option<usize> {
        let redaction = self.redaction;
        let bytes = self.edit.slice(range.clone());
        let mut walk = Walk::new(bytes, &redaction.paths.paths);
        while let Some(token) = walk.next_token() {
            self.json_token(range.start, bytes, token, &mut walk);
            if self.edit.is_full() {
                return None;
            }
        }
        match walk.end() {
            Some(End::Malformed(at) | End::TooDeep(at)) => Some(range.start + at),
            _ => None,
        }
    }

    /// Whether bytes that were not called JSON are: they begin like it and have a key before they
    /// stop being it, or do not stop.
    pub(super) fn is_json(&self, range: Range<usize>) -> bool {
        let bytes = self.edit.slice(range);
        let begun = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        if !matches!(begun.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return false;
        }
        let mut scanner = Scanner::new(bytes);
        while let Some(token) = scanner.next_token() {
            if token.kind == Kind::Key {
                return true;
            }
        }
        matches!(scanner.end(), Some(End::Whole | End::Cut))
    }

    /// Whether bytes are JSON from their beginning to their end, or to where they are cut off.
    pub(super) fn is_whole_json(&self, range: Range<usize>) -> bool {
        let bytes = self.edit.slice(range.clone());
        let mut scanner = Scanner::new(bytes);
        while scanner.next_token().is_some() {}
        self.is_json(range) && matches!(scanner.end(), Some(End::Whole | End::Cut))
    }

    fn json_token(&mut self, base: usize, bytes: &[u8], token: Token, walk: &mut Walk<'_, '_>) {
        let content = token.content();
        let content = base + content.start..base + content.end;
        let path = walk.hits().first().copied();
        match (token.kind, path) {
            (Kind::Key, _) | (Kind::Text, None) => self.text(content, Coding::Json),
            (Kind::Number, None) => self.number(content),
            (Kind::Close, _) | (Kind::OpenObject | Kind::OpenArray | Kind::Word, None) => {}
            (Kind::OpenObject | Kind::OpenArray, Some(path)) => {
                let end = walk.skip_container();
                let value = bytes.get(token.start..end).unwrap_or_default();
                self.at_path(base + token.start..base + end, value, path);
            }
            (Kind::Text, Some(path)) => {
                let value = Coding::Json.decode(self.edit.slice(content));
                self.at_path(base + token.start..base + token.end, &value, path);
            }
            (Kind::Number | Kind::Word, Some(path)) => {
                let value = self.edit.slice(content.clone());
                self.at_path(content, value, path);
            }
        }
    }

    fn at_path(&mut self, range: Range<usize>, value: &[u8], path: usize) {
        if let Some(rule) = self.redaction.paths.rules.get(path) {
            self.json_value(range, value, rule);
        }
    }

    /// A number in which a pattern matches becomes a string, so that the document stays valid.
    fn number(&mut self, range: Range<usize>) {
        if self.redaction.patterns.is_empty() {
            return;
        }
        let number = self.edit.slice(range.clone());
        if let Some(pattern) = self.first_match(number) {
            if let Some(pattern) = self.redaction.patterns.get(pattern) {
                self.json_value(range, number, &pattern.name);
            }
        } else if self.may_go_on(range.end) {
            self.leave_out(range);
        }
    }

    /// Paths say nothing about what is not JSON: if there are any, it is left out.
    fn not_json(&mut self, rest: Range<usize>) {
        if self.redaction.paths.is_empty() {
            self.text(rest, Coding::Json);
        } else {
            self.leave_out(rest);
        }
    }
}

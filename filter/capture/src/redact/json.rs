//! Redacts JSON: values at configured paths as a whole, and patterns in all other strings, keys and
//! numbers.

use std::ops::Range;

use memchr::memchr;

use super::escaping::Escaping;
use super::search::Search;
use crate::json::{BYTE_ORDER_MARK, ScanEnd, Scanner, Token, TokenKind, Walk};

/// Begins each document of a JSON text sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

impl Search<'_, '_> {
    pub(super) fn redact_json(&mut self, range: Range<usize>) {
        if let Some(at) = self.redact_documents(range.clone()) {
            self.redact_malformed(at..range.end);
        }
    }

    /// Redacts documents on lines of their own. A malformed document affects only its line.
    pub(super) fn redact_json_lines(&mut self, range: Range<usize>) {
        let mut start = range.start;
        while let Some(at) = self.redact_documents(start..range.end) {
            let rest = self.edit.slice(at..range.end);
            if rest.first() == Some(&RECORD_SEPARATOR) {
                start = at + 1;
                continue;
            }
            start = at + memchr(b'\n', rest).unwrap_or(rest.len());
            self.redact_malformed(at..start);
        }
    }

    /// Returns the offset of the first byte that is not JSON.
    fn redact_documents(&mut self, range: Range<usize>) -> Option<usize> {
        let redaction = self.redaction;
        let bytes = self.edit.slice(range.clone());
        let mut walk = Walk::new(bytes, &redaction.paths.paths);
        while let Some(token) = walk.next_token() {
            self.redact_token(range.start, bytes, token, &mut walk);
            if self.edit.is_full() {
                return None;
            }
        }
        match walk.end() {
            Some(ScanEnd::Malformed(at) | ScanEnd::TooDeep(at)) => Some(range.start + at),
            _ => None,
        }
    }

    /// Whether bytes of another type look like JSON: they begin like it and have a key before they
    /// become invalid, or are valid.
    pub(super) fn is_json(&self, range: Range<usize>) -> bool {
        let bytes = self.edit.slice(range);
        let begun = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        if !matches!(begun.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return false;
        }
        let mut scanner = Scanner::new(bytes);
        while let Some(token) = scanner.next_token() {
            if token.kind == TokenKind::Key {
                return true;
            }
        }
        matches!(scanner.end(), Some(ScanEnd::Whole | ScanEnd::Cut))
    }

    /// Whether the bytes are JSON up to their end, or to where they are truncated.
    pub(super) fn is_whole_json(&self, range: Range<usize>) -> bool {
        let bytes = self.edit.slice(range.clone());
        let mut scanner = Scanner::new(bytes);
        while scanner.next_token().is_some() {}
        self.is_json(range) && matches!(scanner.end(), Some(ScanEnd::Whole | ScanEnd::Cut))
    }

    fn redact_token(&mut self, base: usize, bytes: &[u8], token: Token, walk: &mut Walk<'_, '_>) {
        let content = token.content();
        let content = base + content.start..base + content.end;
        let path = walk.hits().first().copied();
        match (token.kind, path) {
            (TokenKind::Key, _) | (TokenKind::Text, None) => {
                self.redact_text(content, Escaping::Json);
            }
            (TokenKind::Number, None) => self.redact_number(content),
            (TokenKind::Close, _)
            | (TokenKind::OpenObject | TokenKind::OpenArray | TokenKind::Word, None) => {}
            (TokenKind::OpenObject | TokenKind::OpenArray, Some(path)) => {
                let end = walk.skip_container();
                let value = bytes.get(token.start..end).unwrap_or_default();
                self.replace_at_path(base + token.start..base + end, value, path);
            }
            (TokenKind::Text, Some(path)) => {
                let value = Escaping::Json.decode(self.edit.slice(content));
                self.replace_at_path(base + token.start..base + token.end, &value, path);
            }
            (TokenKind::Number | TokenKind::Word, Some(path)) => {
                let value = self.edit.slice(content.clone());
                self.replace_at_path(content, value, path);
            }
        }
    }

    fn replace_at_path(&mut self, range: Range<usize>, value: &[u8], path: usize) {
        if let Some(rule) = self.redaction.paths.rules.get(path) {
            self.replace_json_value(range, value, rule);
        }
    }

    /// A number with a match becomes a string, so that the document stays valid.
    fn redact_number(&mut self, range: Range<usize>) {
        if self.redaction.patterns.is_empty() {
            return;
        }
        let number = self.edit.slice(range.clone());
        if let Some(pattern) = self.first_plain_match(number) {
            if let Some(pattern) = self.redaction.patterns.get(pattern) {
                self.replace_json_value(range, number, &pattern.name);
            }
        } else if self.may_continue(range.end) {
            self.remove(range);
        }
    }

    /// Paths cannot be followed in malformed JSON: if there are any, the rest is removed.
    fn redact_malformed(&mut self, rest: Range<usize>) {
        if self.redaction.paths.is_empty() {
            self.redact_text(rest, Escaping::Json);
        } else {
            self.remove(rest);
        }
    }
}

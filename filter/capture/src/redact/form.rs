//! Redacts names and values: queries, forms, and the parts of multipart forms.

use std::ops::Range;
use std::rc::Rc;

use memchr::{memchr, memchr_iter, memmem};

use super::escaping::Escaping;
use super::search::Search;

impl<'r> Search<'r, '_> {
    /// Redacts `name=value&name=value`. The value of a configured name is replaced as a whole.
    pub(super) fn redact_pairs(&mut self) {
        let mut start = 0;
        let length = self.edit.input().len();
        while start < length && !self.edit.is_full() {
            let rest = self.edit.slice(start..length);
            let end = start + memchr(b'&', rest).unwrap_or(rest.len());
            self.redact_pair(start..end);
            start = end + 1;
        }
    }

    fn redact_pair(&mut self, pair: Range<usize>) {
        let Some((name, rule)) = self.find_named(pair.clone()) else {
            return self.redact_unnamed(pair);
        };
        let value = name.end + 1..pair.end;
        self.redact_unnamed(pair.start..name.start);
        self.redact_text(name, Escaping::Form);
        if !value.is_empty() {
            let plain = Escaping::Form.decode(self.edit.slice(value.clone()));
            self.replace_value(value, &plain, rule);
        }
    }

    /// Finds the first configured name in a pair. Some readers treat a semicolon as an ampersand,
    /// others as a part of the value: so the text before it may be a pair, and everything after the
    /// name is the value.
    fn find_named(&self, pair: Range<usize>) -> Option<(Range<usize>, &'r Rc<str>)> {
        let redaction = self.redaction;
        if redaction.query.is_empty() {
            return None;
        }
        let mut start = pair.start;
        for written in self.edit.slice(pair).split(|byte| *byte == b';') {
            if let Some(equals) = memchr(b'=', written) {
                let name = start..start + equals;
                let decoded = Escaping::Form.decode(self.edit.slice(name.clone()));
                if let Some(rule) = redaction.query.rule(&decoded) {
                    return Some((name, rule));
                }
            }
            start += written.len() + 1;
        }
        None
    }

    fn redact_unnamed(&mut self, pair: Range<usize>) {
        let written = self.edit.slice(pair.clone());
        match memchr(b'=', written) {
            None => self.redact_text(pair, Escaping::Form),
            Some(equals) => {
                let equals = pair.start + equals;
                self.redact_text(pair.start..equals, Escaping::Form);
                self.redact_text(equals + 1..pair.end, Escaping::Form);
            }
        }
    }

    /// Redacts the parts of a multipart body. A part with a configured name is replaced as a whole.
    pub(super) fn redact_parts(&mut self, boundary: &str) {
        let input = self.edit.input();
        let delimiter = Delimiter::new(boundary);
        let mut start = 0;
        while start < input.len() && !self.edit.is_full() {
            let next = delimiter.find(input, start);
            let next = next.unwrap_or(input.len()..input.len());
            self.redact_part(start..next.start);
            start = next.end;
        }
    }

    /// The bytes between two delimiters: headers, a blank line, content, a line end.
    fn redact_part(&mut self, part: Range<usize>) {
        let bytes = self.edit.slice(part.clone());
        let Some((head, separator)) = find_blank_line(bytes) else {
            return self.redact_text(part, Escaping::Plain);
        };
        let begin = part.start + head + separator;
        let content = bytes.get(head + separator..).unwrap_or_default();
        let end = if part.end == self.edit.input().len() {
            part.end
        } else {
            begin + strip_line_end(content).len()
        };
        let names = parse_part_names(bytes.get(..head).unwrap_or_default());
        let query = &self.redaction.query;
        self.redact_text(part.start..part.start + head, Escaping::Plain);
        match names.iter().find_map(|name| query.rule(name)) {
            Some(rule) if end > begin => {
                let value = self.edit.slice(begin..end);
                self.replace_value(begin..end, value, rule);
            }
            _ => self.redact_unknown(begin..end),
        }
    }

    /// Redacts bytes without a known type: as JSON if they look like it, otherwise as text.
    pub(super) fn redact_unknown(&mut self, range: Range<usize>) {
        if self.is_json(range.clone()) {
            self.redact_json(range);
        } else {
            self.redact_text(range, Escaping::Plain);
        }
    }
}

/// The line between the parts of a multipart body.
pub(super) struct Delimiter(memmem::Finder<'static>);

impl Delimiter {
    pub(super) fn new(boundary: &str) -> Self {
        let delimiter = format!("--{boundary}");
        Self(memmem::Finder::new(&delimiter).into_owned())
    }

    /// The first delimiter at or after an offset.
    pub(super) fn find(&self, body: &[u8], from: usize) -> Option<Range<usize>> {
        let rest = body.get(from..)?;
        let line = |at: &usize| *at == 0 || body.get(at - 1) == Some(&b'\n');
        let at = self.0.find_iter(rest).map(|at| from + at).find(line)?;
        Some(at..at + self.0.needle().len())
    }
}

/// Offset of the blank line after the headers, and its length including the line end before it.
fn find_blank_line(part: &[u8]) -> Option<(usize, usize)> {
    let long = memmem::find(part, b"\r\n\r\n").map(|at| (at, 4));
    let short = memmem::find(part, b"\n\n").map(|at| (at, 2));
    match (long, short) {
        (Some(long), Some(short)) => Some(long.min(short)),
        (long, short) => long.or(short),
    }
}

fn strip_line_end(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

/// The `name` of `content-disposition: form-data; name="…"`. There may be several, as in `filename=";
/// name=a"; name="b"`, because readers disagree where quotes end.
fn parse_part_names(headers: &[u8]) -> Vec<Vec<u8>> {
    const DISPOSITION: &[u8] = b"content-disposition:";
    let mut names = Vec::new();
    for line in headers.split(|byte| *byte == b'\n') {
        let start = line.get(..DISPOSITION.len());
        if start.is_some_and(|start| start.eq_ignore_ascii_case(DISPOSITION)) {
            let ends = memchr_iter(b';', line).filter_map(|end| line.get(end + 1..));
            names.extend(ends.filter_map(parse_name));
        }
    }
    names
}

/// The value, if the first parameter is a `name`.
fn parse_name(parameters: &[u8]) -> Option<Vec<u8>> {
    let (key, value) = parameters.trim_ascii_start().split_first_chunk::<4>()?;
    let value = value.trim_ascii_start().strip_prefix(b"=")?;
    let is_name = key.eq_ignore_ascii_case(b"name");
    is_name.then(|| parse_parameter_value(value.trim_ascii()))
}

/// A quoted value, in which a backslash escapes a quote, or an unquoted one.
fn parse_parameter_value(value: &[u8]) -> Vec<u8> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        let end = memchr(b';', value).unwrap_or(value.len());
        return value.get(..end).unwrap_or_default().trim_ascii().to_vec();
    };
    let mut text = Vec::new();
    let mut bytes = quoted.iter().copied();
    while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
        text.push(if byte == b'\\' {
            bytes.next().unwrap_or(byte)
        } else {
            byte
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn reads_names_of_content_disposition() {
        for (headers, expected) in [
            ("\r\nContent-Disposition: form-data; name=\"a\"", &["a"][..]),
            (
                "\r\ncontent-disposition:form-data;filename=\"x\"; NAME = b ; c=d",
                &["b"],
            ),
            (
                "\nContent-Type: x\nContent-Disposition: form-data; name=\"a\\\"b;c\"; d",
                &["a\"b;c"],
            ),
            (
                "\ncontent-disposition: form-data; filename=\"C:\\\"; name=\"a\"",
                &["a"],
            ),
            (
                "\ncontent-disposition: form-data; filename=\"; name=x\"; name=\"a\"",
                &["x\"", "a"],
            ),
            ("\r\nContent-Disposition: attachment", &[]),
            ("\r\nContent-Type: text/plain; name=x", &[]),
        ] {
            let found = parse_part_names(headers.as_bytes());
            let found: Vec<_> = found
                .iter()
                .map(|name| String::from_utf8_lossy(name))
                .collect();
            assert_eq!(found, expected, "{headers}");
        }
    }
}

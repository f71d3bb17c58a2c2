//! Redacts pairs of names and values: queries, forms, and the parts of multipart forms.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::coding::Coding;
use super::search::Search;

impl Search<'_, '_> {
    /// Redacts `name=value&name=value`. The value of a configured name goes as a whole.
    pub(super) fn pairs(&mut self) {
        let mut start = 0;
        let length = self.edit.input().len();
        while start < length && !self.edit.is_full() {
            let rest = self.edit.slice(start..length);
            let end = start + memchr(b'&', rest).unwrap_or(rest.len());
            self.pair(start..end);
            start = end + 1;
        }
    }

    fn pair(&mut self, pair: Range<usize>) {
        let written = self.edit.slice(pair.clone());
        let Some(equals) = memchr(b'=', written) else {
            return self.text(pair, Coding::Form);
        };
        let name = pair.start..pair.start + equals;
        let value = name.end + 1..pair.end;
        let decoded = Coding::Form.decode(self.edit.slice(name.clone()));
        let redaction = self.redaction;
        self.text(name, Coding::Form);
        match redaction.query.rule(&decoded) {
            Some(rule) if !value.is_empty() => {
                let plain = Coding::Form.decode(self.edit.slice(value.clone()));
                self.value(value, &plain, rule);
            }
            _ => self.text(value, Coding::Form),
        }
    }

    /// Redacts the parts between boundaries. A part with a configured name goes as a whole.
    pub(super) fn parts(&mut self, boundary: &str) {
        let input = self.edit.input();
        let delimiter = format!("--{boundary}");
        let finder = memmem::Finder::new(&delimiter);
        let mut start = 0;
        while start < input.len() && !self.edit.is_full() {
            let mut end = input.len();
            let mut next = input.len();
            for at in finder.find_iter(self.edit.slice(start..input.len())) {
                let at = start + at;
                // A delimiter stands at the beginning of a line.
                if at == 0 || self.edit.slice(at - 1..at) == b"\n" {
                    end = at;
                    next = at + delimiter.len();
                    break;
                }
            }
            self.part(start..end);
            start = next;
        }
    }

    /// What stands between two delimiters: headers, a blank line, the content, a line end.
    fn part(&mut self, part: Range<usize>) {
        let bytes = self.edit.slice(part.clone());
        let Some((head, gap)) = blank_line(bytes) else {
            return self.text(part, Coding::Plain);
        };
        let begin = part.start + head + gap;
        let content = bytes.get(head + gap..).unwrap_or_default();
        let end = if part.end == self.edit.input().len() {
            part.end
        } else {
            begin + without_line_end(content).len()
        };
        let name = part_name(bytes.get(..head).unwrap_or_default());
        let redaction = self.redaction;
        self.text(part.start..part.start + head, Coding::Plain);
        match name.and_then(|name| redaction.query.rule(&name)) {
            Some(rule) if end > begin => {
                let value = self.edit.slice(begin..end);
                self.value(begin..end, value, rule);
            }
            _ => self.unknown(begin..end),
        }
    }

    /// Redacts bytes that nobody gave a type: JSON if they are, else text.
    pub(super) fn unknown(&mut self, range: Range<usize>) {
        if self.is_json(range.clone()) {
            self.json(range);
        } else {
            self.text(range, Coding::Plain);
        }
    }
}

/// Where the blank line behind the headers begins, and its length with the line end before it.
fn blank_line(part: &[u8]) -> Option<(usize, usize)> {
    let long = memmem::find(part, b"\r\n\r\n").map(|at| (at, 4));
    let short = memmem::find(part, b"\n\n").map(|at| (at, 2));
    match (long, short) {
        (Some(long), Some(short)) => Some(long.min(short)),
        (long, short) => long.or(short),
    }
}

fn without_line_end(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

/// The `name` of `content-disposition: form-data; name="…"`.
fn part_name(headers: &[u8]) -> Option<Vec<u8>> {
    const DISPOSITION: &[u8] = b"content-disposition:";
    let line = headers.split(|byte| *byte == b'\n').find(|line| {
        let start = line.get(..DISPOSITION.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(DISPOSITION))
    })?;
    let mut rest = line.get(DISPOSITION.len()..)?;
    while let Some(semicolon) = memchr(b';', rest) {
        let parameter = rest.get(semicolon + 1..)?.trim_ascii_start();
        rest = parameter;
        let name = parameter
            .get(..4)
            .filter(|key| key.eq_ignore_ascii_case(b"name"));
        let value = parameter.get(4..).map(<[u8]>::trim_ascii_start);
        if let (Some(_), Some([b'=', value @ ..])) = (name, value) {
            return Some(parameter_value(value.trim_ascii()));
        }
    }
    None
}

/// A value in quotes, in which a backslash stands before a quote, or one without.
fn parameter_value(value: &[u8]) -> Vec<u8> {
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
    fn a_part_has_the_name_that_its_disposition_gives() {
        for (headers, name) in [
            ("\r\nContent-Disposition: form-data; name=\"a\"", Some("a")),
            (
                "\r\ncontent-disposition:form-data;filename=\"name=x\"; NAME = b ; c=d",
                Some("b"),
            ),
            (
                "\nContent-Type: x\nContent-Disposition: form-data; name=\"a\\\"b;c\"; d",
                Some("a\"b;c"),
            ),
            ("\r\nContent-Disposition: attachment", None),
            ("\r\nContent-Type: text/plain; name=x", None),
        ] {
            let found = part_name(headers.as_bytes());
            assert_eq!(found.as_deref(), name.map(str::as_bytes), "{headers}");
        }
    }
}

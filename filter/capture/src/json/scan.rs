//! Splits JSON into tokens.
//!
//! Where it costs nothing, the scanner is as lenient as the laxest parser that might read the same
//! bytes (control characters in strings, odd numbers, consecutive documents), so that it misses nothing
//! which another parser would find.

use memchr::memchr2;

/// Of objects and arrays.
pub const MAX_DEPTH: usize = 128;

/// May precede a document in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `{`
    OpenObject,
    /// `[`
    OpenArray,
    /// `}` or `]`
    Close,
    /// A string that is a member's name.
    Key,
    /// A string that is a value.
    Text,
    /// A number.
    Number,
    /// `true`, `false` or `null`.
    Word,
}

/// A span of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Object, string, number…
    pub kind: TokenKind,
    /// Offset of the first byte, which is the quote of a string.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
    /// The token reaches the end of the bytes without being closed, so it may be incomplete. A number
    /// is closed by what follows it.
    pub cut: bool,
}

/// Why there are no more tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// The bytes ended between documents.
    Whole,
    /// The bytes ended inside a document.
    Cut,
    /// The bytes are not JSON from this offset on.
    Malformed(usize),
    /// The value at this offset is nested deeper than [`MAX_DEPTH`].
    TooDeep(usize),
}

/// Reads each byte once.
#[derive(Debug)]
pub struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
    depth: usize,
    /// One bit for each open container, the innermost lowest: set for objects.
    objects: u128,
    next: Next,
    end: Option<ScanEnd>,
}

/// What the grammar allows next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    Colon,
    CommaOrClose,
}

impl Token {
    /// The bytes of a string without its quotes, or of the whole token.
    #[must_use]
    pub const fn content(&self) -> std::ops::Range<usize> {
        match self.kind {
            TokenKind::Key | TokenKind::Text if self.cut => self.start + 1..self.end,
            TokenKind::Key | TokenKind::Text => self.start + 1..self.end - 1,
            _ => self.start..self.end,
        }
    }
}

impl<'b> Scanner<'b> {
    /// Documents may follow each other, as in newline-delimited JSON.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        let at = if bytes.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        Self {
            bytes,
            at,
            depth: 0,
            objects: 0,
            next: Next::Value,
            end: None,
        }
    }

    /// None as long as there are tokens.
    #[must_use]
    pub const fn end(&self) -> Option<ScanEnd> {
        self.end
    }

    /// The number of open containers.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// The offset of the next unread byte.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// None at the [`Self::end`].
    pub fn next_token(&mut self) -> Option<Token> {
        while self.end.is_none() {
            self.skip_space();
            let Some(byte) = self.bytes.get(self.at).copied() else {
                let between = self.depth == 0;
                self.end = Some(if between {
                    ScanEnd::Whole
                } else {
                    ScanEnd::Cut
                });
                return None;
            };
            let object = self.in_object();
            match (self.next, byte) {
                (Next::CommaOrClose, b',') if object => self.advance(Next::Key),
                (Next::Colon, b':') | (Next::CommaOrClose, b',') => self.advance(Next::Value),
                (Next::CommaOrClose | Next::KeyOrClose, b'}') if object => {
                    return Some(self.scan_close());
                }
                (Next::CommaOrClose | Next::ValueOrClose, b']') if !object => {
                    return Some(self.scan_close());
                }
                (Next::Key | Next::KeyOrClose, b'"') => {
                    return Some(self.scan_string(TokenKind::Key));
                }
                (Next::Value | Next::ValueOrClose, _) => return self.scan_value(byte),
                _ => self.end = Some(ScanEnd::Malformed(self.at)),
            }
        }
        None
    }

    fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(space).count();
    }

    fn advance(&mut self, next: Next) {
        self.at += 1;
        self.next = next;
    }

    const fn in_object(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 1
    }

    fn scan_value(&mut self, first: u8) -> Option<Token> {
        match first {
            b'{' => self.scan_open(TokenKind::OpenObject),
            b'[' => self.scan_open(TokenKind::OpenArray),
            b'"' => Some(self.scan_string(TokenKind::Text)),
            b'-' | b'0'..=b'9' => Some(self.scan_number()),
            b't' => self.scan_word(b"true"),
            b'f' => self.scan_word(b"false"),
            b'n' => self.scan_word(b"null"),
            _ => self.end_with(ScanEnd::Malformed(self.at)),
        }
    }

    fn end_with(&mut self, end: ScanEnd) -> Option<Token> {
        self.end = Some(end);
        None
    }

    fn scan_open(&mut self, kind: TokenKind) -> Option<Token> {
        if self.depth == MAX_DEPTH {
            return self.end_with(ScanEnd::TooDeep(self.at));
        }
        let object = kind == TokenKind::OpenObject;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        self.next = if object {
            Next::KeyOrClose
        } else {
            Next::ValueOrClose
        };
        Some(self.take_token(kind, 1, false))
    }

    fn scan_close(&mut self) -> Token {
        self.depth -= 1;
        self.objects >>= 1;
        self.next = self.after_value();
        self.take_token(TokenKind::Close, 1, false)
    }

    const fn after_value(&self) -> Next {
        if self.depth == 0 {
            Next::Value
        } else {
            Next::CommaOrClose
        }
    }

    fn take_token(&mut self, kind: TokenKind, length: usize, cut: bool) -> Token {
        let start = self.at;
        self.at += length;
        Token {
            kind,
            start,
            end: self.at,
            cut,
        }
    }

    fn scan_string(&mut self, kind: TokenKind) -> Token {
        let rest = self.rest();
        let mut length = 1;
        let closed = loop {
            let tail = rest.get(length..).unwrap_or_default();
            match memchr2(b'"', b'\\', tail).map(|at| (at, tail.get(at))) {
                Some((at, Some(b'"'))) => {
                    length += at + 1;
                    break true;
                }
                Some((at, _)) => length += at + 2,
                None => break false,
            }
        };
        if !closed {
            self.end = Some(ScanEnd::Cut);
            return self.take_token(kind, rest.len(), true);
        }
        self.next = if kind == TokenKind::Key {
            Next::Colon
        } else {
            self.after_value()
        };
        self.take_token(kind, length, false)
    }

    fn scan_number(&mut self) -> Token {
        let part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let rest = self.rest();
        let length = rest.iter().take_while(part).count();
        self.next = self.after_value();
        self.take_token(TokenKind::Number, length, length == rest.len())
    }

    fn scan_word(&mut self, word: &[u8]) -> Option<Token> {
        let rest = self.rest();
        if rest.starts_with(word) {
            self.next = self.after_value();
            return Some(self.take_token(TokenKind::Word, word.len(), false));
        }
        if word.starts_with(rest) {
            self.end = Some(ScanEnd::Cut);
            return Some(self.take_token(TokenKind::Word, rest.len(), true));
        }
        self.end_with(ScanEnd::Malformed(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn tokens(bytes: &[u8]) -> (Vec<(TokenKind, Vec<u8>, bool)>, ScanEnd) {
        let mut scanner = Scanner::new(bytes);
        let mut tokens = Vec::new();
        while let Some(token) = scanner.next_token() {
            tokens.push((token.kind, bytes[token.content()].to_vec(), token.cut));
        }
        (tokens, scanner.end().unwrap())
    }

    fn end(bytes: &[u8]) -> ScanEnd {
        tokens(bytes).1
    }

    #[test]
    fn splits_document_into_tokens() {
        let (found, end) =
            tokens(b" {\"a\\\"\": [1, -2.5e3, true],\n\"b\": null, \"c\": \"\xff\"} ");
        let shown: Vec<_> = found
            .iter()
            .map(|(kind, bytes, cut)| (*kind, &bytes[..], *cut))
            .collect();
        assert_eq!(
            shown,
            [
                (TokenKind::OpenObject, &b"{"[..], false),
                (TokenKind::Key, b"a\\\"", false),
                (TokenKind::OpenArray, b"[", false),
                (TokenKind::Number, b"1", false),
                (TokenKind::Number, b"-2.5e3", false),
                (TokenKind::Word, b"true", false),
                (TokenKind::Close, b"]", false),
                (TokenKind::Key, b"b", false),
                (TokenKind::Word, b"null", false),
                (TokenKind::Key, b"c", false),
                (TokenKind::Text, b"\xff", false),
                (TokenKind::Close, b"}", false),
            ]
        );
        assert_eq!(end, ScanEnd::Whole);
    }

    #[test]
    fn scans_truncated_document_up_to_cut() {
        let whole = br#"{"a": ["x\u00e9", {"b": false}, 12], "c": {}}"#;
        let (all, _) = tokens(whole);
        for cut in 1..whole.len() {
            let (found, end) = tokens(&whole[..cut]);
            assert_eq!(end, ScanEnd::Cut, "at {cut}");
            let sure = found.iter().filter(|token| !token.2).count();
            assert_eq!(found[..sure], all[..sure], "at {cut}");
            assert!(found.len() - sure <= 1, "at {cut}");
        }
    }

    #[test]
    fn scans_consecutive_documents() {
        assert_eq!(tokens(b"\xef\xbb\xbf{}\n[]\n1 \"a\"").0.len(), 6);
        assert_eq!(end(b"{}\n{}"), ScanEnd::Whole);
        assert_eq!(end(b""), ScanEnd::Whole);
        assert_eq!(end(b"12"), ScanEnd::Whole);
    }

    #[test]
    fn reports_offset_of_malformed_json() {
        for (bytes, at) in [
            (&b"hello"[..], 0),
            (b"{a: 1}", 1),
            (b"{'a': 1}", 1),
            (b"{\"a\" 1}", 5),
            (b"{\"a\": 1,}", 8),
            (b"[1 2]", 3),
            (b"[1}", 2),
            (b"{]", 1),
            (b"{\"a\"]", 4),
            (b"[tru]", 1),
            (b"{} ]", 3),
            (b"[,]", 1),
            (b"{\"a\": /* */ 1}", 6),
        ] {
            assert_eq!(end(bytes), ScanEnd::Malformed(at), "{bytes:?}");
        }
    }

    #[test]
    fn enforces_nesting_limit() {
        let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert_eq!(end(&deep(MAX_DEPTH)), ScanEnd::Whole);
        assert_eq!(end(&deep(MAX_DEPTH + 1)), ScanEnd::TooDeep(MAX_DEPTH));
        let objects = [b"{\"a\":".repeat(MAX_DEPTH), b"1".to_vec()].concat();
        assert_eq!(end(&objects), ScanEnd::Cut);
    }
}

//! Follows many paths through a document at once: each open container has the set of steps that may
//! continue inside it, as bits, so that the work does not grow with the number of matches.

use super::path::{JsonPath, Select, Step};
use super::scan::{ScanEnd, Scanner, Token, TokenKind};
use super::text::unescape;

/// Paths compiled to be followed together, numbered in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    paths: Vec<JsonPath>,
    states: Vec<State>,
}

/// A step that may match next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    step: Step,
    /// The number of the path that ends with this step.
    ends: Option<usize>,
}

/// How a container refers to a value in it.
enum Child<'k> {
    Name(&'k [u8]),
    Index(usize),
}

impl Paths {
    /// Numbers the paths in this order.
    #[must_use]
    pub fn new(paths: Vec<JsonPath>) -> Self {
        let mut states = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let steps = path.steps();
            for (index, step) in steps.iter().enumerate() {
                states.push(State {
                    step: step.clone(),
                    ends: (index + 1 == steps.len()).then_some(number),
                });
            }
        }
        Self { paths, states }
    }

    /// The number of paths.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is nothing to follow.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// In the order of their numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[JsonPath] {
        &self.paths
    }

    /// The first steps of all paths.
    fn first_steps(&self) -> StateSet {
        let mut set = StateSet::new(self.states.len());
        let mut first = true;
        for (number, state) in self.states.iter().enumerate() {
            if first {
                set.insert(number);
            }
            first = state.ends.is_some();
        }
        set
    }
}

/// A set of states, as bits.
#[derive(Debug, Clone)]
struct StateSet(Vec<u64>);

impl StateSet {
    fn new(states: usize) -> Self {
        Self(vec![0; states.div_ceil(64)])
    }

    fn insert(&mut self, state: usize) {
        if let Some(word) = self.0.get_mut(state / 64) {
            *word |= 1 << (state % 64);
        }
    }
}

/// The numbers of the set bits.
fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(index, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some(index * 64 + bit)
        })
    })
}

/// Reads tokens and tells which paths end at each value.
#[derive(Debug)]
pub(crate) struct Walk<'b, 'p> {
    bytes: &'b [u8],
    scanner: Scanner<'b>,
    paths: &'p Paths,
    first_steps: StateSet,
    /// For each open container the index of its next value, if it is an array.
    open: Vec<Option<usize>>,
    /// The states of all open containers, one set after the other.
    sets: Vec<u64>,
    /// The states inside the next value.
    inside: StateSet,
    hits: Vec<usize>,
}

impl<'b, 'p> Walk<'b, 'p> {
    pub(crate) fn new(bytes: &'b [u8], paths: &'p Paths) -> Self {
        let first_steps = paths.first_steps();
        Self {
            bytes,
            scanner: Scanner::new(bytes),
            paths,
            inside: first_steps.clone(),
            first_steps,
            open: Vec::new(),
            sets: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// None as long as there are tokens.
    pub(crate) const fn end(&self) -> Option<ScanEnd> {
        self.scanner.end()
    }

    /// The numbers of the paths that lead to the value of the last token.
    pub(crate) fn hits(&self) -> &[usize] {
        &self.hits
    }

    /// None at the [`Self::end`].
    pub(crate) fn next_token(&mut self) -> Option<Token> {
        let token = self.scanner.next_token()?;
        match token.kind {
            TokenKind::Close => self.close_container(),
            TokenKind::Key => {
                if !token.cut {
                    self.enter_member(token);
                }
            }
            TokenKind::OpenObject | TokenKind::OpenArray => {
                self.begin_value();
                self.sets.extend(&self.inside.0);
                self.open
                    .push((token.kind == TokenKind::OpenArray).then_some(0));
            }
            TokenKind::Text | TokenKind::Number | TokenKind::Word => self.begin_value(),
        }
        Some(token)
    }

    /// Skips the container that the last token opened, and returns its end.
    pub(crate) fn skip_container(&mut self) -> usize {
        let depth = self.scanner.depth();
        while let Some(token) = self.scanner.next_token() {
            if self.scanner.depth() < depth {
                self.close_container();
                return token.end;
            }
        }
        self.scanner.position()
    }

    fn close_container(&mut self) {
        self.open.pop();
        let words = self.inside.0.len();
        self.sets.truncate(self.sets.len().saturating_sub(words));
        self.hits.clear();
    }

    fn enter_member(&mut self, key: Token) {
        let content = self.bytes.get(key.content()).unwrap_or_default();
        if content.contains(&b'\\') {
            self.enter_child(&Child::Name(&unescape(content)));
        } else {
            self.enter_child(&Child::Name(content));
        }
    }

    /// Advances the states at the beginning of a value, unless its key has done so.
    fn begin_value(&mut self) {
        match self.open.last_mut() {
            None => {
                self.inside.0.clone_from(&self.first_steps.0);
                self.hits.clear();
            }
            Some(Some(next)) => {
                let index = *next;
                *next += 1;
                self.enter_child(&Child::Index(index));
            }
            Some(None) => {}
        }
    }

    fn enter_child(&mut self, child: &Child<'_>) {
        self.hits.clear();
        self.inside.0.fill(0);
        let words = self.inside.0.len();
        let outer = self.sets.len().saturating_sub(words);
        for number in set_bits(self.sets.get(outer..).unwrap_or_default()) {
            let Some(State { step, ends }) = self.paths.states.get(number) else {
                continue;
            };
            if step.deep {
                self.inside.insert(number);
            }
            if step.select.matches(child) {
                match ends {
                    Some(path) => self.hits.push(*path),
                    None => self.inside.insert(number + 1),
                }
            }
        }
    }
}

impl Select {
    fn matches(&self, child: &Child<'_>) -> bool {
        match (self, child) {
            (Self::Any, _) => true,
            (Self::Name(name), Child::Name(key)) => name.as_bytes() == *key,
            (Self::Index(index), Child::Index(at)) => index == at,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn found(text: &str, paths: &[&str]) -> Vec<(usize, String)> {
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        let paths = Paths::new(paths);
        let mut walk = Walk::new(text.as_bytes(), &paths);
        let mut found = Vec::new();
        while let Some(token) = walk.next_token() {
            if token.kind != TokenKind::Key {
                let shown = text[token.start..token.end].to_owned();
                found.extend(walk.hits().iter().map(|path| (*path, shown.clone())));
            }
        }
        found
    }

    fn values(text: &str, path: &str) -> Vec<String> {
        let found = found(text, &[path]);
        found.into_iter().map(|(_, shown)| shown).collect()
    }

    #[test]
    fn each_path_form_finds_its_values() {
        let text = r#"{"a": {"b": 1, "c": [2, {"b": 3}]}, "b": 4, "\u0062": 5, "a b": [6, [7]]}"#;
        for (path, expected) in [
            ("$.b", &["4", "5"][..]),
            ("$.a.b", &["1"]),
            ("$.a.c[0]", &["2"]),
            ("$.a.c[*].b", &["3"]),
            ("$.a.c[*]", &["2", "{"]),
            ("$..b", &["1", "3", "4", "5"]),
            ("$.a..b", &["1", "3"]),
            ("$['a b'][1][0]", &["7"]),
            ("$..[0]", &["2", "6", "7"]),
            ("$.*", &["{", "4", "5", "["]),
            ("$.a.*.*", &["2", "{"]),
            ("$.b.c", &[]),
            ("$[0]", &[]),
            ("$.c", &[]),
        ] {
            assert_eq!(values(text, path), expected, "{path}");
        }
    }

    #[test]
    fn compares_keys_without_escapes() {
        let text = r#"{"\u0070assword": 1, "\ud83d\ude00": 2, "pass\u0077": 3}"#;
        assert_eq!(values(text, "$.password"), ["1"]);
        assert_eq!(values(text, "$.😀"), ["2"]);
    }

    #[test]
    fn follows_many_paths_at_once() {
        let paths: Vec<String> = (0..64)
            .map(|number| format!("$..a{number}{}", ".*".repeat(15)))
            .collect();
        let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        paths.push("$.x[1]");
        paths.push("$..z");
        let text = r#"{"x": [1, {"z": 2}], "z": 3}"#;
        let expected = [
            (64, "{".to_owned()),
            (65, "2".to_owned()),
            (65, "3".to_owned()),
        ];
        assert_eq!(found(text, &paths), expected);
    }

    #[test]
    fn repeated_steps_do_not_multiply_matches() {
        let depth = 100;
        let text = [r#"{"a":"#.repeat(depth), "1".into(), "}".repeat(depth)].concat();
        let path = format!("${}", "..a".repeat(16));
        assert_eq!(values(&text, &path).len(), depth - 15);
    }

    #[test]
    fn each_document_starts_at_root() {
        assert_eq!(
            values("{\"a\": 1}\n{\"a\": 2}\n[{\"a\": 3}]", "$.a"),
            ["1", "2"]
        );
    }

    #[test]
    fn skips_container() {
        let paths = Paths::new(vec!["$.a".parse().unwrap(), "$.b".parse().unwrap()]);
        let text = br#"{"a": [1, {"b": [2]}], "b": 3, "a": {"x"#;
        let mut walk = Walk::new(text, &paths);
        let mut spans = Vec::new();
        while let Some(token) = walk.next_token() {
            if token.kind == TokenKind::Key || walk.hits().is_empty() {
                continue;
            }
            let end = match token.kind {
                TokenKind::OpenObject | TokenKind::OpenArray => walk.skip_container(),
                _ => token.end,
            };
            spans.push(&text[token.start..end]);
        }
        assert_eq!(spans, [&b"[1, {\"b\": [2]}]"[..], b"3", b"{\"x"]);
        assert_eq!(walk.end(), Some(ScanEnd::Cut));
    }
}

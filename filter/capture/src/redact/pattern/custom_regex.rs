//! Regular expressions of the configuration. They match bytes and know ASCII classes only: the tables
//! of Unicode would make the filter several times as large.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use regex_automata::hybrid::regex::{Builder, Cache, Regex};
use regex_automata::hybrid::{dfa, dfa::DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::ast::{self, Ast, Flag};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Class, ErrorKind, Hir, HirKind};

use super::bytes::MAX_TAIL_BYTES;

/// Of the expression's text.
pub(crate) const MAX_REGEX_BYTES: usize = 512;
/// Of the compiled program, and of its cache during a search.
const MAX_PROGRAM_BYTES: usize = 256 << 10;
/// Of groups.
const MAX_NESTING: u32 = 32;
/// On average. Most expressions read a match twice and the rest once; one like `a(.*b)?` reads to the
/// end of the text after each match.
const MAX_READS_PER_BYTE: usize = 32;
/// A cache that was cleared this often must have read [`MIN_BYTES_PER_STATE`] on average.
const MIN_CACHE_CLEARS: usize = 3;
const MIN_BYTES_PER_STATE: usize = 10;

/// Expressions with the same text are equal.
#[derive(Clone)]
pub(crate) struct CustomRegex(Rc<CompiledRegex>);

struct CompiledRegex {
    text: Box<str>,
    regex: Regex,
    cache: RefCell<Cache>,
    /// How far a match that a cut interrupts may reach back, beyond the last word.
    max_tail_bytes: usize,
}

/// Why an expression cannot be used. Each message says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// It exceeds 512 bytes.
    #[error("a regular expression of at most {MAX_REGEX_BYTES} bytes")]
    TooLong,
    /// It is not valid syntax.
    #[error("a regular expression ({0})")]
    Syntax(String),
    /// It needs tables that the filter does not contain.
    #[error(
        "a regular expression without Unicode classes or letters that are not ASCII; write such a letter as its bytes, like \\xC3\\xA9"
    )]
    Unicode,
    /// It matches the empty text, or never.
    #[error("a regular expression that matches at least one character, and not nothing")]
    Empty,
    /// Its program would be too large.
    #[error("a smaller regular expression: write fewer or shorter repetitions")]
    TooLarge,
}

/// The remaining work of a search.
#[derive(Debug)]
struct WorkLimit {
    remaining_reads: usize,
}

/// A search would need more work than the text allows.
#[derive(Debug, PartialEq, Eq)]
struct WorkLimitExceeded;

impl CustomRegex {
    pub(crate) fn compile(text: &str) -> Result<Self, RegexError> {
        if text.len() > MAX_REGEX_BYTES {
            return Err(RegexError::TooLong);
        }
        let parsed = parse(text)?;
        let properties = parsed.properties();
        if properties.minimum_len().is_none_or(|length| length == 0) {
            return Err(RegexError::Empty);
        }
        let max_tail_bytes = match properties.maximum_len() {
            Some(longest) => longest.min(MAX_TAIL_BYTES),
            None if spans_space(&parsed) => MAX_TAIL_BYTES,
            None => 0,
        };
        let regex = build(text).ok_or(RegexError::TooLarge)?;
        Ok(Self(Rc::new(CompiledRegex {
            text: text.into(),
            cache: RefCell::new(regex.create_cache()),
            regex,
            max_tail_bytes,
        })))
    }

    /// How many bytes at the end of a truncated text may belong to an incomplete match, without the
    /// last word, which always may.
    pub(super) fn max_tail_bytes(&self) -> usize {
        self.0.max_tail_bytes
    }

    /// Reports the matches. If the search needs too much work, the rest of the text counts as a match,
    /// because it could not be searched.
    pub(super) fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        self.0.find(text, &mut WorkLimit::for_text(text), found);
    }
}

impl fmt::Debug for CustomRegex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("CustomRegex")
            .field(&self.0.text)
            .finish()
    }
}

impl PartialEq for CustomRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl WorkLimit {
    const fn for_text(text: &[u8]) -> Self {
        Self {
            remaining_reads: text
                .len()
                .saturating_add(1)
                .saturating_mul(MAX_READS_PER_BYTE),
        }
    }

    const fn count_read(&mut self) -> Result<(), WorkLimitExceeded> {
        match self.remaining_reads.checked_sub(1) {
            Some(remaining_reads) => {
                self.remaining_reads = remaining_reads;
                Ok(())
            }
            None => Err(WorkLimitExceeded),
        }
    }
}

impl CompiledRegex {
    fn find(&self, text: &[u8], work: &mut WorkLimit, found: &mut dyn FnMut(Range<usize>)) {
        let mut cache = self.cache.borrow_mut();
        let mut at = 0;
        loop {
            match self.find_next(text, at, &mut cache, work) {
                Ok(Some(range)) => {
                    at = range.end;
                    found(range);
                }
                Ok(None) => return,
                Err(WorkLimitExceeded) => {
                    // The next text starts with a fresh cache.
                    self.regex.reset_cache(&mut cache);
                    return found(at..text.len());
                }
            }
        }
    }

    /// The first match that begins at or after an offset.
    fn find_next(
        &self,
        text: &[u8],
        at: usize,
        cache: &mut Cache,
        work: &mut WorkLimit,
    ) -> Result<Option<Range<usize>>, WorkLimitExceeded> {
        let (forward, reverse) = cache.as_parts_mut();
        let Some(end) = find_match_end(self.regex.forward(), forward, text, at, work)? else {
            return Ok(None);
        };
        let start = find_match_start(self.regex.reverse(), reverse, text, at..end, work)?;
        Ok(Some(start..end))
    }
}

/// The end of the first match from an offset on. Like the library's own loop, but counts the reads.
fn find_match_end(
    dfa: &DFA,
    cache: &mut dfa::Cache,
    text: &[u8],
    at: usize,
    work: &mut WorkLimit,
) -> Result<Option<usize>, WorkLimitExceeded> {
    let input = Input::new(text).range(at..);
    let mut state = dfa
        .start_state_forward(cache, &input)
        .map_err(|_| WorkLimitExceeded)?;
    cache.search_start(at);
    let mut end = None;
    for (index, byte) in text.iter().enumerate().skip(at) {
        work.count_read()?;
        cache.search_update(index);
        state = dfa
            .next_state(cache, state, *byte)
            .map_err(|_| WorkLimitExceeded)?;
        // A match is reported one byte late.
        if state.is_match() {
            end = Some(index);
        } else if state.is_dead() {
            cache.search_finish(index);
            return Ok(end);
        }
    }
    cache.search_finish(text.len());
    state = dfa
        .next_eoi_state(cache, state)
        .map_err(|_| WorkLimitExceeded)?;
    Ok(if state.is_match() {
        Some(text.len())
    } else {
        end
    })
}

/// The beginning of the match that ends with the range.
fn find_match_start(
    dfa: &DFA,
    cache: &mut dfa::Cache,
    text: &[u8],
    range: Range<usize>,
    work: &mut WorkLimit,
) -> Result<usize, WorkLimitExceeded> {
    let input = Input::new(text)
        .range(range.clone())
        .anchored(Anchored::Yes);
    let mut state = dfa
        .start_state_reverse(cache, &input)
        .map_err(|_| WorkLimitExceeded)?;
    // A backward search reports its progress backwards too.
    cache.search_start(range.end);
    let mut start = range.end;
    let first = range.start;
    for index in range.rev() {
        let Some(byte) = text.get(index) else {
            break;
        };
        work.count_read()?;
        cache.search_update(index);
        state = dfa
            .next_state(cache, state, *byte)
            .map_err(|_| WorkLimitExceeded)?;
        if state.is_match() {
            start = index + 1;
        } else if state.is_dead() {
            cache.search_finish(index);
            return Ok(start);
        }
    }
    cache.search_finish(first);
    // The byte before the range is examined, in case of a word boundary, but is not part of the match.
    state = match first.checked_sub(1).and_then(|before| text.get(before)) {
        Some(before) => dfa.next_state(cache, state, *before),
        None => dfa.next_eoi_state(cache, state),
    }
    .map_err(|_| WorkLimitExceeded)?;
    Ok(if state.is_match() { first } else { start })
}

/// None if the program would be too large.
fn build(text: &str) -> Option<Regex> {
    let cache = dfa::Config::new()
        .cache_capacity(MAX_PROGRAM_BYTES)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(MIN_CACHE_CLEARS))
        .minimum_bytes_per_state(Some(MIN_BYTES_PER_STATE));
    let program = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(MAX_PROGRAM_BYTES));
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(MAX_NESTING);
    Builder::new()
        .dfa(cache)
        .thompson(program)
        .syntax(syntax)
        .build(text)
        .ok()
}

/// Whether a match may contain a space, so that it is not a single word.
fn spans_space(hir: &Hir) -> bool {
    const SPACES: [u8; 5] = *b" \t\n\r\x0c";
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.iter().any(|byte| SPACES.contains(byte)),
        HirKind::Class(Class::Bytes(class)) => class.iter().any(|range| {
            SPACES
                .iter()
                .any(|space| (range.start()..=range.end()).contains(space))
        }),
        HirKind::Class(Class::Unicode(class)) => class.iter().any(|range| {
            SPACES
                .iter()
                .any(|space| (range.start()..=range.end()).contains(&char::from(*space)))
        }),
        HirKind::Repetition(repetition) => spans_space(&repetition.sub),
        HirKind::Capture(capture) => spans_space(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(spans_space),
    }
}

/// Parses without Unicode, which no flag may enable: whether its tables exist depends on what else is
/// linked, and the native checker must agree with the filter.
fn parse(text: &str) -> Result<Hir, RegexError> {
    let tree = ast::parse::ParserBuilder::new()
        .nest_limit(MAX_NESTING)
        .build()
        .parse(text)
        .map_err(|error| RegexError::Syntax(error.kind().to_string()))?;
    ast::visit(&tree, NoUnicode)?;
    TranslatorBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .translate(text, &tree)
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidUtf8 | ErrorKind::InvalidLineTerminator => {
                RegexError::Syntax(error.kind().to_string())
            }
            _ => RegexError::Unicode,
        })
}

/// Rejects the flag that enables Unicode.
struct NoUnicode;

impl ast::Visitor for NoUnicode {
    type Output = ();
    type Err = RegexError;

    fn finish(self) -> Result<(), RegexError> {
        Ok(())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), RegexError> {
        let flags = match tree {
            Ast::Flags(set) => Some(&set.flags),
            Ast::Group(group) => group.flags(),
            _ => None,
        };
        match flags.and_then(|flags| flags.flag_state(Flag::Unicode)) {
            Some(true) => Err(RegexError::Unicode),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_matches() {
        let own = CustomRegex::compile(r"ORD-\d{8}\b").unwrap();
        let mut found = Vec::new();
        own.find(b"ORD-12345678, ORD-123456789 ORD-00000000", &mut |range| {
            found.push(range);
        });
        assert_eq!(found, [0..12, 28..40]);
        assert_eq!(own.max_tail_bytes(), 12);
        assert_eq!(own, CustomRegex::compile(r"ORD-\d{8}\b").unwrap());
        assert_ne!(own, CustomRegex::compile("ORD").unwrap());
    }

    #[test]
    fn rejects_unusable_expressions() {
        let error = |text: &str| CustomRegex::compile(text).unwrap_err();
        assert_eq!(error("(a"), RegexError::Syntax("unclosed group".into()));
        for text in [r"\p{Greek}", "é[ü]", r"(?u)\w", r"a(?iu:\d)"] {
            assert!(
                matches!(error(text), RegexError::Unicode),
                "{text}: {:?}",
                error(text)
            );
        }
        for text in ["", "a*", "^", "$", r"\b", "a?|b", "(a|)", "[a&&b]"] {
            assert_eq!(error(text), RegexError::Empty, "{text}");
        }
    }

    #[test]
    fn enforces_limits_of_text_and_program() {
        assert!(CustomRegex::compile(&"a".repeat(MAX_REGEX_BYTES)).is_ok());
        let long = "a".repeat(MAX_REGEX_BYTES + 1);
        assert_eq!(CustomRegex::compile(&long), Err(RegexError::TooLong));
        assert_eq!(
            CustomRegex::compile("(a{100}){100}{100}"),
            Err(RegexError::TooLarge)
        );
        let nested = ["(".repeat(40), "a".into(), ")".repeat(40)].concat();
        assert!(matches!(
            CustomRegex::compile(&nested),
            Err(RegexError::Syntax(_))
        ));
    }

    fn ranges(own: &CustomRegex, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        own.find(text, &mut |range| found.push(range));
        found
    }

    #[test]
    fn matches_equal_those_of_regex_crate() {
        for regex in [
            "a|ab|abc",
            "(?:abc|ab|a)c?",
            "[a-c]+?c",
            r"\bab\b",
            r"(?m)^a.$",
            r"\Aab|c\z",
            "a(.*b)?",
            "(?i)A[^b]{1,3}",
            r"(?s-u)..",
        ] {
            let own = CustomRegex::compile(regex).unwrap();
            let theirs = regex::bytes::RegexBuilder::new(regex)
                .unicode(false)
                .build()
                .unwrap();
            for text in [
                &b"abcabcab abb ab"[..],
                b"ab",
                b"a\nab\nacc\n",
                b"\xff\xfea\xc3\xa9bc",
                b"",
            ] {
                let expected: Vec<_> = theirs.find_iter(text).map(|it| it.range()).collect();
                assert_eq!(ranges(&own, text), expected, "{regex} {text:?}");
            }
        }
    }

    #[test]
    fn work_is_linear_for_any_expression() {
        for regex in ["a(?:.*b)?", "aa*b|a", "a(?:a*?b)?", "[^c]*?a(?:[^c]*b)?"] {
            let own = CustomRegex::compile(regex).unwrap();
            let mut free = WorkLimit {
                remaining_reads: usize::MAX,
            };
            let text = vec![b'a'; 4000];
            own.0.find(&text, &mut free, &mut |_| ());
            let reads = usize::MAX - free.remaining_reads;
            assert!(reads > 4000 * 1000, "{regex} is harmless: {reads}");

            for length in [1000, 10_000, 100_000] {
                let text = vec![b'a'; length];
                let mut work = WorkLimit::for_text(&text);
                let all = work.remaining_reads;
                let mut end = 0;
                own.0.find(&text, &mut work, &mut |range| {
                    assert_eq!(range.start, end, "{regex}");
                    end = range.end;
                });
                assert!(all <= MAX_READS_PER_BYTE * (length + 1));
                assert_eq!((work.remaining_reads, end), (0, length), "{regex} {length}");
            }
        }
        // Usual expressions stay far below the limit.
        let own = CustomRegex::compile("ORD-[0-9]+").unwrap();
        let text = b"ORD-1 and ORD-23456789, ".repeat(1000);
        let mut work = WorkLimit::for_text(&text);
        let all = work.remaining_reads;
        own.0.find(&text, &mut work, &mut |_| ());
        assert!(all - work.remaining_reads < 3 * text.len());
    }

    #[test]
    fn gives_up_on_expression_without_cache_hits() {
        // Each byte leads to another set of states: nothing in the cache is used again.
        let own = CustomRegex::compile("[ab]*a[ab]{400}c").unwrap();
        let mut seed = 1_u32;
        let text: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 31 == 0 { b'a' } else { b'b' }
        })
        .take(64 << 10)
        .collect();
        let mut work = WorkLimit::for_text(&text);
        let all = work.remaining_reads;
        let mut found = Vec::new();
        own.0.find(&text, &mut work, &mut |range| found.push(range));
        assert_eq!(found.first(), Some(&(0..text.len())));
        assert!(
            all - work.remaining_reads < text.len() / 4,
            "{}",
            all - work.remaining_reads
        );
        assert!(ranges(&own, &text[..1000]).is_empty());
    }

    #[test]
    fn only_matches_with_spaces_extend_tail() {
        for (regex, max_tail_bytes) in [
            ("sk-[a-z]+", 0),
            ("sk: [a-z]+", MAX_TAIL_BYTES),
            ("BEGIN[^-]*END", MAX_TAIL_BYTES),
            (r"a\s*b", MAX_TAIL_BYTES),
            ("(a|(b. )+)", MAX_TAIL_BYTES),
            ("ab{2,9}", 10),
            ("x{5000}", MAX_TAIL_BYTES),
        ] {
            assert_eq!(
                CustomRegex::compile(regex).unwrap().max_tail_bytes(),
                max_tail_bytes,
                "{regex}"
            );
        }
    }
}

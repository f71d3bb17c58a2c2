//! `match`: which exchanges a rule is for. Everything that is named must fit.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;

use regex_automata::hybrid::dfa::{self, Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::glob::Glob;
use super::names;
use super::reader::Node;
use super::template::Template;
use crate::headers::{Headers, Lookup};
use crate::text;

/// What a rule looks at. Each header is looked up when the first rule wants it, and then kept for
/// those behind it.
pub struct Subject<'a> {
    headers: &'a dyn Lookup,
    target: OnceCell<Cow<'a, [u8]>>,
    method: OnceCell<Cow<'a, [u8]>>,
    host: OnceCell<Vec<u8>>,
    route: &'a [u8],
}

impl<'a> Subject<'a> {
    /// A request, by its headers and, if any rule asks for it, the name of Envoy's route for it.
    #[must_use]
    pub fn new(headers: &'a dyn Lookup, route: Option<&'a [u8]>) -> Self {
        Self {
            headers,
            target: OnceCell::new(),
            method: OnceCell::new(),
            host: OnceCell::new(),
            route: route.unwrap_or_default(),
        }
    }

    fn path(&self) -> &[u8] {
        let target = self.target.get_or_init(|| self.value(":path"));
        text::split_query(target).0
    }

    fn method(&self) -> &[u8] {
        self.method.get_or_init(|| self.value(":method"))
    }

    /// Host without the port, in lower case.
    fn host(&self) -> &[u8] {
        self.host.get_or_init(|| {
            let authority = self.headers.first(":authority");
            let host = authority.or_else(|| self.headers.first("host"));
            without_port(&host.unwrap_or_default()).to_ascii_lowercase()
        })
    }

    fn value(&self, name: &str) -> Cow<'a, [u8]> {
        self.headers.first(name).unwrap_or_default()
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    let port = host.iter().rposition(|byte| *byte == b':').filter(|colon| {
        // An IPv6 address has colons of its own, inside brackets.
        host.get(colon + 1..)
            .is_some_and(|port| port.iter().all(u8::is_ascii_digit))
    });
    port.and_then(|colon| host.get(..colon)).unwrap_or(host)
}

/// A compiled `match`. Empty: every exchange.
#[derive(Debug, Clone, Default)]
pub(super) struct Matcher {
    route: Option<Glob>,
    host: Option<Glob>,
    path: Option<PathMatch>,
    methods: Option<Vec<String>>,
    headers: Vec<HeaderMatch>,
}

#[derive(Debug, Clone)]
enum PathMatch {
    Prefix(String),
    Exact(String),
    Regex(Pattern),
    Template { text: String, template: Template },
}

#[derive(Debug, Clone)]
struct HeaderMatch {
    name: String,
    value: ValueMatch,
}

#[derive(Debug, Clone)]
enum ValueMatch {
    Exact(String),
    Prefix(String),
    Regex(Pattern),
    Present(bool),
}

/// A regular expression that must fit the whole text.
#[derive(Clone)]
struct Pattern(Rc<Program>);

struct Program {
    text: String,
    automaton: DFA,
    cache: RefCell<Cache>,
}

const MAX_PATH_BYTES: usize = 1024;
const MAX_METHODS: usize = 16;
const MAX_HEADERS: usize = 16;
const MAX_VALUE_BYTES: usize = 1024;
const MAX_REGEX_BYTES: usize = 512;
/// Most memory of one compiled expression.
const MAX_PROGRAM_BYTES: usize = 256 << 10;

impl Matcher {
    pub(super) fn read(node: &Node<'_>) -> Option<Self> {
        let object = node.object("route, host, path, methods and headers")?;
        let matcher = Self {
            route: object.get("route").and_then(|node| glob(&node)),
            host: object
                .get("host")
                .and_then(|node| glob(&node))
                .map(|glob| glob.to_lower_case()),
            path: object.get("path").and_then(|node| PathMatch::read(&node)),
            methods: object.get("methods").and_then(|node| methods(&node)),
            headers: object
                .get("headers")
                .and_then(|node| node.each(MAX_HEADERS, "headers", HeaderMatch::read))
                .unwrap_or_default(),
        };
        object.refuse_unknown();
        Some(matcher)
    }

    /// The path's template, which is also what the exchange is filed under.
    pub(super) fn template(&self) -> Option<&str> {
        match &self.path {
            Some(PathMatch::Template { text, .. }) => Some(text),
            _ => None,
        }
    }

    pub(super) const fn asks_for_route(&self) -> bool {
        self.route.is_some()
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        let Self {
            route,
            host,
            path,
            methods,
            headers,
        } = self;
        path.as_ref()
            .is_none_or(|path| path.matches(subject.path()))
            && methods.as_ref().is_none_or(|methods| {
                methods
                    .iter()
                    .any(|method| method.as_bytes() == subject.method())
            })
            && route
                .as_ref()
                .is_none_or(|glob| glob.matches(subject.route))
            && host
                .as_ref()
                .is_none_or(|glob| glob.matches(subject.host()))
            && headers
                .iter()
                .all(|header| header.matches(subject.headers.whole()))
    }
}

impl PathMatch {
    fn read(node: &Node<'_>) -> Option<Self> {
        let object = node.object("prefix, exact, regex or template")?;
        let path = object
            .one_of(&["prefix", "exact", "regex", "template"])
            .and_then(|(key, node)| match key {
                "prefix" => path(&node).map(Self::Prefix),
                "exact" => path(&node).map(Self::Exact),
                "regex" => Pattern::read(&node).map(Self::Regex),
                _ => Self::template(&node),
            });
        object.refuse_unknown();
        path
    }

    fn template(node: &Node<'_>) -> Option<Self> {
        let text = path(node)?;
        let template = Template::parse(&text);
        if template.is_none() {
            node.expected("a path with names in braces, such as \"/users/{id}/orders\"");
        }
        Some(Self::Template {
            text,
            template: template?,
        })
    }

    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            Self::Exact(exact) => path == exact.as_bytes(),
            Self::Regex(pattern) => pattern.fits(path),
            Self::Template { template, .. } => template.matches(path),
        }
    }
}

impl HeaderMatch {
    fn read(node: &Node<'_>) -> Option<Self> {
        let object = node.object("name, and exact, prefix, regex or present")?;
        let name = object
            .require("name", "the name of a header")
            .and_then(|node| names::header(&node));
        let value = object
            .one_of(&["exact", "prefix", "regex", "present"])
            .and_then(|(key, node)| match key {
                "exact" => value(&node).map(ValueMatch::Exact),
                "prefix" => value(&node).map(ValueMatch::Prefix),
                "regex" => Pattern::read(&node).map(ValueMatch::Regex),
                _ => node.flag().map(ValueMatch::Present),
            });
        object.refuse_unknown();
        Some(Self {
            name: name?,
            value: value?,
        })
    }

    /// Any of several values of the same name may fit.
    fn matches(&self, headers: &Headers) -> bool {
        let mut values = headers.all(&self.name);
        match &self.value {
            ValueMatch::Exact(exact) => values.any(|value| value == exact.as_bytes()),
            ValueMatch::Prefix(prefix) => values.any(|value| value.starts_with(prefix.as_bytes())),
            ValueMatch::Regex(pattern) => values.any(|value| pattern.fits(value)),
            ValueMatch::Present(wanted) => values.next().is_some() == *wanted,
        }
    }
}

impl Pattern {
    fn read(node: &Node<'_>) -> Option<Self> {
        let fits = |text: &str| (1..=MAX_REGEX_BYTES).contains(&text.len());
        let text = node.text("a regular expression of 1 to 512 bytes", fits)?;
        let built = Self::build(text);
        if built.is_none() {
            node.expected(PatternExpected);
        }
        built
    }

    fn build(text: &str) -> Option<Self> {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let program = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(MAX_PROGRAM_BYTES));
        let cache = dfa::Config::new()
            .cache_capacity(MAX_PROGRAM_BYTES)
            .skip_cache_capacity_check(true);
        let automaton = DFA::builder()
            .configure(cache)
            .thompson(program)
            .syntax(syntax)
            .build(&format!(r"\A(?:{text})\z"))
            .ok()?;
        Some(Self(Rc::new(Program {
            text: text.to_owned(),
            cache: RefCell::new(automaton.create_cache()),
            automaton,
        })))
    }

    fn fits(&self, text: &[u8]) -> bool {
        let input = Input::new(text).anchored(Anchored::Yes).earliest(true);
        let mut cache = self.0.cache.borrow_mut();
        // A search fails only by settings that are not made here.
        let found = self.0.automaton.try_search_fwd(&mut cache, &input);
        found.is_ok_and(|end| end.is_some())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Pattern")
            .field(&self.0.text)
            .finish()
    }
}

struct PatternExpected;

impl fmt::Display for PatternExpected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a regular expression in the syntax of the Rust crate regex, without Unicode classes, \
             look-around and back-references, that compiles to at most 256KiB",
        )
    }
}

fn glob(node: &Node<'_>) -> Option<Glob> {
    let text = node
        .value
        .as_str()
        .filter(|text| text.len() <= MAX_PATH_BYTES);
    let glob = text.and_then(Glob::parse);
    if glob.is_none() {
        node.expected(
            "a name of at most 1024 bytes, in which up to 8 * stand for any run of characters",
        );
    }
    glob
}

fn path(node: &Node<'_>) -> Option<String> {
    let fits = |text: &str| text.starts_with('/') && text.len() <= MAX_PATH_BYTES;
    node.text(
        "a path that begins with a slash, of at most 1024 bytes",
        fits,
    )
    .map(str::to_owned)
}

fn methods(node: &Node<'_>) -> Option<Vec<String>> {
    node.each(MAX_METHODS, "methods", |node| {
        let fits = |text: &str| {
            (1..=32).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_')
        };
        node.text("a method in capital letters, such as \"POST\"", fits)
            .map(str::to_owned)
    })
}

fn value(node: &Node<'_>) -> Option<String> {
    node.text("a text of at most 1024 bytes", |text| {
        text.len() <= MAX_VALUE_BYTES
    })
    .map(str::to_owned)
}

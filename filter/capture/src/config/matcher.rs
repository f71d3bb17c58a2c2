//! The key `match`: conditions on a request, all of which must hold.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;

use regex_automata::hybrid::dfa::{self, Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::glob::Glob;
use super::header_names;
use super::reader::ConfigNode;
use super::template::Template;
use crate::headers::{HeaderLookup, Headers};
use crate::text;

/// The properties of a request that rules match. Each header is fetched when the first rule needs it,
/// and cached for the following rules.
pub struct RequestView<'a> {
    headers: &'a dyn HeaderLookup,
    target: OnceCell<Cow<'a, [u8]>>,
    method: OnceCell<Cow<'a, [u8]>>,
    host: OnceCell<Vec<u8>>,
    route: &'a [u8],
}

impl<'a> RequestView<'a> {
    /// `route` is the name of Envoy's route; it may be absent unless
    /// [`super::Rules::needs_route_name`].
    #[must_use]
    pub fn new(headers: &'a dyn HeaderLookup, route: Option<&'a [u8]>) -> Self {
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

    /// Without the port, in lower case.
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
        // The colons of an IPv6 address are inside brackets.
        host.get(colon + 1..)
            .is_some_and(|port| port.iter().all(u8::is_ascii_digit))
    });
    port.and_then(|colon| host.get(..colon)).unwrap_or(host)
}

/// A compiled `match`. Without conditions, every request matches.
#[derive(Debug, Clone, Default)]
pub(super) struct Matcher {
    route: Option<Glob>,
    host: Option<Glob>,
    path: Option<PathMatch>,
    methods: Option<Vec<String>>,
    headers: Vec<HeaderMatch>,
}

#[derive(Debug, Clone, PartialEq)]
enum PathMatch {
    Prefix(String),
    Exact(String),
    Regex(FullMatchRegex),
    Template { text: String, template: Template },
}

#[derive(Debug, Clone, PartialEq)]
struct HeaderMatch {
    name: String,
    value: ValueMatch,
}

#[derive(Debug, Clone, PartialEq)]
enum ValueMatch {
    Exact(String),
    Prefix(String),
    Regex(FullMatchRegex),
    Present(bool),
}

/// A regular expression that must match the whole text.
#[derive(Clone)]
struct FullMatchRegex(Rc<CompiledRegex>);

struct CompiledRegex {
    text: String,
    automaton: DFA,
    cache: RefCell<Cache>,
}

const MAX_PATH_BYTES: usize = 1024;
const MAX_METHODS: usize = 16;
const MAX_HEADERS: usize = 16;
const MAX_VALUE_BYTES: usize = 1024;
const MAX_REGEX_BYTES: usize = 512;
/// Of one compiled expression.
const MAX_PROGRAM_BYTES: usize = 256 << 10;

impl Matcher {
    pub(super) fn read(node: &ConfigNode<'_>) -> Option<Self> {
        let object = node.as_object("route, host, path, methods and headers")?;
        let matcher = Self {
            route: object.get("route").and_then(|node| read_glob(&node)),
            host: object
                .get("host")
                .and_then(|node| read_glob(&node))
                .map(|glob| glob.to_lowercase()),
            path: object.get("path").and_then(|node| PathMatch::read(&node)),
            methods: object.get("methods").and_then(|node| read_methods(&node)),
            headers: object
                .get("headers")
                .and_then(|node| node.read_each(MAX_HEADERS, "headers", HeaderMatch::read))
                .unwrap_or_default(),
        };
        object.reject_unknown();
        Some(matcher)
    }

    /// The path's template, which is also the default endpoint.
    pub(super) fn template(&self) -> Option<&str> {
        match &self.path {
            Some(PathMatch::Template { text, .. }) => Some(text),
            _ => None,
        }
    }

    pub(super) const fn needs_route_name(&self) -> bool {
        self.route.is_some()
    }

    /// Whether the list of methods is empty.
    pub(super) fn matches_nothing(&self) -> bool {
        self.methods.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether this certainly matches all that `other` matches. Of some it cannot be told.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let Self {
            route,
            host,
            path,
            methods,
            headers,
        } = self;
        let has_methods = |methods: &Vec<String>| {
            let others = other.methods.as_ref();
            others.is_some_and(|others| others.iter().all(|it| methods.contains(it)))
        };
        let has_path = |path: &PathMatch| other.path.as_ref().is_some_and(|it| path.covers(it));
        (route.is_none() || *route == other.route)
            && (host.is_none() || *host == other.host)
            && path.as_ref().is_none_or(has_path)
            && methods.as_ref().is_none_or(has_methods)
            && headers.iter().all(|it| other.headers.contains(it))
    }

    pub(super) fn matches(&self, request: &RequestView<'_>) -> bool {
        let Self {
            route,
            host,
            path,
            methods,
            headers,
        } = self;
        path.as_ref()
            .is_none_or(|path| path.matches(request.path()))
            && methods.as_ref().is_none_or(|methods| {
                methods
                    .iter()
                    .any(|method| method.as_bytes() == request.method())
            })
            && route
                .as_ref()
                .is_none_or(|glob| glob.matches(request.route))
            && host
                .as_ref()
                .is_none_or(|glob| glob.matches(request.host()))
            && headers
                .iter()
                .all(|header| header.matches(request.headers.headers()))
    }
}

impl PathMatch {
    fn read(node: &ConfigNode<'_>) -> Option<Self> {
        let object = node.as_object("prefix, exact, regex or template")?;
        let path = object
            .get_one_of(&["prefix", "exact", "regex", "template"])
            .and_then(|(key, node)| match key {
                "prefix" => read_path(&node).map(Self::Prefix),
                "exact" => read_path(&node).map(Self::Exact),
                "regex" => FullMatchRegex::read(&node).map(Self::Regex),
                _ => Self::template(&node),
            });
        object.reject_unknown();
        path
    }

    fn template(node: &ConfigNode<'_>) -> Option<Self> {
        let text = read_path(node)?;
        let template = Template::parse(&text);
        if template.is_none() {
            node.report_expected("a path with names in braces, such as \"/users/{id}/orders\"");
        }
        Some(Self::Template {
            text,
            template: template?,
        })
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix(prefix), Self::Prefix(other) | Self::Exact(other)) => {
                other.starts_with(prefix)
            }
            _ => self == other,
        }
    }

    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            Self::Exact(exact) => path == exact.as_bytes(),
            Self::Regex(pattern) => pattern.matches(path),
            Self::Template { template, .. } => template.matches(path),
        }
    }
}

impl HeaderMatch {
    fn read(node: &ConfigNode<'_>) -> Option<Self> {
        let object = node.as_object("name, and exact, prefix, regex or present")?;
        let name = object
            .require("name", "the name of a header")
            .and_then(|node| header_names::read_name(&node));
        let value = object
            .get_one_of(&["exact", "prefix", "regex", "present"])
            .and_then(|(key, node)| match key {
                "exact" => read_value(&node).map(ValueMatch::Exact),
                "prefix" => read_value(&node).map(ValueMatch::Prefix),
                "regex" => FullMatchRegex::read(&node).map(ValueMatch::Regex),
                _ => node.as_bool().map(ValueMatch::Present),
            });
        object.reject_unknown();
        Some(Self {
            name: name?,
            value: value?,
        })
    }

    /// Any of several values of the same name may match.
    fn matches(&self, headers: &Headers) -> bool {
        let mut values = headers.all(&self.name);
        match &self.value {
            ValueMatch::Exact(exact) => values.any(|value| value == exact.as_bytes()),
            ValueMatch::Prefix(prefix) => values.any(|value| value.starts_with(prefix.as_bytes())),
            ValueMatch::Regex(pattern) => values.any(|value| pattern.matches(value)),
            ValueMatch::Present(wanted) => values.next().is_some() == *wanted,
        }
    }
}

impl FullMatchRegex {
    fn read(node: &ConfigNode<'_>) -> Option<Self> {
        let fits = |text: &str| (1..=MAX_REGEX_BYTES).contains(&text.len());
        let text = node.as_text("a regular expression of 1 to 512 bytes", fits)?;
        let built = Self::build(text);
        if built.is_none() {
            node.report_expected(RegexExpectation);
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
        Some(Self(Rc::new(CompiledRegex {
            text: text.to_owned(),
            cache: RefCell::new(automaton.create_cache()),
            automaton,
        })))
    }

    fn matches(&self, text: &[u8]) -> bool {
        let input = Input::new(text).anchored(Anchored::Yes).earliest(true);
        let mut cache = self.0.cache.borrow_mut();
        // A search fails only with settings that are not used here.
        let found = self.0.automaton.try_search_fwd(&mut cache, &input);
        found.is_ok_and(|end| end.is_some())
    }
}

impl PartialEq for FullMatchRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl fmt::Debug for FullMatchRegex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("FullMatchRegex")
            .field(&self.0.text)
            .finish()
    }
}

struct RegexExpectation;

impl fmt::Display for RegexExpectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a regular expression in the syntax of the Rust crate regex, without Unicode classes, \
             look-around and back-references, that compiles to at most 256KiB",
        )
    }
}

fn read_glob(node: &ConfigNode<'_>) -> Option<Glob> {
    let text = node
        .value
        .as_str()
        .filter(|text| text.len() <= MAX_PATH_BYTES);
    let glob = text.and_then(Glob::parse);
    if glob.is_none() {
        node.report_expected("a name of at most 1024 bytes, with up to 8 wildcards (*)");
    }
    glob
}

fn read_path(node: &ConfigNode<'_>) -> Option<String> {
    let fits = |text: &str| text.starts_with('/') && text.len() <= MAX_PATH_BYTES;
    node.as_text(
        "a path that begins with a slash, of at most 1024 bytes",
        fits,
    )
    .map(str::to_owned)
}

fn read_methods(node: &ConfigNode<'_>) -> Option<Vec<String>> {
    node.read_each(MAX_METHODS, "methods", |node| {
        let fits = |text: &str| {
            (1..=32).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_')
        };
        node.as_text("a method in capital letters, such as \"POST\"", fits)
            .map(str::to_owned)
    })
}

fn read_value(node: &ConfigNode<'_>) -> Option<String> {
    node.as_text("a string of at most 1024 bytes", |text| {
        text.len() <= MAX_VALUE_BYTES
    })
    .map(str::to_owned)
}

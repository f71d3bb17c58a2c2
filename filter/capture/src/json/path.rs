//! JSON paths of the configuration: `$.a.b`, `$['a b']`, `$.a[0]`, `$.a[*].b`, `$..ssn`.

use std::fmt;
use std::str::FromStr;

/// Of the path's text.
pub const MAX_PATH_BYTES: usize = 256;
/// Of one path.
pub const MAX_STEPS: usize = 16;

/// Selects values in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) select: Select,
    /// Also selects at any depth below the value.
    pub(super) deep: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Select {
    Name(Box<str>),
    Index(usize),
    Any,
}

/// Why a text is not a path. Each message says what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `$`.
    #[error("a JSON path that begins with $, such as $.user.password")]
    NoRoot,
    /// It is only `$`.
    #[error("a JSON path that names something below $, such as $.password or $.*")]
    NoStep,
    /// It exceeds [`MAX_PATH_BYTES`].
    #[error("a JSON path of at most {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// It exceeds [`MAX_STEPS`].
    #[error("a JSON path of at most {MAX_STEPS} steps; $..name finds a name at any depth")]
    TooManySteps,
    /// A dot without a name.
    #[error("a JSON path with a name after each dot, such as $.user.password")]
    NoName,
    /// A name with a character that must be quoted.
    #[error("a JSON path in which a name with {0:?} stands in brackets and quotes: $['a b']")]
    Unquoted(char),
    /// A bracket with other content, or without end.
    #[error("a JSON path with brackets of the form [0], [*] or ['name']")]
    Bracket,
    /// A step without a dot or a bracket.
    #[error("a JSON path with a dot or a bracket before each step, such as $.a[0].b")]
    NoDot,
}

impl JsonPath {
    /// Parses a path.
    ///
    /// # Errors
    /// [`PathError`]
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let mut rest = text.strip_prefix('$').ok_or(PathError::NoRoot)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if steps.len() == MAX_STEPS {
                return Err(PathError::TooManySteps);
            }
            let (step, remaining) = parse_step(rest)?;
            steps.push(step);
            rest = remaining;
        }
        if steps.is_empty() {
            return Err(PathError::NoStep);
        }
        let text = text.to_owned();
        Ok(Self { text, steps })
    }

    /// The text that was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn parse_step(text: &str) -> Result<(Step, &str), PathError> {
    let (deep, dotted) = match text.strip_prefix("..") {
        Some(rest) => (true, Some(rest)),
        None => (false, text.strip_prefix('.')),
    };
    let rest = dotted.unwrap_or(text);
    let (select, rest) = match rest.strip_prefix('[') {
        Some(inside) if deep || dotted.is_none() => parse_bracket(inside)?,
        _ if dotted.is_some() => parse_name(rest)?,
        _ => return Err(PathError::NoDot),
    };
    Ok((Step { select, deep }, rest))
}

fn parse_name(text: &str) -> Result<(Select, &str), PathError> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Select::Any, rest));
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).ok_or(PathError::NoName)?;
    let odd = |character: &char| {
        character.is_whitespace() || character.is_control() || "]'\"(),?*\\".contains(*character)
    };
    match name.chars().find(odd) {
        Some(character) => Err(PathError::Unquoted(character)),
        None if name.is_empty() => Err(PathError::NoName),
        None => Ok((Select::Name(name.into()), rest)),
    }
}

fn parse_bracket(inside: &str) -> Result<(Select, &str), PathError> {
    if let Some(rest) = inside.strip_prefix("*]") {
        return Ok((Select::Any, rest));
    }
    if let Some(quote) = inside.chars().next().filter(|first| "'\"".contains(*first)) {
        let (name, rest) = parse_quoted(inside, quote).ok_or(PathError::Bracket)?;
        return Ok((Select::Name(name.into()), rest));
    }
    let (digits, rest) = inside.split_once(']').ok_or(PathError::Bracket)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PathError::Bracket);
    }
    let index = digits.parse().map_err(|_| PathError::Bracket)?;
    Ok((Select::Index(index), rest))
}

/// The name in quotes and the text after the bracket. A backslash escapes a quote or itself.
fn parse_quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            let rest = text.get(at + 1..)?.strip_prefix(']')?;
            return Some((name, rest));
        }
        name.push(match character {
            '\\' => characters.next()?.1,
            other => other,
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn shown(text: &str) -> Vec<String> {
        let path = JsonPath::parse(text).unwrap();
        assert_eq!(path.as_str(), text);
        let show = |step: &Step| {
            let deep = if step.deep { "deep " } else { "" };
            match &step.select {
                Select::Name(name) => format!("{deep}{name}"),
                Select::Index(index) => format!("{deep}{index}"),
                Select::Any => format!("{deep}*"),
            }
        };
        path.steps().iter().map(show).collect()
    }

    #[test]
    fn parses_each_kind_of_step() {
        for (text, steps) in [
            ("$.a.b-c_1", &["a", "b-c_1"][..]),
            ("$['a b']['c.d']", &["a b", "c.d"]),
            (r#"$["it's"]['it\'s']"#, &["it's", "it's"]),
            ("$.a[0]", &["a", "0"]),
            ("$[*].b", &["*", "b"]),
            ("$.*", &["*"]),
            ("$..ssn", &["deep ssn"]),
            ("$..['a b'].c", &["deep a b", "c"]),
            ("$..[2]..*", &["deep 2", "deep *"]),
            ("$['']", &[""]),
            ("$.größe.@type", &["größe", "@type"]),
        ] {
            assert_eq!(shown(text), steps, "{text}");
        }
    }

    #[test]
    fn rejects_invalid_paths() {
        for (text, error) in [
            ("", PathError::NoRoot),
            ("password", PathError::NoRoot),
            ("$", PathError::NoStep),
            ("$.", PathError::NoName),
            ("$.a.", PathError::NoName),
            ("$...a", PathError::NoName),
            ("$.[0]", PathError::NoName),
            ("$a", PathError::NoDot),
            ("$.a[0]b", PathError::NoDot),
            ("$.a b", PathError::Unquoted(' ')),
            ("$.a*", PathError::Unquoted('*')),
            ("$['a'", PathError::Bracket),
            ("$['a]", PathError::Bracket),
            ("$[", PathError::Bracket),
            ("$[]", PathError::Bracket),
            ("$[-1]", PathError::Bracket),
            ("$[+1]", PathError::Bracket),
            ("$[1:2]", PathError::Bracket),
            ("$[?(@.a)]", PathError::Bracket),
            ("$[99999999999999999999]", PathError::Bracket),
        ] {
            assert_eq!(JsonPath::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn enforces_path_limits() {
        let long = |bytes: usize| format!("$.{}", "a".repeat(bytes - 2));
        assert!(JsonPath::parse(&long(MAX_PATH_BYTES)).is_ok());
        assert_eq!(
            JsonPath::parse(&long(MAX_PATH_BYTES + 1)),
            Err(PathError::TooLong)
        );
        assert!(JsonPath::parse(&format!("${}", ".a".repeat(MAX_STEPS))).is_ok());
        assert_eq!(
            JsonPath::parse(&format!("${}", ".a".repeat(MAX_STEPS + 1))),
            Err(PathError::TooManySteps)
        );
    }
}

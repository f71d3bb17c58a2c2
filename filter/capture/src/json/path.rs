//! JSON paths as a configuration writes them: `$.a.b`, `$['a b']`, `$.a[0]`, `$.a[*].b`, `$..ssn`.

use std::fmt;
use std::str::FromStr;

/// Longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 256;
/// Most steps of a path.
pub const MAX_STEPS: usize = 16;

/// The way to values in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

/// One step from a value to values inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) select: Select,
    /// Not only members of the value itself, but at any depth below it.
    pub(super) deep: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Select {
    Name(Box<str>),
    Index(usize),
    Any,
}

/// Why a text is not a path. Each says what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No `$`.
    #[error("a JSON path that begins with $, such as $.user.password")]
    NoRoot,
    /// Only `$`.
    #[error("a JSON path that names something below $, such as $.password or $.*")]
    NoStep,
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("a JSON path of at most {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_STEPS`].
    #[error("a JSON path of at most {MAX_STEPS} steps; $..name finds a name at any depth")]
    TooManySteps,
    /// Nothing behind a dot.
    #[error("a JSON path with a name behind each dot, such as $.user.password")]
    NoName,
    /// A character that must be quoted.
    #[error("a JSON path in which a name with {0:?} stands in brackets and quotes: $['a b']")]
    Unquoted(char),
    /// A bracket that holds something else, or does not close.
    #[error("a JSON path with brackets of the form [0], [*] or ['name']")]
    Bracket,
    /// Something else than a dot or a bracket behind a step.
    #[error("a JSON path with a dot or a bracket before each step, such as $.a[0].b")]
    NoDot,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`PathError`].
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
            let (step, behind) = step(rest)?;
            steps.push(step);
            rest = behind;
        }
        if steps.is_empty() {
            return Err(PathError::NoStep);
        }
        let text = text.to_owned();
        Ok(Self { text, steps })
    }

    /// The path as it was written.
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

fn step(text: &str) -> Result<(Step, &str), PathError> {
    let (deep, dotted) = match text.strip_prefix("..") {
        Some(rest) => (true, Some(rest)),
        None => (false, text.strip_prefix('.')),
    };
    let rest = dotted.unwrap_or(text);
    let (select, rest) = match rest.strip_prefix('[') {
        Some(inside) if deep || dotted.is_none() => bracket(inside)?,
        _ if dotted.is_some() => name(rest)?,
        _ => return Err(PathError::NoDot),
    };
    Ok((Step { select, deep }, rest))
}

fn name(text: &str) -> Result<(Select, &str), PathError> {
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

fn bracket(inside: &str) -> Result<(Select, &str), PathError> {
    if let Some(rest) = inside.strip_prefix("*]") {
        return Ok((Select::Any, rest));
    }
    if let Some(quote) = inside.chars().next().filter(|first| "'\"".contains(*first)) {
        let (name, rest) = quoted(inside, quote).ok_or(PathError::Bracket)?;
        return Ok((Select::Name(name.into()), rest));
    }
    let (digits, rest) = inside.split_once(']').ok_or(PathError::Bracket)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PathError::Bracket);
    }
    let index = digits.parse().map_err(|_| PathError::Bracket)?;
    Ok((Select::Index(index), rest))
}

/// The name in quotes and what follows the bracket. A backslash stands before a quote or itself.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
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

//! Secrets of the configuration: written out, or named by an environment variable. Never shown.

use std::fmt;

use super::reader::{Node, Problems};

/// A secret as the configuration gives it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// As written in the configuration.
    Literal(String),
    /// The value of an environment variable, written `${NAME}`.
    Environment(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("Literal(…)"),
            Self::Environment(name) => write!(formatter, "Environment({name})"),
        }
    }
}

/// How long a secret must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Length {
    fn accepts(self, text: &str) -> bool {
        (self.least..=self.most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    }
}

impl fmt::Display for Length {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most } = self;
        write!(
            formatter,
            "a text of {least} to {most} visible ASCII characters"
        )
    }
}

impl Secret {
    pub(super) fn read(node: &Node<'_>, length: Length) -> Option<Self> {
        let text = node.value.as_str().unwrap_or_default();
        let name = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) if is_variable(name) => Some(Self::Environment(name.to_owned())),
            // A mistyped reference must not be taken for the secret itself.
            None if length.accepts(text) && !text.contains("${") => {
                Some(Self::Literal(text.to_owned()))
            }
            _ => {
                node.expected_secret(format_args!(
                    "{length}, or ${{NAME}} of an environment variable"
                ));
                None
            }
        }
    }

    /// The secret itself. `key` names it in what goes wrong.
    pub(super) fn resolve(
        &self,
        key: &str,
        length: Length,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<String, Problems> {
        let name = match self {
            Self::Literal(text) => return Ok(text.clone()),
            Self::Environment(name) => name,
        };
        match environment(name) {
            None => Err(Problems::one(format!(
                "{key}: the environment variable {name} is not set: name it in \
                 vm_config.environment_variables"
            ))),
            Some(value) if length.accepts(&value) => Ok(value),
            Some(_) => Err(Problems::one(format!(
                "{key}: the value of the environment variable {name} is not {length}"
            ))),
        }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

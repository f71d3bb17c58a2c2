//! Secrets of the configuration: literal, or in an environment variable. They are never shown.

use std::fmt;

use super::reader::{ConfigNode, Problems};

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The configuration itself.
    Literal(String),
    /// An environment variable, written `${NAME}`.
    Environment(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("Literal(…)"),
            Self::Environment(name) => write!(formatter, "Environment({name})"),
        }
    }
}

/// The allowed length of a secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecretLength {
    pub(super) min: usize,
    pub(super) max: usize,
}

impl SecretLength {
    fn accepts(self, text: &str) -> bool {
        (self.min..=self.max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    }
}

impl fmt::Display for SecretLength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        write!(
            formatter,
            "a string of {min} to {max} visible ASCII characters"
        )
    }
}

impl SecretSource {
    pub(super) fn read(node: &ConfigNode<'_>, length: SecretLength) -> Option<Self> {
        let text = node.value.as_str().unwrap_or_default();
        let name = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) if is_variable_name(name) => Some(Self::Environment(name.to_owned())),
            // A mistyped reference must not be used as a literal secret.
            None if length.accepts(text) && !text.contains("${") => {
                Some(Self::Literal(text.to_owned()))
            }
            _ => {
                node.report_expected_secret(format_args!(
                    "{length}, or ${{NAME}} of an environment variable"
                ));
                None
            }
        }
    }

    /// The secret itself. Problems name `key`.
    pub(super) fn resolve(
        &self,
        key: &str,
        length: SecretLength,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<String, Problems> {
        let name = match self {
            Self::Literal(text) => return Ok(text.clone()),
            Self::Environment(name) => name,
        };
        match environment(name) {
            None => Err(Problems::single(format!(
                "{key}: the environment variable {name} is not set: name it in \
                 vm_config.environment_variables"
            ))),
            Some(value) if length.accepts(&value) => Ok(value),
            Some(_) => Err(Problems::single(format!(
                "{key}: the value of the environment variable {name} is not {length}"
            ))),
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

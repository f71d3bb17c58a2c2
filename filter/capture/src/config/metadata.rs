//! The key `metadata`: constants, and values extracted from the traffic.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::reader::{ConfigNode, KeyPath, to_integer};
use super::source::ValueSource;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum MetadataValue {
    Constant(Value),
    From(ValueSource),
}

const MAX_KEYS: usize = 32;
pub(super) const MAX_KEY_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1024;

pub(super) fn read(node: &ConfigNode<'_>) -> BTreeMap<String, MetadataValue> {
    let Value::Object(map) = node.value else {
        node.report_expected("an object of names and values");
        return BTreeMap::new();
    };
    if map.len() > MAX_KEYS {
        node.report_expected(format_args!(
            "at most {MAX_KEYS} names, and there are {}",
            map.len()
        ));
    }
    let mut read = BTreeMap::new();
    for (name, value) in map {
        let path = KeyPath::Key(&node.path, name);
        let entry = ConfigNode {
            value,
            path,
            problems: node.problems,
        };
        if name.is_empty() || name.len() > MAX_KEY_BYTES {
            entry.problems.add(
                &path,
                format_args!("expected a name of 1 to {MAX_KEY_BYTES} bytes"),
            );
        } else if let Some(value) = read_value(&entry) {
            read.insert(name.clone(), value);
        }
    }
    read
}

fn read_value(node: &ConfigNode<'_>) -> Option<MetadataValue> {
    match node.value {
        Value::Bool(_) => Some(MetadataValue::Constant(node.value.clone())),
        // Integers are stored alike, whether the configuration has 4 or Envoy made it 4.0.
        Value::Number(number) => {
            let whole = to_integer(node.value).map(Number::from);
            let number = whole.unwrap_or_else(|| number.clone());
            Some(MetadataValue::Constant(Value::Number(number)))
        }
        Value::String(text) if text.len() <= MAX_VALUE_BYTES => {
            Some(MetadataValue::Constant(node.value.clone()))
        }
        Value::Object(_) => ValueSource::read(node).map(MetadataValue::From),
        _ => {
            node.report_expected(format_args!(
                "a constant (a string of at most {MAX_VALUE_BYTES} bytes, a number, true or \
                 false), or where to take it from, such as {{request_json: $.model}}"
            ));
            None
        }
    }
}

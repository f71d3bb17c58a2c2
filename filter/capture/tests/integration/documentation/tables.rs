//! Parses the tables of docs/configuration.md.

use serde_json::Value;

use super::bounds::Bound;
use super::keys::{CAPTURE, Key};

/// A row of a table: a documented key.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) default: Default,
    pub(crate) bounds: Vec<Bound>,
    pub(crate) what: String,
}

/// The default of an absent key.
#[derive(Debug)]
pub(crate) enum Default {
    Required,
    /// Exactly one key of a group is required.
    OneOf,
    Nothing,
    Value(Value),
}

/// The first header cells of the tables to read, and the prefix of their keys.
const TABLES: [(&str, &str); 3] = [
    ("key", ""),
    ("match key", "routes[].match."),
    ("capture key", CAPTURE),
];

/// All rows of all tables of keys.
pub(crate) fn rows(document: &str) -> Vec<Row> {
    let mut place = None;
    let mut rows = Vec::new();
    for line in document.lines() {
        let Some(cells) = cells(line) else {
            place = None;
            continue;
        };
        let [first, default, bounds, what] = cells.as_slice() else {
            continue;
        };
        if let Some((_, found)) = TABLES.iter().find(|(head, _)| head == first) {
            place = Some(*found);
        } else if let (Some(place), [key]) = (place, quoted(first).as_slice()) {
            let key = match place {
                CAPTURE => Key::parse(&format!("{CAPTURE}.{key}")),
                _ => Key::parse(&format!("{place}{key}")),
            };
            rows.push(Row {
                default: default_of(default),
                bounds: Bound::parse(bounds).unwrap_or_else(|| panic!("{key}: {bounds}")),
                what: what.clone(),
                key,
            });
        }
    }
    rows
}

/// The texts in backquotes.
pub(crate) fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A number, a boolean or a string, as in YAML.
pub(crate) fn scalar(cell: &str) -> Value {
    let text = cell.trim_matches('`');
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::from(text),
    }
}

fn default_of(cell: &str) -> Default {
    match cell {
        "required" => Default::Required,
        "–" => Default::OneOf,
        "none" => Default::Nothing,
        value => Default::Value(scalar(value)),
    }
}

/// The cells of a line. A bar within a cell is written `\|`.
fn cells(line: &str) -> Option<Vec<String>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    let inside = inside.replace("\\|", "\u{0}");
    let cells = inside.split('|');
    Some(
        cells
            .map(|cell| cell.trim().replace('\u{0}', "|"))
            .collect(),
    )
}

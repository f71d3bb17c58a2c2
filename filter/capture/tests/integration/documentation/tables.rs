//! The tables of docs/configuration.md, read row by row.

use serde_json::Value;

use super::bounds::Bound;
use super::keys::{CAPTURE, Key};

/// A key as the document describes it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) default: Default,
    pub(crate) bounds: Vec<Bound>,
    pub(crate) what: String,
}

/// What stands in for a key that is not written.
#[derive(Debug)]
pub(crate) enum Default {
    Required,
    /// Exactly one of a group is written.
    OneOf,
    Nothing,
    Value(Value),
}

/// The first cells of the tables that are read, and where their keys stand.
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

/// A number, a flag or a text, as YAML would have it.
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

/// The cells of a table's line. A bar within a cell is written `\|`.
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

//! Limits as the tables state them, and values at and beyond them.

use serde_json::{Map, Value, json};

use super::tables::{quoted, scalar};

/// A constraint on values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    Object,
    /// One of these strings.
    Choice(Vec<String>),
    Number {
        min: u64,
        max: u64,
    },
    Bytes {
        min: u64,
        max: u64,
    },
    Milliseconds {
        min: u64,
        max: u64,
    },
    /// Length of a string. Without a minimum, how short it may be depends on its format.
    Text {
        min: Option<usize>,
        max: usize,
    },
    Items {
        max: usize,
    },
    /// A constraint on each item of a list.
    Each(Box<Self>),
    /// Number of names in an object.
    Names {
        max: usize,
    },
    NameLength {
        min: usize,
        max: usize,
    },
}

/// Values of different formats, of which any may suit the key.
type Candidates = Vec<Value>;

impl Bound {
    /// Parses a cell; none if it is not in an expected form.
    pub(crate) fn parse(cell: &str) -> Option<Vec<Self>> {
        if cell == "an object" {
            return Some(vec![Self::Object]);
        }
        if let Some((max, names)) = cell.split_once("; names ") {
            let max = max.strip_prefix("at most ")?.parse().ok()?;
            let (min, longest) = span(names.strip_suffix(" characters")?)?;
            let length = Self::NameLength {
                min: min?.parse().ok()?,
                max: longest.parse().ok()?,
            };
            return Some(vec![Self::Names { max }, length]);
        }
        if let Some(list) = cell.strip_prefix("at most ") {
            let (max, each) = list.split_once("; each ").unzip();
            let max = max.unwrap_or(list).parse().ok()?;
            let each = each.map(Self::single);
            let each = match each {
                Some(bound) => Some(Self::Each(Box::new(bound?))),
                None => None,
            };
            return Some([Self::Items { max }].into_iter().chain(each).collect());
        }
        Self::single(cell).map(|bound| vec![bound])
    }

    fn single(cell: &str) -> Option<Self> {
        if let Some(lengths) = cell.strip_suffix(" characters") {
            let (min, max) = span(lengths)?;
            return Some(Self::Text {
                min: min.map(str::parse).transpose().ok()?,
                max: max.parse().ok()?,
            });
        }
        let Some((Some(min), max)) = span(cell) else {
            let words = quoted(cell).into_iter().map(str::to_owned);
            let words: Vec<_> = words.collect();
            return (words.len() > 1).then_some(Self::Choice(words));
        };
        let number = |text: &str| text.parse::<u64>().ok();
        if let (Some(min), Some(max)) = (number(min), number(max)) {
            return Some(Self::Number { min, max });
        }
        if let (Some(min), Some(max)) = (bytes(min), bytes(max)) {
            return Some(Self::Bytes { min, max });
        }
        Some(Self::Milliseconds {
            min: milliseconds(min)?,
            max: milliseconds(max)?,
        })
    }

    /// Values at the limits: at least one of each row must be accepted.
    pub(crate) fn inside(&self) -> Vec<Candidates> {
        let each = |values: Vec<Value>| values.into_iter().map(|value| vec![value]).collect();
        match self {
            Self::Object => each(vec![json!({})]),
            Self::Choice(words) => each(words.iter().map(|word| scalar(word)).collect()),
            Self::Number { min, max } | Self::Bytes { min, max } => {
                each(vec![json!(min), json!(max)])
            }
            Self::Milliseconds { min, max } => each(vec![duration(*min), duration(*max)]),
            Self::Text { min, max } => {
                let min = min.iter().copied();
                min.chain([*max]).map(texts).collect()
            }
            Self::Items { max } => vec![lists(*max)],
            Self::Each(bound) => bound.inside().into_iter().map(listed).collect(),
            Self::Names { max } => each(vec![names(*max)]),
            Self::NameLength { min, max } => each(vec![name(*min), name(*max)]),
        }
    }

    /// Values just beyond the limits: none may be accepted.
    pub(crate) fn outside(&self) -> Vec<Candidates> {
        match self {
            Self::Object => vec![vec![json!(1), json!([])]],
            Self::Choice(_) => vec![vec![json!("zzz"), json!(1), Value::Null]],
            Self::Number { min, max } | Self::Bytes { min, max } => {
                let below = min.checked_sub(1).map_or(json!(-1), |below| json!(below));
                vec![vec![below, json!(max + 1)]]
            }
            Self::Milliseconds { min, max } => {
                vec![vec![duration(min - 1), duration(max + 1)]]
            }
            Self::Text { min, max } => {
                let below = min.and_then(|min| min.checked_sub(1));
                below.into_iter().chain([max + 1]).map(texts).collect()
            }
            Self::Items { max } => vec![lists(max + 1)],
            Self::Each(bound) => bound.outside().into_iter().map(listed).collect(),
            Self::Names { max } => vec![vec![names(max + 1)]],
            Self::NameLength { min, max } => vec![vec![name(min - 1), name(max + 1)]],
        }
    }
}

/// `A to B`, or `to B`.
fn span(cell: &str) -> Option<(Option<&str>, &str)> {
    let bare = |text| str::trim_matches(text, '`');
    match cell.strip_prefix("to ") {
        Some(max) => Some((None, bare(max))),
        None => cell
            .split_once(" to ")
            .map(|(min, max)| (Some(bare(min)), bare(max))),
    }
}

fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("", 1)];
    in_units(text, &units)
}

fn milliseconds(text: &str) -> Option<u64> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    in_units(text, &units)
}

fn in_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * factor)
    })
}

fn duration(milliseconds: u64) -> Value {
    json!(format!("{milliseconds}ms"))
}

/// Strings of this length: a word, a method, a path, a JSON path, a content type.
fn texts(length: usize) -> Candidates {
    ["", "/", "$.", "a/"]
        .iter()
        .filter(|begin| begin.len() <= length)
        .map(|begin| json!(format!("{begin}{}", "a".repeat(length - begin.len()))))
        .chain([json!("A".repeat(length))])
        .collect()
}

/// Lists of this length.
fn lists(length: usize) -> Candidates {
    let items = [
        json!("a"),
        json!("A"),
        json!("$.a"),
        json!("a/a"),
        json!(200),
        json!({"header": "a"}),
        json!({"name": "a", "present": true}),
        json!({"name": "a", "regex": "a"}),
        json!({"match": {}, "capture": {}}),
    ];
    items.iter().map(|item| json!(vec![item; length])).collect()
}

fn listed(items: Candidates) -> Candidates {
    items.into_iter().map(|item| json!([item])).collect()
}

fn names(count: usize) -> Value {
    let names = (0..count).map(|number| (number.to_string(), json!(1)));
    Value::Object(names.collect::<Map<_, _>>())
}

fn name(length: usize) -> Value {
    json!({"a".repeat(length): 1})
}

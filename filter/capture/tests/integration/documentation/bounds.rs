//! Bounds as the tables write them, and values on either side of them.

use serde_json::{Map, Value, json};

use super::tables::{quoted, scalar};

/// What a value must be like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    Object,
    /// One of these words.
    Choice(Vec<String>),
    Number {
        least: u64,
        most: u64,
    },
    Bytes {
        least: u64,
        most: u64,
    },
    Milliseconds {
        least: u64,
        most: u64,
    },
    /// Length of a text. Without a least, how short it may be depends on its form.
    Text {
        least: Option<usize>,
        most: usize,
    },
    Items {
        most: usize,
    },
    /// Of each item of a list.
    Each(Box<Self>),
    /// Names in an object.
    Names {
        most: usize,
    },
    NameLength {
        least: usize,
        most: usize,
    },
}

/// Values of different forms: which of them fits the key is the code's affair.
type Candidates = Vec<Value>;

impl Bound {
    /// Reads a cell; none if it is not written as expected.
    pub(crate) fn parse(cell: &str) -> Option<Vec<Self>> {
        if cell == "an object" {
            return Some(vec![Self::Object]);
        }
        if let Some((most, names)) = cell.split_once("; names ") {
            let most = most.strip_prefix("at most ")?.parse().ok()?;
            let (least, longest) = span(names.strip_suffix(" characters")?)?;
            let length = Self::NameLength {
                least: least?.parse().ok()?,
                most: longest.parse().ok()?,
            };
            return Some(vec![Self::Names { most }, length]);
        }
        if let Some(list) = cell.strip_prefix("at most ") {
            let (most, each) = list.split_once("; each ").unzip();
            let most = most.unwrap_or(list).parse().ok()?;
            let each = each.map(Self::single);
            let each = match each {
                Some(bound) => Some(Self::Each(Box::new(bound?))),
                None => None,
            };
            return Some([Self::Items { most }].into_iter().chain(each).collect());
        }
        Self::single(cell).map(|bound| vec![bound])
    }

    fn single(cell: &str) -> Option<Self> {
        if let Some(lengths) = cell.strip_suffix(" characters") {
            let (least, most) = span(lengths)?;
            return Some(Self::Text {
                least: least.map(str::parse).transpose().ok()?,
                most: most.parse().ok()?,
            });
        }
        let Some((Some(least), most)) = span(cell) else {
            let words = quoted(cell).into_iter().map(str::to_owned);
            let words: Vec<_> = words.collect();
            return (words.len() > 1).then_some(Self::Choice(words));
        };
        let number = |text: &str| text.parse::<u64>().ok();
        if let (Some(least), Some(most)) = (number(least), number(most)) {
            return Some(Self::Number { least, most });
        }
        if let (Some(least), Some(most)) = (bytes(least), bytes(most)) {
            return Some(Self::Bytes { least, most });
        }
        Some(Self::Milliseconds {
            least: milliseconds(least)?,
            most: milliseconds(most)?,
        })
    }

    /// Values at the bounds: of each row of candidates at least one must be accepted.
    pub(crate) fn inside(&self) -> Vec<Candidates> {
        let each = |values: Vec<Value>| values.into_iter().map(|value| vec![value]).collect();
        match self {
            Self::Object => each(vec![json!({})]),
            Self::Choice(words) => each(words.iter().map(|word| scalar(word)).collect()),
            Self::Number { least, most } | Self::Bytes { least, most } => {
                each(vec![json!(least), json!(most)])
            }
            Self::Milliseconds { least, most } => each(vec![duration(*least), duration(*most)]),
            Self::Text { least, most } => {
                let least = least.iter().copied();
                least.chain([*most]).map(texts).collect()
            }
            Self::Items { most } => vec![lists(*most)],
            Self::Each(bound) => bound.inside().into_iter().map(listed).collect(),
            Self::Names { most } => each(vec![names(*most)]),
            Self::NameLength { least, most } => each(vec![name(*least), name(*most)]),
        }
    }

    /// Values just beyond the bounds: none of them may be accepted.
    pub(crate) fn outside(&self) -> Vec<Candidates> {
        match self {
            Self::Object => vec![vec![json!(1), json!([])]],
            Self::Choice(_) => vec![vec![json!("zzz"), json!(1), Value::Null]],
            Self::Number { least, most } | Self::Bytes { least, most } => {
                let below = least.checked_sub(1).map_or(json!(-1), |below| json!(below));
                vec![vec![below, json!(most + 1)]]
            }
            Self::Milliseconds { least, most } => {
                vec![vec![duration(least - 1), duration(most + 1)]]
            }
            Self::Text { least, most } => {
                let below = least.and_then(|least| least.checked_sub(1));
                below.into_iter().chain([most + 1]).map(texts).collect()
            }
            Self::Items { most } => vec![lists(most + 1)],
            Self::Each(bound) => bound.outside().into_iter().map(listed).collect(),
            Self::Names { most } => vec![vec![names(most + 1)]],
            Self::NameLength { least, most } => vec![vec![name(least - 1), name(most + 1)]],
        }
    }
}

/// `A to B`, or `to B`.
fn span(cell: &str) -> Option<(Option<&str>, &str)> {
    let bare = |text| str::trim_matches(text, '`');
    match cell.strip_prefix("to ") {
        Some(most) => Some((None, bare(most))),
        None => cell
            .split_once(" to ")
            .map(|(least, most)| (Some(bare(least)), bare(most))),
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

/// Texts of this length: a word, a method, a path, a JSON path, a content type.
fn texts(length: usize) -> Candidates {
    ["", "/", "$.", "a/"]
        .iter()
        .filter(|begin| begin.len() <= length)
        .map(|begin| json!(format!("{begin}{}", "a".repeat(length - begin.len()))))
        .chain([json!("A".repeat(length))])
        .collect()
}

/// Lists of so many items.
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

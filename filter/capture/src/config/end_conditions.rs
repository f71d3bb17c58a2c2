//! The key `when`: conditions that are decided at the end of an exchange.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::reader::{ConfigNode, to_integer};

/// Without conditions, every exchange matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EndConditions {
    /// Without ranges, any status matches, and also no response at all.
    status: Option<Vec<RangeInclusive<u16>>>,
    min_duration: Option<Duration>,
}

const MAX_RANGES: usize = 16;
const STATUSES: RangeInclusive<u16> = 100..=599;
const MAX_MIN_DURATION: Duration = Duration::from_hours(1);

impl EndConditions {
    pub(super) fn read(node: &ConfigNode<'_>) -> Option<Self> {
        let object = node.as_object("status and min_duration")?;
        let status = object.get("status").map(|node| read_statuses(&node));
        let min_duration = object
            .get("min_duration")
            .map(|node| node.as_duration(Duration::from_millis(1)..=MAX_MIN_DURATION));
        object.reject_unknown();
        Some(Self {
            status: status.map(Option::unwrap_or_default),
            min_duration: min_duration.flatten(),
        })
    }

    /// Whether [`Self::matches`] needs the duration.
    pub(crate) const fn needs_duration(&self) -> bool {
        self.min_duration.is_some()
    }

    /// Whether no exchange can match.
    pub(crate) fn is_never(&self) -> bool {
        self.status.as_ref().is_some_and(Vec::is_empty)
    }

    /// The duration is computed only if it matters.
    pub(crate) fn matches(&self, status: Option<u16>, duration: impl FnOnce() -> Duration) -> bool {
        let status_fits = self.status.as_ref().is_none_or(|ranges| {
            status.is_some_and(|status| ranges.iter().any(|range| range.contains(&status)))
        });
        status_fits && self.min_duration.is_none_or(|min| duration() >= min)
    }
}

fn read_statuses(node: &ConfigNode<'_>) -> Option<Vec<RangeInclusive<u16>>> {
    node.read_each(MAX_RANGES, "statuses", |node| {
        let range = parse_range(node.value);
        if range.is_none() {
            node.report_expected("a status such as 404, or a range such as \"400-599\" or \"5xx\"");
        }
        range
    })
}

fn parse_range(value: &Value) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| text.trim().parse().ok().filter(|it| STATUSES.contains(it));
    let Value::String(text) = value else {
        let status = u16::try_from(to_integer(value)?).ok()?;
        return STATUSES.contains(&status).then_some(status..=status);
    };
    if let Some(class) = text.strip_suffix("xx") {
        let first = status(&format!("{class}00"))?;
        return Some(first..=first + 99);
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (status(from)?, status(to)?);
    (from <= to).then_some(from..=to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn status_is_number_range_or_class() {
        assert_eq!(parse_range(&json!(404)), Some(404..=404));
        assert_eq!(parse_range(&json!(404.0)), Some(404..=404));
        assert_eq!(parse_range(&json!("404")), Some(404..=404));
        assert_eq!(parse_range(&json!("400-599")), Some(400..=599));
        assert_eq!(parse_range(&json!("5xx")), Some(500..=599));
        for wrong in [
            json!(99),
            json!(600),
            json!("599-400"),
            json!("6xx"),
            json!("xx"),
            json!("4x"),
            json!(null),
        ] {
            assert_eq!(parse_range(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn matches_when_all_conditions_hold() {
        let slow = Duration::from_millis(500);
        let when = EndConditions {
            status: Some(vec![400..=499, 503..=503]),
            min_duration: Some(slow),
        };
        assert!(when.matches(Some(404), || slow) && when.matches(Some(503), || slow));
        assert!(!when.matches(Some(500), || slow));
        assert!(!when.matches(None, || slow));
        assert!(!when.matches(Some(404), || slow / 2));
        assert!(EndConditions::default().matches(None, || Duration::ZERO));
    }
}

//! Conditions that are known only when an exchange is over: `status` and `min_duration`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::reader::{Node, whole_number};

/// What an exchange must have been like to be kept. Empty: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct When {
    /// One of these; none: any status, and also no answer at all.
    status: Option<Vec<RangeInclusive<u16>>>,
    min_duration: Option<Duration>,
}

const MAX_RANGES: usize = 16;
const STATUSES: RangeInclusive<u16> = 100..=599;
const LONGEST: Duration = Duration::from_hours(1);

impl When {
    pub(super) fn read(node: &Node<'_>) -> Option<Self> {
        let object = node.object("status and min_duration")?;
        let status = object.get("status").map(|node| statuses(&node));
        let min_duration = object
            .get("min_duration")
            .map(|node| node.duration(Duration::from_millis(1)..=LONGEST));
        object.refuse_unknown();
        Some(Self {
            status: status.map(Option::unwrap_or_default),
            min_duration: min_duration.flatten(),
        })
    }

    /// Whether the exchange's duration matters.
    pub(crate) const fn is_timed(&self) -> bool {
        self.min_duration.is_some()
    }

    /// Whether an exchange that ended like this is kept. How long it took is asked only if it matters.
    pub(crate) fn keeps(&self, status: Option<u16>, took: impl FnOnce() -> Duration) -> bool {
        let status_fits = self.status.as_ref().is_none_or(|ranges| {
            status.is_some_and(|status| ranges.iter().any(|range| range.contains(&status)))
        });
        status_fits && self.min_duration.is_none_or(|least| took() >= least)
    }
}

fn statuses(node: &Node<'_>) -> Option<Vec<RangeInclusive<u16>>> {
    node.each(MAX_RANGES, "statuses", |node| {
        let range = range(node.value);
        if range.is_none() {
            node.expected("a status such as 404, or a range such as \"400-599\" or \"5xx\"");
        }
        range
    })
}

fn range(value: &Value) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| text.trim().parse().ok().filter(|it| STATUSES.contains(it));
    let Value::String(text) = value else {
        let status = u16::try_from(whole_number(value)?).ok()?;
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
    fn statuses_are_numbers_ranges_or_classes() {
        assert_eq!(range(&json!(404)), Some(404..=404));
        assert_eq!(range(&json!(404.0)), Some(404..=404));
        assert_eq!(range(&json!("404")), Some(404..=404));
        assert_eq!(range(&json!("400-599")), Some(400..=599));
        assert_eq!(range(&json!("5xx")), Some(500..=599));
        for wrong in [
            json!(99),
            json!(600),
            json!("599-400"),
            json!("6xx"),
            json!("xx"),
            json!("4x"),
            json!(null),
        ] {
            assert_eq!(range(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let slow = Duration::from_millis(500);
        let when = When {
            status: Some(vec![400..=499, 503..=503]),
            min_duration: Some(slow),
        };
        assert!(when.keeps(Some(404), || slow) && when.keeps(Some(503), || slow));
        assert!(!when.keeps(Some(500), || slow));
        assert!(!when.keeps(None, || slow));
        assert!(!when.keeps(Some(404), || slow / 2));
        assert!(When::default().keeps(None, || Duration::ZERO));
    }
}

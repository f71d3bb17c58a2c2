//! Instructions and hostcalls of an exchange under fixed configurations, compared with the numbers in counts.json:
//! a change that makes the filter slower fails a test.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dossier_repository::find_repository;
use serde_json::json;

use crate::error::EngineError;
use crate::filter::Filter;
use crate::keys::{self, plugin, recording};
use crate::traffic::Exchange;

/// Instructions or hostcalls of an exchange, by configuration.
pub type Counts = BTreeMap<String, u64>;

/// Instructions by the origin of the filter's standard library, and hostcalls under [`CALLS`], which do
/// not depend on that.
pub type CountTable = BTreeMap<String, Counts>;

/// The key of the hostcalls in a [`CountTable`].
pub const CALLS: &str = "calls";

/// By how many percent a number may exceed the expected one.
pub const TOLERANCE_PERCENT: u64 = 3;

/// Counts the instructions and hostcalls of an exchange.
///
/// # Errors
/// [`EngineError`] if the filter refuses a configuration or crashes.
pub fn measure(filter: &Filter) -> Result<CountTable, EngineError> {
    let redacting = json!({"redact": {
        "json": ["$.user.password"], "patterns": ["email", "credit_card"],
    }});
    let mut counted = CountTable::new();
    for (name, configuration) in [
        ("not matching", keys::unrecorded()),
        ("requests", recording(json!({"storage_type": "request"}))),
        ("responses", recording(json!({"storage_type": "response"}))),
        ("both", keys::minimal()),
        (
            "both, uncompressed",
            plugin(json!({"batch": {"compression": "none"}, "defaults": {"storage_type": "both"}})),
        ),
        (
            "both, by path",
            plugin(json!({"routes": [{
                "match": {"path": {"prefix": "/api/"}}, "capture": {"storage_type": "both"},
            }]})),
        ),
        ("both, redacted", recording(redacting)),
    ] {
        let cost = keys::measure_exchange(filter, &configuration, Exchange::json)?;
        for (of, number) in [
            (filter.standard_library(), cost.instructions),
            (CALLS, cost.calls),
        ] {
            let of = counted.entry(of.to_owned()).or_default();
            of.insert(name.to_owned(), number);
        }
    }
    Ok(counted)
}

/// The file of the expected numbers.
///
/// # Errors
/// [`EngineError::Repository`] if there is no repository.
pub fn find_file() -> Result<PathBuf, EngineError> {
    Ok(find_repository()?.join("tests/engine/counts.json"))
}

/// Reads the expected numbers.
///
/// # Errors
/// [`EngineError`] if the file cannot be read or is invalid.
pub fn read_expected() -> Result<CountTable, EngineError> {
    let path = find_file()?;
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|source| EngineError::Missing {
        path: path.clone(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| EngineError::Missing {
        path,
        source: source.into(),
    })
}

/// A line for each number that exceeds the tolerance or is new.
#[must_use]
pub fn find_regressions(expected: &Counts, now: &Counts) -> Vec<String> {
    let line = |(name, now): (&String, &u64)| {
        let expected = expected.get(name).copied().unwrap_or_default();
        let max = expected + expected * TOLERANCE_PERCENT / 100;
        (*now > max).then(|| format!("{name}: {now} instead of {expected}"))
    };
    now.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn reports_only_growth_over_tolerance() {
        let expected = counts(&[("a", 1000), ("b", 1000), ("c", 1000)]);
        let now = counts(&[("a", 1030), ("b", 1031), ("c", 10), ("d", 1)]);
        assert_eq!(
            find_regressions(&expected, &now),
            ["b: 1031 instead of 1000", "d: 1 instead of 0"]
        );
    }

    #[test]
    fn filter_takes_no_more_than_expected_counts() {
        let filter = Filter::load().unwrap();
        let expected = read_expected().unwrap();
        let mut regressions = Vec::new();
        for (of, now) in measure(&filter).unwrap() {
            let lines = find_regressions(&expected[&of], &now).into_iter();
            regressions.extend(lines.map(|line| format!("{of}: {line}")));
        }
        assert!(
            regressions.is_empty(),
            "the filter has become slower:\n{}\nIf that is intended, or due to another compiler, update the \
             numbers with `make bench-counts`.",
            regressions.join("\n")
        );
    }
}

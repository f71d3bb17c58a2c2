//! Instructions and calls of an exchange under a few fixed configurations, held against the numbers that are kept
//! beside the code: what makes the filter slower is seen in the change that does it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dossier_repository::find_repository;
use serde_json::json;

use crate::error::EngineError;
use crate::filter::Filter;
use crate::keys::{self, plugin, recording};
use crate::traffic::Exchange;

/// A number for each exchange, by what is done with it.
pub type Counts = BTreeMap<String, u64>;

/// What is written down: for each origin of the filter's standard library its own numbers, and under
/// [`CALLS`] how often the filter calls the proxy, which does not depend on that.
pub type Kept = BTreeMap<String, Counts>;

/// Stands for the calls into the proxy among [`Kept`].
pub const CALLS: &str = "calls";

/// By how much more a number may have grown, in percent, without being written anew.
pub const TOLERANCE_PERCENT: u64 = 3;

/// Counts them.
///
/// # Errors
/// [`EngineError`] if the filter refuses a configuration or crashes.
pub fn count(filter: &Filter) -> Result<Kept, EngineError> {
    let redacting = json!({"redact": {
        "json": ["$.user.password"], "patterns": ["email", "credit_card"],
    }});
    let mut counted = Kept::new();
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
        let spent = keys::spent(filter, &configuration, Exchange::json)?;
        for (of, number) in [
            (filter.standard_library(), spent.instructions),
            (CALLS, spent.calls),
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

/// Reads the file.
///
/// # Errors
/// [`EngineError`] if it cannot be read or understood.
pub fn kept() -> Result<Kept, EngineError> {
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

/// What has grown beyond the tolerance, or is not kept yet: a line each.
#[must_use]
pub fn grown(kept: &Counts, now: &Counts) -> Vec<String> {
    let line = |(name, now): (&String, &u64)| {
        let kept = kept.get(name).copied().unwrap_or_default();
        let most = kept + kept * TOLERANCE_PERCENT / 100;
        (*now > most).then(|| format!("{name}: {now} instead of {kept}"))
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
    fn growth_beyond_the_tolerance_is_told_and_less_is_welcome() {
        let kept = counts(&[("a", 1000), ("b", 1000), ("c", 1000)]);
        let now = counts(&[("a", 1030), ("b", 1031), ("c", 10), ("d", 1)]);
        assert_eq!(
            grown(&kept, &now),
            ["b: 1031 instead of 1000", "d: 1 instead of 0"]
        );
    }

    #[test]
    fn the_filter_takes_no_more_instructions_and_calls_than_are_written_down() {
        let filter = Filter::load().unwrap();
        let kept = kept().unwrap();
        let mut grown = Vec::new();
        for (of, now) in count(&filter).unwrap() {
            let lines = super::grown(&kept[&of], &now).into_iter();
            grown.extend(lines.map(|line| format!("{of}: {line}")));
        }
        assert!(
            grown.is_empty(),
            "the filter has become slower:\n{}\nIf that is worth it, or another compiler's doing, write the \
             numbers anew with `make bench-counts`.",
            grown.join("\n")
        );
    }
}

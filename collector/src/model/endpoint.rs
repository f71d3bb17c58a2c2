//! The form in which endpoints are stored and looked up: a leading slash, none at the end, none
//! doubled, no query, case kept. And which stored endpoint is meant by one that is not stored.

use std::borrow::Cow;

/// Brings an endpoint to its stored form. A text that is in it already is not copied.
#[must_use]
pub fn normalise(text: &str) -> Cow<'_, str> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if is_normal(path) {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len() + 1);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        normal.push('/');
        normal.push_str(segment);
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Cow::Owned(normal)
}

/// So many endpoints are named when none is meant for certain.
const NEAREST: usize = 5;

/// Which stored endpoint is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant<'a> {
    /// The very one.
    Itself,
    /// This one: it differs in case, or in the prefixes of an API.
    Other(&'a str),
    /// None for certain. These are the nearest, the nearest first.
    Unclear(Vec<&'a str>),
}

/// Finds what `wanted` means among stored endpoints, all in normal form.
#[must_use]
pub fn find<'a>(wanted: &str, stored: &'a [String]) -> Meant<'a> {
    if stored.iter().any(|endpoint| endpoint == wanted) {
        return Meant::Itself;
    }
    let folded = wanted.to_lowercase();
    let parts = Parts::of(&folded);
    let same_letters = |endpoint: &str| endpoint.to_lowercase() == folded;
    let same_rest = |endpoint: &str| Parts::of(&endpoint.to_lowercase()).may_mean(&parts);
    for is_alike in [&same_letters as &dyn Fn(&str) -> bool, &same_rest] {
        let mut alike = stored.iter().map(String::as_str).filter(|it| is_alike(it));
        match (alike.next(), alike.next()) {
            (None, _) => {}
            (Some(one), None) => return Meant::Other(one),
            (Some(first), Some(second)) => {
                let alike = [first, second].into_iter().chain(alike);
                return Meant::Unclear(alike.take(NEAREST).collect());
            }
        }
    }
    Meant::Unclear(nearest(&folded, stored))
}

fn nearest<'a>(folded: &str, stored: &'a [String]) -> Vec<&'a str> {
    let mut ranked: Vec<_> = stored
        .iter()
        .map(|it| {
            (
                strsim::jaro_winkler(folded, &it.to_lowercase()),
                it.as_str(),
            )
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranked.truncate(NEAREST);
    ranked.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// An endpoint without the prefixes `/api` and `/v1` to `/v9`, and the version that was among them.
struct Parts<'a> {
    version: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(folded: &'a str) -> Self {
        let rest = strip(folded, |first| first == "api").map_or(folded, |(_, rest)| rest);
        match strip(rest, is_version) {
            Some((version, rest)) => Self {
                version: Some(version),
                rest,
            },
            None => Self {
                version: None,
                rest,
            },
        }
    }

    /// A prefix may be missing on either side, but version 1 is not version 2.
    fn may_mean(&self, other: &Self) -> bool {
        let same_version = self.version.zip(other.version).is_none_or(|(a, b)| a == b);
        same_version && self.rest == other.rest
    }
}

/// Takes off the first segment if it is a prefix.
fn strip(path: &str, is_prefix: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let behind_slash = path.strip_prefix('/')?;
    let first = behind_slash.split('/').next()?;
    let rest = behind_slash.get(first.len()..)?;
    is_prefix(first).then_some((first, rest))
}

fn is_version(segment: &str) -> bool {
    matches!(segment.as_bytes(), [b'v', b'1'..=b'9'])
}

fn is_normal(path: &str) -> bool {
    path == "/" || (path.starts_with('/') && !path.ends_with('/') && !path.contains("//"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_an_endpoint_is_one() {
        for (given, normal) in [
            ("/api/v1/ai", "/api/v1/ai"),
            ("/api/v1/ai/", "/api/v1/ai"),
            ("api/v1/ai", "/api/v1/ai"),
            ("//api///v1/ai//", "/api/v1/ai"),
            ("/api/v1/ai?x=/1/", "/api/v1/ai"),
            ("/Api/V1", "/Api/V1"),
            ("", "/"),
            ("/", "/"),
            ("///", "/"),
            ("?q", "/"),
        ] {
            assert_eq!(normalise(given), normal, "{given}");
        }
    }

    fn stored(endpoints: &[&str]) -> Vec<String> {
        endpoints.iter().map(|&it| it.to_owned()).collect()
    }

    #[test]
    fn one_stored_endpoint_is_meant() {
        for (wanted, endpoints, meant) in [
            ("/x", &["/x", "/X", "/api/x"][..], Meant::Itself),
            ("/x", &["/X", "/api/x", "/y"], Meant::Other("/X")),
            (
                "/ai/chat",
                &["/api/v1/ai/chat", "/y"],
                Meant::Other("/api/v1/ai/chat"),
            ),
            ("/ai/chat", &["/v2/AI/chat"], Meant::Other("/v2/AI/chat")),
            ("/api/ai", &["/ai"], Meant::Other("/ai")),
            ("/api/v1/ai", &["/ai"], Meant::Other("/ai")),
            ("/api/v1/ai", &["/v1/ai"], Meant::Other("/v1/ai")),
            ("/api/v1/ai", &["/api/ai"], Meant::Other("/api/ai")),
            ("/v1/ai", &["/api/ai"], Meant::Other("/api/ai")),
            ("/", &["/api/v1"], Meant::Unclear(vec!["/api/v1"])),
        ] {
            assert_eq!(find(wanted, &stored(endpoints)), meant, "{wanted}");
        }
    }

    #[test]
    fn several_or_none_mean_none() {
        for (wanted, endpoints) in [
            ("/x", &["/y", "/v1/y"][..]),
            ("/XX", &["/xX", "/Xx"]),
            ("/x", &["/api/x", "/v1/x"]),
            ("/v2/x", &["/v1/x"]),
            ("/v10/x", &["/x"]),
            ("/apix", &["/x"]),
            ("/x", &["/v1/api/x"]),
            ("/x", &[]),
        ] {
            let all = stored(endpoints);
            let Meant::Unclear(nearest) = find(wanted, &all) else {
                panic!("{wanted} among {endpoints:?}");
            };
            assert_eq!(nearest.len(), endpoints.len(), "{wanted}");
        }
    }

    #[test]
    fn the_nearest_are_few_and_come_first() {
        let mut all: Vec<_> = (0..100).map(|number| format!("/zzz/{number}")).collect();
        all.push("/api/chats".to_owned());
        let Meant::Unclear(nearest) = find("/api/chat", &all) else {
            panic!("found")
        };
        assert_eq!((nearest.len(), nearest[0]), (NEAREST, "/api/chats"));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[/a?# é]{0,20}") {
            let once = normalise(&text).into_owned();
            prop_assert_eq!(normalise(&once), once.as_str());
        }
    }
}

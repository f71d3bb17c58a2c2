//! Endpoints: their normal form, in which they are stored and looked up (a leading slash, no trailing or
//! doubled one, no query, case preserved, its beginning if it is long), and the match of a requested endpoint with the
//! stored ones.

use std::borrow::Cow;

use dossier_wire::limits::MAX_ENDPOINT_BYTES;

/// Does not copy a text that is in normal form already.
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

/// What entries of this endpoint are filed under: its normal form, of which producers keep the beginning.
#[must_use]
pub fn filed_under(text: &str) -> Cow<'_, str> {
    let beginning = |path: &str| path.floor_char_boundary(MAX_ENDPOINT_BYTES);
    match normalise(text) {
        // The cut may have left a slash at the end.
        Cow::Borrowed(path) => normalise(path.get(..beginning(path)).unwrap_or(path)),
        Cow::Owned(mut path) => {
            path.truncate(beginning(&path));
            Cow::Owned(normalise(&path).into_owned())
        }
    }
}

/// How many endpoints are suggested when none matches.
const MAX_SUGGESTIONS: usize = 5;
/// Longer endpoints are not suggested: comparing two costs the product of their lengths.
const MAX_COMPARED_BYTES: usize = 128;

/// How a requested endpoint matches the stored ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointMatch<'a> {
    /// It is stored.
    Exact,
    /// Exactly one stored endpoint differs only in case, or in the prefixes of an API.
    Similar(&'a str),
    /// Several are similar, or none is. Holds the closest that are short enough to compare, best first.
    Ambiguous(Vec<&'a str>),
}

/// All endpoints must be in normal form.
#[must_use]
pub fn match_stored<'a>(wanted: &str, stored: &'a [String]) -> EndpointMatch<'a> {
    if stored.iter().any(|endpoint| endpoint == wanted) {
        return EndpointMatch::Exact;
    }
    let folded = wanted.to_lowercase();
    let parts = PathParts::of(&folded);
    let same_letters = |endpoint: &str| endpoint.to_lowercase() == folded;
    let same_rest =
        |endpoint: &str| PathParts::of(&endpoint.to_lowercase()).is_compatible_with(&parts);
    for is_similar in [&same_letters as &dyn Fn(&str) -> bool, &same_rest] {
        let mut similar = stored
            .iter()
            .map(String::as_str)
            .filter(|it| is_similar(it));
        match (similar.next(), similar.next()) {
            (None, _) => {}
            (Some(one), None) => return EndpointMatch::Similar(one),
            (Some(first), Some(second)) => {
                let similar = [first, second].into_iter().chain(similar);
                return EndpointMatch::Ambiguous(similar.take(MAX_SUGGESTIONS).collect());
            }
        }
    }
    EndpointMatch::Ambiguous(rank_by_similarity(&folded, stored))
}

fn rank_by_similarity<'a>(folded: &str, stored: &'a [String]) -> Vec<&'a str> {
    if folded.len() > MAX_COMPARED_BYTES {
        return Vec::new();
    }
    let mut ranked: Vec<_> = stored
        .iter()
        .filter(|it| it.len() <= MAX_COMPARED_BYTES)
        .map(|it| {
            (
                strsim::jaro_winkler(folded, &it.to_lowercase()),
                it.as_str(),
            )
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranked.truncate(MAX_SUGGESTIONS);
    ranked.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// An endpoint without the prefixes `/api` and `/v1` to `/v9`, and the version that was among them.
struct PathParts<'a> {
    version: Option<&'a str>,
    rest: &'a str,
}

impl<'a> PathParts<'a> {
    fn of(folded: &'a str) -> Self {
        let rest = split_prefix(folded, |first| first == "api").map_or(folded, |(_, rest)| rest);
        match split_prefix(rest, is_version) {
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

    /// A prefix may be absent on either side, but version 1 is not version 2.
    fn is_compatible_with(&self, other: &Self) -> bool {
        let same_version = self.version.zip(other.version).is_none_or(|(a, b)| a == b);
        same_version && self.rest == other.rest
    }
}

/// Splits the first segment off if it is a prefix.
fn split_prefix(path: &str, is_prefix: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let after_slash = path.strip_prefix('/')?;
    let first = after_slash.split('/').next()?;
    let rest = after_slash.get(first.len()..)?;
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
    fn normalise_maps_spellings_to_one_form() {
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

    #[test]
    fn long_endpoint_is_filed_under_its_beginning() {
        let long = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
        for (given, filed) in [
            ("/a//b/".to_owned(), "/a/b".to_owned()),
            (long(1024), long(1024)),
            (long(1025), long(1024)),
            (format!("{}/more", long(1023)), long(1023)),
            (format!("/{}/more", long(1023)), long(1023)),
            (format!("{}é", long(1023)), long(1023)),
        ] {
            assert_eq!(filed_under(&given), filed);
        }
    }

    fn stored(endpoints: &[&str]) -> Vec<String> {
        endpoints.iter().map(|&it| it.to_owned()).collect()
    }

    #[test]
    fn matches_one_similar_endpoint() {
        for (wanted, endpoints, meant) in [
            ("/x", &["/x", "/X", "/api/x"][..], EndpointMatch::Exact),
            ("/x", &["/X", "/api/x", "/y"], EndpointMatch::Similar("/X")),
            (
                "/ai/chat",
                &["/api/v1/ai/chat", "/y"],
                EndpointMatch::Similar("/api/v1/ai/chat"),
            ),
            (
                "/ai/chat",
                &["/v2/AI/chat"],
                EndpointMatch::Similar("/v2/AI/chat"),
            ),
            ("/api/ai", &["/ai"], EndpointMatch::Similar("/ai")),
            ("/api/v1/ai", &["/ai"], EndpointMatch::Similar("/ai")),
            ("/api/v1/ai", &["/v1/ai"], EndpointMatch::Similar("/v1/ai")),
            (
                "/api/v1/ai",
                &["/api/ai"],
                EndpointMatch::Similar("/api/ai"),
            ),
            ("/v1/ai", &["/api/ai"], EndpointMatch::Similar("/api/ai")),
            ("/", &["/api/v1"], EndpointMatch::Ambiguous(vec!["/api/v1"])),
        ] {
            assert_eq!(match_stored(wanted, &stored(endpoints)), meant, "{wanted}");
        }
    }

    #[test]
    fn several_or_no_similar_endpoints_are_ambiguous() {
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
            let EndpointMatch::Ambiguous(nearest) = match_stored(wanted, &all) else {
                panic!("{wanted} among {endpoints:?}");
            };
            assert_eq!(nearest.len(), endpoints.len(), "{wanted}");
        }
    }

    #[test]
    fn suggestions_are_bounded_and_closest_first() {
        let mut all: Vec<_> = (0..100).map(|number| format!("/zzz/{number}")).collect();
        all.push("/api/chats".to_owned());
        let EndpointMatch::Ambiguous(nearest) = match_stored("/api/chat", &all) else {
            panic!("found")
        };
        assert_eq!((nearest.len(), nearest[0]), (MAX_SUGGESTIONS, "/api/chats"));
    }

    #[test]
    fn long_endpoints_are_not_compared() {
        let path = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
        let stored = [path(MAX_COMPARED_BYTES), path(MAX_COMPARED_BYTES + 1)];
        for (wanted, nearest) in [
            ("/y".to_owned(), vec![stored[0].as_str()]),
            (path(MAX_COMPARED_BYTES + 2), vec![]),
        ] {
            let found = match_stored(&wanted, &stored);
            assert_eq!(found, EndpointMatch::Ambiguous(nearest));
        }
    }

    proptest! {
        #[test]
        fn normalise_is_idempotent(text in "[/a?# é]{0,20}") {
            let once = normalise(&text).into_owned();
            prop_assert_eq!(normalise(&once), once.as_str());
        }
    }
}

//! The form in which endpoints are stored and looked up: a leading slash, none at the end, none
//! doubled, no query, case kept.

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

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[/a?# é]{0,20}") {
            let once = normalise(&text).into_owned();
            prop_assert_eq!(normalise(&once), once.as_str());
        }
    }
}

//! Globs: patterns in which `*` stands for any run of characters, including none.

/// Compiled to the texts between the stars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    pieces: Vec<Box<[u8]>>,
}

/// Limits the work: each star costs a search.
const MAX_STARS: usize = 8;

impl Glob {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let pieces: Vec<_> = text
            .split('*')
            .map(|piece| piece.as_bytes().into())
            .collect();
        (!text.is_empty() && pieces.len() <= MAX_STARS + 1).then_some(Self { pieces })
    }

    /// For matching lower-case texts.
    pub(super) fn to_lowercase(&self) -> Self {
        let lower = |piece: &[u8]| piece.to_ascii_lowercase().into();
        Self {
            pieces: self.pieces.iter().map(|piece| lower(piece)).collect(),
        }
    }

    /// Matches the whole text.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return text == &**first;
        };
        // The ends are fixed, and each piece between them is matched at its first occurrence: if any
        // choice matches, that one does.
        let Some(mut text) = text
            .strip_prefix(&**first)
            .and_then(|text| text.strip_suffix(&**last))
        else {
            return false;
        };
        for piece in middle {
            match after_first(text, piece) {
                Some(rest) => text = rest,
                None => return false,
            }
        }
        true
    }
}

/// The text after the first occurrence of a piece.
fn after_first<'t>(text: &'t [u8], piece: &[u8]) -> Option<&'t [u8]> {
    (0..=text.len())
        .filter_map(|start| text.get(start..))
        .find_map(|rest| rest.strip_prefix(piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn star_matches_any_run() {
        for (glob, text, fits) in [
            ("ai-*", "ai-chat", true),
            ("ai-*", "ai-", true),
            ("ai-*", "xai-chat", false),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "example.com", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**b", "ab", true),
            ("plain", "plain", true),
            ("plain", "plain2", false),
        ] {
            let glob = Glob::parse(glob).unwrap();
            assert_eq!(glob.matches(text.as_bytes()), fits, "{glob:?} {text}");
        }
    }

    #[test]
    fn rejects_too_many_stars() {
        assert!(Glob::parse("").is_none());
        assert!(Glob::parse(&"a*".repeat(MAX_STARS)).is_some());
        assert!(Glob::parse(&"a*".repeat(MAX_STARS + 1)).is_none());
    }
}

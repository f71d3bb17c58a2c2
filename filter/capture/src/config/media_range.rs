//! The key `content_types`: ranges such as `application/json`, `text/*`, `*/*`.

use dossier_content::media_type::MediaType;

use super::reader::ConfigNode;

/// A media type, possibly with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaRange {
    /// None matches any.
    kind: Option<String>,
    /// None matches any.
    subtype: Option<String>,
}

const MAX_RANGES: usize = 32;
const MAX_RANGE_BYTES: usize = 128;

impl MediaRange {
    fn parse(text: &str) -> Option<Self> {
        let (kind, subtype) = text.split_once('/')?;
        let named = |part: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !part.is_empty() && part.bytes().all(allowed)
        };
        let part = |part: &str| (part != "*").then(|| part.to_ascii_lowercase());
        let sound =
            (kind == "*" && subtype == "*") || named(kind) && (subtype == "*" || named(subtype));
        (sound && text.len() <= MAX_RANGE_BYTES).then(|| Self {
            kind: part(kind),
            subtype: part(subtype),
        })
    }

    /// Parameters of the content type are ignored.
    pub(crate) fn contains(&self, content_type: Option<&str>) -> bool {
        let (kind, subtype) = MediaType::parse(content_type).parts().unwrap_or_default();
        let fits = |wanted: &Option<String>, given: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(given))
        };
        fits(&self.kind, kind) && fits(&self.subtype, subtype)
    }
}

pub(super) fn read_ranges(node: &ConfigNode<'_>) -> Option<Vec<MediaRange>> {
    node.read_each(MAX_RANGES, "content types", |node| {
        let range = node.value.as_str().and_then(MediaRange::parse);
        if range.is_none() {
            node.report_expected(
                "a content type such as \"application/json\", \"text/*\" or \"*/*\"",
            );
        }
        range
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn matching_ignores_case_and_parameters() {
        let json = MediaRange::parse("application/JSON").unwrap();
        assert!(json.contains(Some("Application/json; charset=utf-8")));
        assert!(!json.contains(Some("application/jsonl")));
        assert!(!json.contains(None));
        let text = MediaRange::parse("text/*").unwrap();
        assert!(text.contains(Some("text/event-stream")));
        assert!(!text.contains(Some("text")));
        let all = MediaRange::parse("*/*").unwrap();
        assert!(all.contains(None) && all.contains(Some("nonsense")));
    }

    #[test]
    fn rejects_invalid_range() {
        for wrong in ["", "json", "*/json", "text/", "/plain", "a/b; c=d"] {
            assert_eq!(MediaRange::parse(wrong), None, "{wrong}");
        }
        assert_eq!(MediaRange::parse(&format!("a/{}", "b".repeat(127))), None);
    }
}

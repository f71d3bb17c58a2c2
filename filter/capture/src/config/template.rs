//! Path templates such as `/users/{id}/orders`: a name in braces matches one segment.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(Box<[u8]>),
    Any,
}

impl Template {
    /// None if braces do not enclose whole segments with names of letters, digits and underscores.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let inside = text.strip_prefix('/')?;
        let segments = inside.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(Segment::parse).collect::<Option<Vec<_>>>()?;
        Some(Self { segments })
    }

    /// Repeated and trailing slashes are ignored, as in [`crate::text::normalize_path`].
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let mut given = path.split(|byte| *byte == b'/').filter(|it| !it.is_empty());
        let fits = self.segments.iter().all(|segment| {
            given.next().is_some_and(|given| match segment {
                Segment::Text(text) => **text == *given,
                Segment::Any => true,
            })
        });
        fits && given.next().is_none()
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        if !text.contains(['{', '}']) {
            return Some(Self::Text(text.as_bytes().into()));
        }
        let name = text.strip_prefix('{')?.strip_suffix('}')?;
        let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        (!name.is_empty() && name.bytes().all(named)).then_some(Self::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn name_in_braces_matches_one_segment() {
        let template = Template::parse("/users/{id}/orders").unwrap();
        for (path, fits) in [
            ("/users/7/orders", true),
            ("//users/7/orders/", true),
            ("/users/7", false),
            ("/users/7/8/orders", false),
            ("/users//orders", false),
            ("/users/7/orders/1", false),
            ("/Users/7/orders", false),
        ] {
            assert_eq!(template.matches(path.as_bytes()), fits, "{path}");
        }
        assert!(Template::parse("/").unwrap().matches(b"/"));
    }

    #[test]
    fn rejects_braces_inside_segment() {
        for wrong in [
            "users/{id}",
            "/users/{}",
            "/users/{id",
            "/a{id}",
            "/{a b}",
            "/{{id}}",
        ] {
            assert_eq!(Template::parse(wrong), None, "{wrong}");
        }
    }
}

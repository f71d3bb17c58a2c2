//! A value in a document and its path.

use serde_json::{Map, Value};

/// A value with its path.
#[derive(Debug, Clone)]
pub(super) struct Node<'v> {
    pub(super) value: &'v Value,
    /// Such as `spec.pluginConfig`; empty for the document itself.
    pub(super) path: String,
}

impl<'v> Node<'v> {
    pub(super) const fn document(value: &'v Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    /// The value of a key, which Envoy takes as written here or in lowerCamelCase.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let map = self.map()?;
        let camel = camel_case(key);
        let written = if map.contains_key(key) { key } else { &camel };
        map.get(written).map(|value| self.child(written, value))
    }

    /// The value at a path of keys.
    pub(super) fn find(&self, keys: &[&str]) -> Option<Self> {
        keys.iter()
            .try_fold(self.clone(), |node, key| node.get(key))
    }

    /// Whether the object has a key, in either spelling.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The text value of a key.
    pub(super) fn text(&self, key: &str) -> Option<&'v str> {
        self.get(key)?.value.as_str()
    }

    /// Whether the value is an object of this type.
    pub(super) fn is_of_type(&self, name: &str) -> bool {
        self.text("@type").is_some_and(|url| is_type(url, name))
    }

    /// The items of a list; none if it is no list.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'v> {
        let path = self.path.clone();
        let items = self.value.as_array().into_iter().flatten();
        items.enumerate().map(move |(index, value)| Self {
            value,
            path: format!("{path}[{index}]"),
        })
    }

    /// The values of an object; none if it is no object.
    pub(super) fn fields(&self) -> impl Iterator<Item = Self> {
        let fields = self.map().into_iter().flatten();
        fields.map(|(key, value)| self.child(key, value))
    }

    fn map(&self) -> Option<&'v Map<String, Value>> {
        self.value.as_object()
    }

    fn child(&self, key: &str, value: &'v Value) -> Self {
        Self {
            value,
            path: join(&self.path, key),
        }
    }
}

/// Whether the URL of a type, such as `type.googleapis.com/google.protobuf.Struct`, names this type.
pub(super) fn is_type(url: &str, name: &str) -> bool {
    url.rsplit('/').next() == Some(name)
}

/// The path of a key in the object at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn camel_case(key: &str) -> String {
    let mut camel = String::with_capacity(key.len());
    let mut raise = false;
    for letter in key.chars() {
        if letter == '_' {
            raise = true;
        } else if raise {
            camel.push(letter.to_ascii_uppercase());
            raise = false;
        } else {
            camel.push(letter);
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_found_in_both_spellings() {
        let value = json!({"vmConfig": {"vm_id": "x"}, "list": [{"a": 1}]});
        let root = Node::document(&value);
        let id = root.find(&["vm_config", "vm_id"]).unwrap();
        assert_eq!(
            (id.path.as_str(), id.value),
            ("vmConfig.vm_id", &json!("x"))
        );
        assert!(root.find(&["vm_config", "missing"]).is_none());
        let first = root.get("list").unwrap().items().next().unwrap();
        assert_eq!(first.get("a").unwrap().path, "list[0].a");
    }

    #[test]
    fn types_are_recognized_by_url_suffix() {
        assert!(is_type("type.googleapis.com/a.b.C", "a.b.C"));
        assert!(is_type("a.b.C", "a.b.C"));
        assert!(!is_type("type.googleapis.com/x.a.b.C", "a.b.C"));
    }
}

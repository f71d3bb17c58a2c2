//! Which fields of a record hold only the beginning of what was sent.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::{IntoStaticStr, VariantArray};

/// A field that a producer may cut.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[repr(u8)]
pub enum TruncatedField {
    /// [`Record::endpoint`](crate::Record::endpoint).
    Endpoint,
    /// [`Record::method`](crate::Record::method).
    Method,
    /// [`Record::path`](crate::Record::path).
    Path,
    /// [`Record::query`](crate::Record::query).
    Query,
    /// [`Record::host`](crate::Record::host).
    Host,
    /// [`Record::route`](crate::Record::route).
    Route,
    /// A value of [`Record::metadata`](crate::Record::metadata).
    Metadata,
    /// [`Record::content_type`](crate::Record::content_type).
    ContentType,
    /// [`Record::content_encoding`](crate::Record::content_encoding).
    ContentEncoding,
    /// A value of [`Record::headers`](crate::Record::headers), or their number.
    Headers,
    /// A value of [`Record::trailers`](crate::Record::trailers), or their number.
    Trailers,
    /// [`Record::response_details`](crate::Record::response_details).
    ResponseDetails,
    /// [`Record::upstream_host`](crate::Record::upstream_host).
    UpstreamHost,
    /// [`Record::request_id`](crate::Record::request_id).
    RequestId,
    /// [`Record::traceparent`](crate::Record::traceparent).
    Traceparent,
}

/// A set of fields, in JSON a list. It is a number, so that an exchange of which nothing was cut costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TruncatedFields(u16);

impl TruncatedFields {
    /// Adds a field.
    pub const fn insert(&mut self, field: TruncatedField) {
        self.0 |= Self::bit(field);
    }

    /// Adds a field if it was cut.
    pub const fn insert_if(&mut self, truncated: bool, field: TruncatedField) {
        if truncated {
            self.insert(field);
        }
    }

    /// The fields of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing was cut.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The fields, in the order of [`TruncatedField`].
    pub fn iter(self) -> impl Iterator<Item = TruncatedField> {
        let is_contained = move |field: &TruncatedField| self.0 & Self::bit(*field) != 0;
        TruncatedField::VARIANTS
            .iter()
            .copied()
            .filter(is_contained)
    }

    const fn bit(field: TruncatedField) -> u16 {
        1 << field as u8
    }
}

impl FromIterator<TruncatedField> for TruncatedFields {
    fn from_iter<I: IntoIterator<Item = TruncatedField>>(fields: I) -> Self {
        let mut all = Self::default();
        fields.into_iter().for_each(|field| all.insert(field));
        all
    }
}

impl Serialize for TruncatedFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for TruncatedFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

const _: () = assert!(TruncatedField::VARIANTS.len() <= u16::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_is_a_list_of_names() {
        let all: TruncatedFields = TruncatedField::VARIANTS.iter().copied().collect();
        assert_eq!(all.iter().count(), TruncatedField::VARIANTS.len());
        let two: TruncatedFields =
            serde_json::from_str(r#"["query", "content_type", "query"]"#).unwrap();
        let text = serde_json::to_string(&two).unwrap();
        assert_eq!(text, r#"["query","content_type"]"#);
        assert_eq!(two.union(all), all);
        assert!(TruncatedFields::default().is_empty() && !two.is_empty());
    }

    #[test]
    fn unknown_name_is_refused() {
        for text in [r#"["body"]"#, r#""query""#, "[1]", "null"] {
            assert!(serde_json::from_str::<TruncatedFields>(text).is_err());
        }
    }
}

//! The id of a W3C trace.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// 16 bytes, not all zero; as text, 32 hex digits. Postgres stores it as a `uuid`, which it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(Uuid);

/// Why a text is not the id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of a trace: 32 hex digits, not all zero")]
pub struct InvalidTraceId;

impl TraceId {
    const DIGITS: usize = 32;

    /// Of the header `traceparent`: `VERSION-TRACE-PARENT-FLAGS`.
    #[must_use]
    pub fn of_traceparent(traceparent: &str) -> Option<Self> {
        traceparent.split('-').nth(1)?.parse().ok()
    }

    /// For the database.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl FromStr for TraceId {
    type Err = InvalidTraceId;

    fn from_str(text: &str) -> Result<Self, InvalidTraceId> {
        // A UUID has other spellings, which are longer.
        if text.len() != Self::DIGITS {
            return Err(InvalidTraceId);
        }
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() => Ok(Self(id)),
            _ => Err(InvalidTraceId),
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_is_taken_out_of_traceparent() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let traceparent = format!("00-{id}-b7ad6b7169203331-01");
        let found = TraceId::of_traceparent(&traceparent).unwrap();
        assert_eq!(found.to_string(), id);
        assert_eq!(id.to_uppercase().parse(), Ok(found));
        for other in [
            "",
            "00",
            "00-xyz-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-{0af76519-16cd-43dd-8448-eb211c80319c}-1-01",
        ] {
            assert_eq!(TraceId::of_traceparent(other), None, "{other}");
        }
    }
}

//! Typical JSON bodies, all different, so that they compress as real ones do.

use serde_json::{Value, json};

/// Bodies of one size.
#[derive(Debug)]
pub(crate) struct Bodies(Vec<Vec<u8>>);

/// Different bodies of each size: enough that batches do not repeat themselves much.
const KINDS: u64 = 256;
/// The size of a body without its text.
const FRAME_BYTES: usize = 265;
const WORDS: [&str; 32] = [
    "order",
    "bicycle",
    "please",
    "the",
    "delivery",
    "of",
    "my",
    "wheel",
    "arrived",
    "with",
    "a",
    "broken",
    "spoke",
    "yesterday",
    "and",
    "refund",
    "would",
    "like",
    "to",
    "know",
    "when",
    "replacement",
    "can",
    "be",
    "sent",
    "address",
    "has",
    "changed",
    "since",
    "invoice",
    "number",
    "customer",
];

impl Bodies {
    /// Bodies of about this size; empty ones for 0.
    pub(crate) fn generate(bytes: usize) -> Self {
        let body = |number| match bytes {
            0 => Vec::new(),
            _ => body(number, bytes.saturating_sub(FRAME_BYTES))
                .to_string()
                .into_bytes(),
        };
        Self((0..KINDS).map(body).collect())
    }

    /// The body for the request with this number.
    pub(crate) fn get(&self, number: u64) -> &[u8] {
        let index = usize::try_from(number % KINDS).unwrap_or_default();
        self.0.get(index).map_or(&[], Vec::as_slice)
    }
}

fn body(number: u64, text_bytes: usize) -> Value {
    json!({
        "id": format!("chatcmpl-{:016x}", scramble(number)),
        "model": "gpt-4",
        "temperature": 0.7,
        "user": {"name": format!("Customer {number}"), "email": format!("c{number}@example.com"),
                 "password": format!("hunter-{number}"), "card": "4111 1111 1111 1111"},
        "messages": [{"role": "user", "content": text(number, text_bytes)}],
        "usage": {"prompt_tokens": 60 + number % 90, "total_tokens": 210 + number % 90},
    })
}

fn text(number: u64, bytes: usize) -> String {
    let (mut state, mut text) = (number, String::with_capacity(bytes + 16));
    while text.len() < bytes {
        state = scramble(state);
        let word = usize::try_from(state >> 59).unwrap_or_default();
        text.push_str(WORDS.get(word).unwrap_or(&"?"));
        text.push(' ');
    }
    text
}

/// Knuth's MMIX generator.
const fn scramble(state: u64) -> u64 {
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generates_different_bodies_of_requested_size() {
        assert_eq!(Bodies::generate(0).get(7), b"");
        for bytes in [1 << 10, 16 << 10, 256 << 10] {
            let bodies = Bodies::generate(bytes);
            let length = bodies.get(3).len();
            assert!(length.abs_diff(bytes) < 64, "{length} of {bytes}");
            assert_ne!(bodies.get(3), bodies.get(4));
        }
    }
}

//! Generates bodies as services send them, partly alike and partly different.
//!
//! Words are drawn one by one, as often as they occur in Dossier's documentation, so that no phrase
//! repeats. Numbers, ids and times are drawn for each body. Products come from a catalogue, and a customer
//! has the same name and address in all orders.

use std::fmt::Write as _;
use std::sync::LazyLock;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

/// The kind of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A customer with address, and a list of products with prices.
    Orders,
    /// A model's answer, at least half of which is text.
    Chat,
}

const PRODUCTS: u64 = 2000;
const FIRST_NAMES: &str = "Anna Ben Clara David Elif Felix Greta Hugo Ines Jonas Katja Liam Mara Noah Olga Paul Rosa Samir Tara Umut";
const LAST_NAMES: &str = "Adler Brandt Costa Dubois Eriksen Fischer Garcia Hansen Ivanov Jansen Kaya Lorenz Meyer Novak Olsen Petrov";
const CITIES: &str =
    "Berlin Hamburg Wien Paris Madrid Lisboa Oslo Praha Milano Warszawa Gent Basel";

static WORDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let text = concat!(
        include_str!("../../../../../docs/configuration.md"),
        include_str!("../../../../../docs/operations.md"),
        include_str!("../../../../../docs/security.md"),
        include_str!("../../../../../docs/architecture.md"),
    );
    let words = text.split(|sign: char| !sign.is_ascii_alphabetic());
    words.filter(|word| !word.is_empty()).collect()
});

fn choose(rng: &mut SmallRng, words: &'static str) -> &'static str {
    words.split(' ').choose(rng).unwrap_or_default()
}

fn draw_word(rng: &mut SmallRng) -> &'static str {
    WORDS.choose(rng).copied().unwrap_or_default()
}

fn draw_words(rng: &mut SmallRng, count: usize) -> String {
    let words: Vec<_> = (0..count).map(|_| draw_word(rng)).collect();
    words.join(" ")
}

fn draw_time(rng: &mut SmallRng) -> String {
    let mut below = |limit| rng.random_range(0..limit);
    let (day, hour, minute) = (1 + below(28), below(24), below(60));
    let (second, milli) = (below(60), below(1000));
    format!("2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A body of about this size, for the user with this number.
pub(crate) fn generate_body(kind: Kind, bytes: usize, user: u64, rng: &mut SmallRng) -> String {
    let mut body = match kind {
        Kind::Orders => order(bytes, user, rng),
        Kind::Chat => chat(rng),
    };
    let end = match kind {
        Kind::Orders => "\"}",
        Kind::Chat => "\"}}]}",
    };
    while body.len() + end.len() + 8 < bytes {
        body.push_str(draw_word(rng));
        body.push(' ');
    }
    body + end
}

fn order(bytes: usize, user: u64, rng: &mut SmallRng) -> String {
    let (created, status) = (
        draw_time(rng),
        choose(rng, "pending paid shipped cancelled refunded"),
    );
    let mut order = format!(
        r#"{{"id":"{}","object":"order","created_at":"{created}","status":"{status}","currency":"EUR","customer":{}"#,
        uuid::Uuid::from_u128(rng.random()),
        customer(user),
    );
    let (amount, cents) = (rng.random_range(0..900), rng.random_range(0..100));
    // Writing to a string cannot fail.
    let _ = write!(order, r#","total_amount":{amount}.{cents:02},"items":["#);
    let mut comma = "";
    while order.len() + 170 < bytes {
        order.push_str(comma);
        item(&mut order, rng);
        comma = ",";
    }
    order.push_str(r#"],"notes":""#);
    order
}

/// The same for all of their orders.
fn customer(user: u64) -> String {
    let mut rng = SmallRng::seed_from_u64(user);
    let (first, last) = (choose(&mut rng, FIRST_NAMES), choose(&mut rng, LAST_NAMES));
    let (street, number, code) = (
        draw_word(&mut rng),
        rng.random_range(0..200),
        rng.random_range(0..100_000),
    );
    format!(
        r#"{{"id":"cus_{:014x}","name":"{first} {last}","email":"{}.{}{}@example.com","loyalty_points":{},"address":{{"street":"{street} {number}","postal_code":"{code:05}","city":"{}","country":"{}"}}}}"#,
        rng.random::<u64>() >> 8,
        first.to_lowercase(),
        last.to_lowercase(),
        rng.random_range(0..100),
        rng.random_range(0..9000),
        choose(&mut rng, CITIES),
        choose(&mut rng, "DE AT FR ES PT NO CZ IT PL BE CH"),
    )
}

/// Some products are bought more often than others.
fn item(order: &mut String, rng: &mut SmallRng) {
    let number = rng.random_range(0..PRODUCTS) * rng.random_range(0..PRODUCTS) / PRODUCTS;
    let mut product = SmallRng::seed_from_u64(number + 1_000_000);
    let words = product.random_range(2..5);
    let _ = write!(
        order,
        r#"{{"sku":"{}-{:05}","title":"{}","quantity":{},"unit_price":{}.{:02},"discount_percent":{},"tax_rate":{},"warehouse_id":"wh-{}","in_stock":{}}}"#,
        choose(&mut product, "TX HM EL BK GR"),
        product.random_range(0..100_000),
        draw_words(&mut product, words),
        rng.random_range(1..=5),
        product.random_range(0..300),
        product.random_range(0..100),
        choose(rng, "0 5 10 15"),
        choose(&mut product, "0.19 0.07"),
        rng.random_range(0..20),
        choose(rng, "true false"),
    );
}

fn chat(rng: &mut SmallRng) -> String {
    let (prompt, completion) = (rng.random_range(0..4000), rng.random_range(0..4000));
    format!(
        r#"{{"id":"chatcmpl-{:016x}{:08x}","object":"chat.completion","created":17{:08},"model":"{}","usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0}}}},"service_tier":"default","choices":[{{"index":0,"logprobs":null,"finish_reason":"stop","message":{{"role":"assistant","refusal":null,"content":""#,
        rng.random::<u64>(),
        rng.random::<u64>() >> 32,
        rng.random_range(0..100_000_000),
        choose(rng, "gpt-4 gpt-4o-mini"),
        prompt + completion,
        rng.random_range(0..500),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generates_different_json_of_requested_size() {
        let mut rng = SmallRng::seed_from_u64(1);
        for kind in [Kind::Orders, Kind::Chat] {
            for bytes in [1024, 4096] {
                let (one, other) = (
                    generate_body(kind, bytes, 7, &mut rng),
                    generate_body(kind, bytes, 7, &mut rng),
                );
                assert_ne!(one, other);
                assert!(one.len().abs_diff(bytes) < 64, "{} of {bytes}", one.len());
                serde_json::from_str::<serde_json::Value>(&one).unwrap();
            }
        }
    }
}

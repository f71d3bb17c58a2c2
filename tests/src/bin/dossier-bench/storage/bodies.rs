//! Bodies as services send them: much that is the same in all, and much that is not.
//!
//! Words are drawn one by one, each as often as it stands in Dossier's own documentation, so that there
//! is no phrase to find again. Numbers, ids and times are drawn anew for each body. Products come from a
//! catalogue, and a customer has their name and address in all of their orders.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// What a body tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A customer with address, and a list of products with prices.
    Orders,
    /// A model's answer: half of the body, or more, is running text.
    Chat,
}

/// Numbers that look random and are the same in each run: the generator "splitmix64".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random(pub(crate) u64);

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

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below this number, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_of(&mut self, words: &'static str) -> &'static str {
        let count = words.split(' ').count() as u64;
        let place = usize::try_from(self.below(count)).unwrap_or(0);
        words.split(' ').nth(place).unwrap_or_default()
    }

    fn word(&mut self) -> &'static str {
        let place = self.below(WORDS.len().max(1) as u64);
        let word = WORDS.get(usize::try_from(place).unwrap_or(0));
        word.copied().unwrap_or_default()
    }

    fn words(&mut self, count: u64) -> String {
        let words: Vec<_> = (0..count).map(|_| self.word()).collect();
        words.join(" ")
    }

    fn time(&mut self) -> String {
        let (day, hour, minute) = (1 + self.below(28), self.below(24), self.below(60));
        let (second, milli) = (self.below(60), self.below(1000));
        format!("2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// A body of about so many bytes, for the user of this number.
pub(crate) fn body(kind: Kind, bytes: usize, user: u64, random: &mut Random) -> String {
    let mut body = match kind {
        Kind::Orders => order(bytes, user, random),
        Kind::Chat => chat(random),
    };
    let end = match kind {
        Kind::Orders => "\"}",
        Kind::Chat => "\"}}]}",
    };
    while body.len() + end.len() + 8 < bytes {
        body.push_str(random.word());
        body.push(' ');
    }
    body + end
}

fn order(bytes: usize, user: u64, random: &mut Random) -> String {
    let id = (u128::from(random.next()) << 64) | u128::from(random.next());
    let (created, status) = (
        random.time(),
        random.one_of("pending paid shipped cancelled refunded"),
    );
    let mut order = format!(
        r#"{{"id":"{}","object":"order","created_at":"{created}","status":"{status}","currency":"EUR","customer":{}"#,
        uuid::Uuid::from_u128(id),
        customer(user),
    );
    let (amount, cents) = (random.below(900), random.below(100));
    // Writing to a string cannot fail.
    let _ = write!(order, r#","total_amount":{amount}.{cents:02},"items":["#);
    let mut comma = "";
    while order.len() + 170 < bytes {
        order.push_str(comma);
        item(&mut order, random);
        comma = ",";
    }
    order.push_str(r#"],"notes":""#);
    order
}

/// The same for all of their orders.
fn customer(user: u64) -> String {
    let mut random = Random(user);
    let (first, last) = (random.one_of(FIRST_NAMES), random.one_of(LAST_NAMES));
    let (street, number, code) = (random.word(), random.below(200), random.below(100_000));
    format!(
        r#"{{"id":"cus_{:014x}","name":"{first} {last}","email":"{}.{}{}@example.com","loyalty_points":{},"address":{{"street":"{street} {number}","postal_code":"{code:05}","city":"{}","country":"{}"}}}}"#,
        random.next() >> 8,
        first.to_lowercase(),
        last.to_lowercase(),
        random.below(100),
        random.below(9000),
        random.one_of(CITIES),
        random.one_of("DE AT FR ES PT NO CZ IT PL BE CH"),
    )
}

/// Some products are bought more often than others.
fn item(order: &mut String, random: &mut Random) {
    let number = random.below(PRODUCTS) * random.below(PRODUCTS) / PRODUCTS;
    let mut product = Random(number + 1_000_000);
    let words = 2 + product.below(3);
    let _ = write!(
        order,
        r#"{{"sku":"{}-{:05}","title":"{}","quantity":{},"unit_price":{}.{:02},"discount_percent":{},"tax_rate":{},"warehouse_id":"wh-{}","in_stock":{}}}"#,
        product.one_of("TX HM EL BK GR"),
        product.below(100_000),
        product.words(words),
        1 + random.below(5),
        product.below(300),
        product.below(100),
        random.one_of("0 5 10 15"),
        product.one_of("0.19 0.07"),
        random.below(20),
        random.one_of("true false"),
    );
}

fn chat(random: &mut Random) -> String {
    let (prompt, completion) = (random.below(4000), random.below(4000));
    format!(
        r#"{{"id":"chatcmpl-{:016x}{:08x}","object":"chat.completion","created":17{:08},"model":"{}","usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0}}}},"service_tier":"default","choices":[{{"index":0,"logprobs":null,"finish_reason":"stop","message":{{"role":"assistant","refusal":null,"content":""#,
        random.next(),
        random.next() >> 32,
        random.below(100_000_000),
        random.one_of("gpt-4 gpt-4o-mini"),
        prompt + completion,
        random.below(500),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_about_the_size_asked_for_and_differ() {
        let mut random = Random(1);
        for kind in [Kind::Orders, Kind::Chat] {
            for bytes in [1024, 4096] {
                let (one, other) = (
                    body(kind, bytes, 7, &mut random),
                    body(kind, bytes, 7, &mut random),
                );
                assert_ne!(one, other);
                assert!(one.len().abs_diff(bytes) < 64, "{} of {bytes}", one.len());
                serde_json::from_str::<serde_json::Value>(&one).unwrap();
            }
        }
    }
}

//! Email addresses: a local part, an @, a domain with a dot.

use std::ops::Range;

use memchr::{memchr_iter, memrchr};

use super::bytes::{count_leading, slice};

pub(super) fn find(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    // A local part does not reach back over an earlier @, so no byte is read twice.
    let mut from = 0;
    for at in memchr_iter(b'@', text) {
        let before = slice(text, from..at);
        from = at + 1;
        let local = before.iter().rev().take_while(|byte| is_local(**byte));
        let local = slice(text, at - local.count()..at);
        let marks = count_leading(local, |byte| matches!(byte, b'.' | b'\'' | b'-'));
        let rest = text.get(from..).unwrap_or_default();
        let domain = match_domain(slice(rest, 0..count_leading(rest, is_domain)));
        if marks < local.len() && domain > 0 {
            found(at - (local.len() - marks)..from + domain);
        }
    }
}

/// Letters of any script, and the punctuation of real addresses.
fn is_local(byte: u8) -> bool {
    is_domain(byte) || matches!(byte, b'_' | b'+' | b'%' | b'\'')
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || !byte.is_ascii()
}

/// Length of the domain at the beginning of bytes that a domain may contain; 0 if there is none. It
/// ends with the last label that can be a top-level domain: `b.co.` and `b.co.1` both end in `co`.
fn match_domain(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    while let Some(dot) = memrchr(b'.', slice(bytes, 0..end)) {
        let label = slice(bytes, dot + 1..end);
        let hyphens = label.iter().rev().take_while(|byte| **byte == b'-').count();
        let length = label.len() - hyphens;
        let first = label.first().copied().unwrap_or(b'-');
        let outer = dot.checked_sub(1).and_then(|last| bytes.get(last));
        if length >= 2
            && (first.is_ascii_alphabetic() || !first.is_ascii())
            && outer.is_some_and(|byte| *byte != b'.')
        {
            return dot + 1 + length;
        }
        end = dot;
    }
    0
}

#[cfg(test)]
mod tests {
    use crate::redact::pattern::tests::finds;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_addresses() {
        for (text, expected) in [
            ("alice@example.com", &["alice@example.com"][..]),
            (
                "<a.b+c_d%e-f@sub.example.co.uk>,",
                &["a.b+c_d%e-f@sub.example.co.uk"],
            ),
            ("Mail bob@example.org. Then", &["bob@example.org"]),
            ("o'brien@example.ie", &["o'brien@example.ie"]),
            ("'x@example.ie'", &["x@example.ie"]),
            ("mailto:x@y.zz?subject=a", &["x@y.zz"]),
            ("user=x@y.zz&b=c", &["x@y.zz"]),
            ("käthe@größe.de", &["käthe@größe.de"]),
            ("a@xn--bcher-kva.xn--p1ai", &["a@xn--bcher-kva.xn--p1ai"]),
            ("a@b.co, c@d.io", &["a@b.co", "c@d.io"]),
            ("a@b.co.12", &["a@b.co"]),
            ("a@b.co-", &["a@b.co"]),
            (
                "@name and a@b and a@.com a@b.c a@ @b.com ...@b.com a@1.2",
                &[],
            ),
        ] {
            assert_eq!(finds("email", text), expected, "{text}");
        }
    }
}

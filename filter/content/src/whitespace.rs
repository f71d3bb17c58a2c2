//! The whitespace that HTTP allows around a header's value: spaces and tabs (RFC 9110, section 5.6.3).

/// The text without spaces and tabs around it. Other whitespace, such as a no-break space, belongs to the value: two
/// values that differ in it are two values.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn only_spaces_and_tabs_are_trimmed() {
        for (text, trimmed) in [
            (" \t a b\t ", "a b"),
            ("\u{a0}a\u{2003}", "\u{a0}a\u{2003}"),
            ("\u{b}a\u{c}", "\u{b}a\u{c}"),
            (" ", ""),
        ] {
            assert_eq!(trim(text), trimmed);
        }
    }
}

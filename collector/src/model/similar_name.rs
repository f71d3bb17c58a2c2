//! The known name that a mistyped one was probably meant to be.

/// Names at least this similar are suggested (Jaro-Winkler).
const MIN_SIMILARITY: f64 = 0.7;
/// Longer names are similar to none: comparing costs the product of both lengths.
const MAX_COMPARED_BYTES: usize = 64;

/// The most similar name, if any is similar.
#[must_use]
pub fn most_similar<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_short_name_is_suggested() {
        let known = ["page", "page_size", "status"];
        assert_eq!(most_similar("pagesize", &known), Some("page_size"));
        assert_eq!(most_similar("zzz", &known), None);
        assert_eq!(most_similar(&"page".repeat(17), &known), None);
        assert_eq!(most_similar("page", &[]), None);
    }
}

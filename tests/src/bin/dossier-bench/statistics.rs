//! Quantiles and medians.

/// The value at this share of the sorted values; 0 if there are none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list that fits into memory"
    )]
    let index = (share.clamp(0.0, 1.0) * last as f64).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_values_at_quantiles() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let of = |share| quantile(&values, share).to_bits();
        assert_eq!(of(0.0), 1_f64.to_bits());
        assert_eq!(of(0.25), 2_f64.to_bits());
        assert_eq!(of(1.0), 5_f64.to_bits());
        assert_eq!(median(&values).to_bits(), 3_f64.to_bits());
        assert_eq!(median(&[]).to_bits(), 0_f64.to_bits());
    }
}

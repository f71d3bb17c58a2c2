//! Rounds in which a thing is measured without and with Dossier, and what they amount to.

use std::fmt;
use std::time::Duration;

/// Rounds unless asked otherwise.
pub(crate) const DEFAULT: usize = 24;

/// One figure of all rounds: without Dossier, and with it.
#[derive(Debug, Default)]
pub(crate) struct Paired {
    without: Vec<f64>,
    with: Vec<f64>,
}

/// The median of some numbers, with the quarters of them below and above.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Paired {
    /// Adds a round, by the times measured in it.
    pub(crate) fn add(&mut self, without: &[Duration], with: &[Duration]) {
        self.without.push(median_micros(without));
        self.with.push(median_micros(with));
    }

    /// A row of a Markdown table: microseconds without and with, their difference, their ratio.
    pub(crate) fn row(&self, what: &str) -> String {
        let pairs = || self.without.iter().zip(&self.with);
        let differences: Vec<_> = pairs().map(|(without, with)| with - without).collect();
        let ratios: Vec<_> = pairs().map(|(without, with)| with / without).collect();
        let [without, with] = [&self.without, &self.with].map(|times| Spread::of(times).median);
        let (difference, ratio) = (Spread::of(&differences), Spread::of(&ratios));
        format!("| {what} | {without:.0} µs | {with:.0} µs | {difference:.0} µs | {ratio:.3} |\n")
    }
}

impl Spread {
    fn of(numbers: &[f64]) -> Self {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let place = sorted.len().saturating_sub(1) * quarter / 4;
            sorted.get(place).copied().unwrap_or(f64::NAN)
        };
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.median.fmt(f)?;
        f.write_str(" (")?;
        self.low.fmt(f)?;
        f.write_str(" to ")?;
        self.high.fmt(f)?;
        f.write_str(")")
    }
}

fn median_micros(times: &[Duration]) -> f64 {
    let micros: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    Spread::of(&micros).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_compared_with_itself_only() {
        let micros = |micros: &[u64]| -> Vec<_> {
            micros.iter().copied().map(Duration::from_micros).collect()
        };
        let mut paired = Paired::default();
        for noise in [1, 10, 3, 7, 2] {
            let without = micros(&[100 * noise, 90 * noise, 500 * noise]);
            let with = micros(&[110 * noise, 99 * noise, 900 * noise]);
            paired.add(&without, &with);
        }
        assert_eq!(
            paired.row("x"),
            "| x | 300 µs | 330 µs | 30 (20 to 70) µs | 1.100 (1.100 to 1.100) |\n"
        );
    }
}

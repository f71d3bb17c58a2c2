//! The same figure for all sizes of bodies side by side.

use std::fmt::Write as _;

use super::{Cell, Series, Spread, bytes};
use crate::filter::Variant;

/// A figure of a variant, for one column.
struct Figure {
    name: &'static str,
    /// Of plain Envoy itself.
    absolute: fn(&Series) -> String,
    /// Of the others.
    ratio: fn(&Cell, Variant) -> Option<Spread>,
}

const FIGURES: [Figure; 2] = [
    Figure {
        name: "CPU of a request over plain Envoy",
        absolute: |plain| format!("{:.0} µs", plain.middle(|reading| reading.cpu_micros)),
        ratio: Cell::cpu,
    },
    Figure {
        name: "p99 over plain Envoy's",
        absolute: |plain| format!("{:.1} ms", plain.latency(|latencies| latencies.p99) / 1e3),
        ratio: Cell::p99,
    },
];

/// A table for each figure and each kind of connection; a column for each size.
pub(super) fn tables(cells: &[Cell]) -> String {
    let mut tables = String::new();
    for cells in cells.chunk_by(|one, next| one.connection() == next.connection()) {
        for figure in &FIGURES {
            tables += &figure.table(cells);
        }
    }
    tables
}

impl Figure {
    fn table(&self, cells: &[Cell]) -> String {
        let Some(first) = cells.first() else {
            return String::new();
        };
        let heads: Vec<_> = cells.iter().map(|cell| bytes(cell.size)).collect();
        let mut table = format!(
            "\n### {}: {}\n\n| | {} |\n|---|{}\n",
            self.name,
            first.connection(),
            heads.join(" | "),
            "---|".repeat(cells.len())
        );
        for series in &first.series {
            let values = cells
                .iter()
                .map(|cell| self.format_value(cell, series.variant));
            let columns = values.collect::<Vec<_>>().join(" | ");
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| {} | {columns} |", series.variant.name());
        }
        table
    }

    fn format_value(&self, cell: &Cell, variant: Variant) -> String {
        let value = match cell.base() {
            Some(plain) if plain.variant == variant => Some((self.absolute)(plain)),
            _ => (self.ratio)(cell, variant).map(|ratio| ratio.to_string()),
        };
        value.unwrap_or_default()
    }
}

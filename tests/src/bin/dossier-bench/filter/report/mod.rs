//! Reports the measurements as tables, as CSV and as a picture.

mod by_size;
mod picture;

use std::fmt::Write as _;

use dossier_tests::HarnessError;

use super::load::Protocol;
use super::variant::Variant;
use crate::arguments::FilterArgs;
use crate::bare_filter::BareFilter;
use crate::statistics::{median, quantile};

/// One turn under full load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Of Envoy, for each request.
    pub(super) cpu_micros: f64,
    /// Requests a second.
    pub(super) throughput: f64,
    /// Records or bodies lost, of all records.
    pub(super) lost: f64,
}

/// One turn at a fixed rate: microseconds from when a request was due to its answer's last byte.
#[derive(Debug, Clone, Copy)]
struct Latencies {
    p50: f64,
    p99: f64,
    p999: f64,
}

#[derive(Debug)]
struct Series {
    variant: Variant,
    readings: Vec<Reading>,
    latencies: Vec<Latencies>,
    memory_bytes: u64,
}

/// Dossier compared with what does the same, or the minimum of it.
const PAIRS: [(Variant, Variant); 5] = [
    (Variant::NotMatching, Variant::Bare(BareFilter::Empty)),
    (Variant::NotMatching, Variant::Bare(BareFilter::ReadsRoute)),
    (Variant::BothNone, Variant::Bare(BareFilter::PostsBodies)),
    (Variant::Both, Variant::Bare(BareFilter::PostsBodies)),
    (Variant::Both, Variant::Tap),
];

/// All variants under one kind of load.
#[derive(Debug)]
pub(super) struct Cell {
    workers: u16,
    protocol: Protocol,
    size: usize,
    series: Vec<Series>,
}

/// A median with the middle half of the rounds around it.
#[derive(Debug, Clone, Copy)]
struct Spread {
    middle: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        Self {
            middle: median(values),
            low: quantile(values, 0.25),
            high: quantile(values, 0.75),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{:.2} ({:.2} to {:.2})",
            self.middle, self.low, self.high
        )
    }
}

impl Cell {
    pub(super) fn new(
        workers: u16,
        protocol: Protocol,
        size: usize,
        variants: impl Iterator<Item = Variant>,
    ) -> Self {
        let series = variants.map(|variant| Series {
            variant,
            readings: Vec::new(),
            latencies: Vec::new(),
            memory_bytes: 0,
        });
        Self {
            workers,
            protocol,
            size,
            series: series.collect(),
        }
    }

    pub(super) fn add(&mut self, variant: Variant, reading: Reading) {
        if let Some(series) = self.of(variant) {
            series.readings.push(reading);
        }
    }

    pub(super) fn add_latencies(&mut self, variant: Variant, latencies: &[f64]) {
        if let Some(series) = self.of(variant) {
            series.latencies.push(Latencies {
                p50: quantile(latencies, 0.5),
                p99: quantile(latencies, 0.99),
                p999: quantile(latencies, 0.999),
            });
        }
    }

    pub(super) fn set_memory(&mut self, variant: Variant, bytes: u64) {
        if let Some(series) = self.of(variant) {
            series.memory_bytes = bytes;
        }
    }

    /// Requests a second that a variant answered.
    pub(super) fn throughput(&self, variant: Variant) -> Option<f64> {
        let all: Vec<_> = self
            .find(variant)?
            .readings
            .iter()
            .map(|reading| reading.throughput)
            .collect();
        Some(median(&all))
    }

    fn find(&self, variant: Variant) -> Option<&Series> {
        self.series.iter().find(|series| series.variant == variant)
    }

    fn of(&mut self, variant: Variant) -> Option<&mut Series> {
        self.series
            .iter_mut()
            .find(|series| series.variant == variant)
    }

    /// The variant that the others are compared with: the first.
    fn base(&self) -> Option<&Series> {
        self.series.first()
    }

    fn title(&self) -> String {
        format!("{}, bodies of {}", self.connection(), bytes(self.size))
    }

    /// What all sizes of bodies have in common.
    fn connection(&self) -> String {
        let workers = if self.workers == 1 {
            "worker"
        } else {
            "workers"
        };
        format!("{} {workers}, {}", self.workers, self.protocol.name())
    }

    /// CPU of a request over plain Envoy's.
    fn cpu(&self, variant: Variant) -> Option<Spread> {
        Some(
            self.find(variant)?
                .over(self.base()?, |reading| reading.cpu_micros),
        )
    }

    /// Its 99th percentile of latencies over plain Envoy's.
    fn p99(&self, variant: Variant) -> Option<Spread> {
        Some(
            self.find(variant)?
                .slower(self.base()?, |latencies| latencies.p99),
        )
    }

    fn table(&self) -> String {
        let mut table = format!(
            "### {}\n\n| | CPU of a request | over plain Envoy | throughput | p50 | p99 | p99.9 | memory | lost |\n\
             |---|---:|---|---:|---|---|---|---:|---:|\n",
            self.title()
        );
        let Some(base) = self.base() else {
            return table;
        };
        for series in &self.series {
            let lost: Vec<_> = series.readings.iter().map(|reading| reading.lost).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "| {} | {:.0} µs | {} | {:.2} | {} | {} | {} | {} MiB | {:.0} % |",
                series.variant.name(),
                series.middle(|reading| reading.cpu_micros),
                series.over(base, |reading| reading.cpu_micros),
                series.over(base, |reading| reading.throughput).middle,
                series.slower(base, |latencies| latencies.p50),
                series.slower(base, |latencies| latencies.p99),
                series.slower(base, |latencies| latencies.p999),
                series.memory_bytes >> 20,
                median(&lost) * 100.0,
            );
        }
        table + &self.pairs()
    }

    /// Comparisons of two variants other than plain Envoy.
    fn pairs(&self) -> String {
        let lines = PAIRS.iter().filter_map(|(one, other)| {
            let (ours, theirs) = (self.find(*one)?, self.find(*other)?);
            let cpu = ours.over(theirs, |reading| reading.cpu_micros);
            Some(format!(
                "- CPU, {} over {}: {cpu}\n",
                one.name(),
                other.name()
            ))
        });
        let lines: String = lines.collect();
        if lines.is_empty() {
            lines
        } else {
            format!("\n{lines}")
        }
    }

    fn csv(&self, file: &mut String) {
        let Some(base) = self.base() else { return };
        for series in &self.series {
            let cpu = series.over(base, |reading| reading.cpu_micros);
            let p99 = series.slower(base, |latencies| latencies.p99);
            let _ = writeln!(
                file,
                "{},{},{},\"{}\",{:.1},{:.3},{:.3},{:.3},{:.3},{:.0},{:.0},{:.3},{:.3},{:.3},{:.3},{:.3},{}",
                self.workers,
                self.protocol.name(),
                self.size,
                series.variant.name(),
                series.middle(|reading| reading.cpu_micros),
                cpu.middle,
                cpu.low,
                cpu.high,
                series.over(base, |reading| reading.throughput).middle,
                series.latency(|latencies| latencies.p50),
                series.latency(|latencies| latencies.p99),
                series.slower(base, |latencies| latencies.p50).middle,
                p99.middle,
                p99.low,
                p99.high,
                series.slower(base, |latencies| latencies.p999).middle,
                series.memory_bytes,
            );
        }
    }
}

impl Series {
    fn middle(&self, of: fn(&Reading) -> f64) -> f64 {
        median(&self.readings.iter().map(of).collect::<Vec<_>>())
    }

    fn latency(&self, of: fn(&Latencies) -> f64) -> f64 {
        median(&self.latencies.iter().map(of).collect::<Vec<_>>())
    }

    /// The ratios within each round.
    fn over(&self, base: &Self, of: fn(&Reading) -> f64) -> Spread {
        let pairs = self.readings.iter().zip(&base.readings);
        Spread::of(
            &pairs
                .map(|(ours, theirs)| of(ours) / of(theirs))
                .collect::<Vec<_>>(),
        )
    }

    fn slower(&self, base: &Self, of: fn(&Latencies) -> f64) -> Spread {
        let pairs = self.latencies.iter().zip(&base.latencies);
        Spread::of(
            &pairs
                .map(|(ours, theirs)| of(ours) / of(theirs))
                .collect::<Vec<_>>(),
        )
    }
}

const CSV_HEAD: &str = "workers,protocol,body_bytes,variant,cpu_micros,cpu_ratio,cpu_ratio_q1,cpu_ratio_q3,\
                        throughput_ratio,p50_micros,p99_micros,p50_ratio,p99_ratio,p99_ratio_q1,p99_ratio_q3,p999_ratio,memory_bytes\n";

/// Returns the tables, and writes all reports into the folder of the arguments.
pub(super) fn write(arguments: &FilterArgs, cells: &[Cell]) -> Result<String, HarnessError> {
    let mut tables = format!(
        "{} rounds. Each ratio is to plain Envoy in the same round: its median, and the middle half of the rounds. \
         Latencies are at half of what plain Envoy can take. The ratios below a table are to what they name.\n",
        arguments.rounds
    );
    tables += &by_size::tables(cells);
    let mut csv = CSV_HEAD.to_owned();
    for cell in cells {
        let _ = write!(tables, "\n{}", cell.table());
        cell.csv(&mut csv);
    }
    let folder = &arguments.out;
    let files = [
        ("filter.md", tables.clone()),
        ("filter.csv", csv),
        ("filter.svg", picture::draw(cells)),
    ];
    std::fs::create_dir_all(folder)
        .and_then(|()| {
            let mut files = files.iter();
            files.try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
        })
        .map_err(HarnessError::io(format!("write to {}", folder.display())))?;
    Ok(tables)
}

fn bytes(size: usize) -> String {
    match size {
        0 => "no bytes".to_owned(),
        size if size.is_multiple_of(1024) => format!("{} KB", size / 1024),
        size => format!("{size} bytes"),
    }
}

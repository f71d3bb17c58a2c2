//! Bars of CPU of a request over plain Envoy: a row for each variant, a column for each size of bodies, and
//! one kind of connection below the other.

use std::fmt::Write as _;

use super::{Cell, bytes};

const ROW: usize = 16;
/// For the names of the variants.
const LEFT: usize = 240;
const COLUMN: usize = 200;
/// The longest bar leaves room for its number.
const BAR: f64 = 150.0;
/// The ratio of the longest bar. A larger one is cut off, with its number, so that the others can be
/// compared.
const MAX_RATIO: f64 = 4.0;

/// As SVG.
pub(super) fn draw(cells: &[Cell]) -> String {
    let mut drawn = String::new();
    let (mut y, mut columns) = (0, 0);
    for cells in cells.chunk_by(|one, next| one.connection() == next.connection()) {
        y = draw_group(&mut drawn, cells, y + ROW);
        columns = columns.max(cells.len());
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>CPU of a request, over plain Envoy</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{drawn}</svg>\n",
        LEFT + columns * COLUMN,
        y + ROW
    )
}

/// One kind of connection from this height on. Returns where it ends.
fn draw_group(drawn: &mut String, cells: &[Cell], top: usize) -> usize {
    let Some(first) = cells.first() else {
        return top;
    };
    write_bold(drawn, 10, top, &first.connection());
    for (cell, x) in cells.iter().zip((LEFT..).step_by(COLUMN)) {
        write_bold(drawn, x, top, &bytes(cell.size));
    }
    let mut y = top;
    for series in &first.series {
        y += ROW;
        let name = series.variant.name().replace('`', "");
        let _ = writeln!(drawn, "<text x=\"10\" y=\"{y}\">{name}</text>");
        for (cell, x) in cells.iter().zip((LEFT..).step_by(COLUMN)) {
            if let Some(ratio) = cell.cpu(series.variant) {
                draw_bar(drawn, x, y, ratio.middle);
            }
        }
    }
    y + ROW
}

fn write_bold(drawn: &mut String, x: usize, y: usize, text: &str) {
    let _ = writeln!(
        drawn,
        "<text x=\"{x}\" y=\"{y}\" font-weight=\"bold\">{text}</text>"
    );
}

fn draw_bar(drawn: &mut String, x: usize, y: usize, ratio: f64) {
    let width = ratio.min(MAX_RATIO) / MAX_RATIO * BAR;
    let colour = if ratio > MAX_RATIO {
        "#b5533c"
    } else {
        "#4a7ebb"
    };
    let _ = writeln!(
        drawn,
        "<rect x=\"{x}\" y=\"{}\" width=\"{width:.0}\" height=\"11\" fill=\"{colour}\"/>\
         <text x=\"{x}\" dx=\"{:.0}\" y=\"{y}\">{ratio:.2}</text>",
        y - 10,
        width + 4.0,
    );
}

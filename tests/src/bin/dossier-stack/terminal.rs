//! Output for a terminal. A closed terminal is not an error.

use std::io::Write;

pub fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

pub fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

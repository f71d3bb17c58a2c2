//! Standard output. Its reader may close it before the command ends, as `head` does: that is an error, where `println!`
//! would panic.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes a line.
///
/// # Errors
/// It cannot be written; [`io::ErrorKind::BrokenPipe`] if its reader has closed it.
pub(super) fn line(line: impl Display) -> io::Result<()> {
    text(format_args!("{line}\n"))
}

/// Writes whole lines.
///
/// # Errors
/// As of [`line`].
pub(super) fn text(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

//! Reads JSON in place: no tree is built, nothing recurses, and truncated or malformed documents are
//! read as far as possible. Strings may hold any bytes, because a body need not be UTF-8.

mod path;
mod scan;
mod text;
mod values;
mod walk;

pub use path::{JsonPath, MAX_PATH_BYTES, MAX_STEPS, PathError};
pub use scan::{MAX_DEPTH, ScanEnd, Scanner, Token, TokenKind};
pub use values::{MAX_ESCAPE_BYTES, Scalar};
pub use walk::Paths;

pub(crate) use scan::BYTE_ORDER_MARK;
pub(crate) use text::{StringPart, split_string};
pub(crate) use walk::Walk;

//! JSON read where it lies: no tree is built, nothing recurses, and a text that is cut off or broken
//! is read as far as it goes. Strings may hold any bytes, for a body need not be UTF-8.

mod path;
mod scan;
mod text;
mod values;
mod walk;

pub use path::{JsonPath, MAX_PATH_BYTES, MAX_STEPS, PathError};
pub use scan::{End, Kind, MAX_DEPTH, Scanner, Token};
pub use values::MAX_VALUE_BYTES;
pub use walk::Paths;

pub(crate) use scan::BYTE_ORDER_MARK;
pub(crate) use text::{Piece, pieces};
pub(crate) use walk::Walk;

//! Wasm filters that do nothing but call the host: the least that any wasm filter takes, whatever it is
//! written in. What ours takes beyond them is ours to make smaller.

use std::path::Path;

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::Bootstrap;

const TEXT: &str = include_str!("bare_filter.wat");
/// The line of the text that says which of them it is.
const TASK: &str = "(global $task i32 (i32.const 0))";

/// What such a filter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BareFilter {
    /// Nothing in each callback.
    Empty = 0,
    /// Asks for the route's metadata and the path, without which no rule can be chosen.
    Asks = 1,
    /// Reads the headers and bodies of both halves too, and forgets them.
    Reads = 2,
    /// Posts them too, a MiB at a time, as the host hands them out: no records, no compression.
    Posts = 3,
}

impl BareFilter {
    /// Puts it in the place of ours. Its code goes into a file in this folder.
    pub(crate) fn install(
        self,
        bootstrap: &mut Bootstrap,
        folder: &Path,
    ) -> Result<(), HarnessError> {
        let code = self.code().map_err(|error| HarnessError::Unexpected {
            doing: "translate a bare filter".to_owned(),
            answer: error.to_string(),
        })?;
        let file = folder.join("bare.wasm");
        std::fs::write(&file, code).map_err(HarnessError::io("write a bare filter"))?;
        bootstrap.set_wasm(&file)
    }

    fn code(self) -> Result<Vec<u8>, wat::Error> {
        let task = format!("(global $task i32 (i32.const {}))", self as u8);
        wat::parse_str(TEXT.replace(TASK, &task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_is_another() {
        let all = [
            BareFilter::Empty,
            BareFilter::Asks,
            BareFilter::Reads,
            BareFilter::Posts,
        ];
        let mut codes: Vec<_> = all.iter().map(|filter| filter.code().unwrap()).collect();
        codes.dedup();
        assert_eq!(codes.len(), all.len());
    }
}

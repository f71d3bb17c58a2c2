//! Minimal wasm filters that only make hostcalls: the least that any wasm filter costs, in any language.

use std::path::Path;

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::Bootstrap;

const TEXT: &str = include_str!("bare_filter.wat");
/// The line of the text that selects the filter.
const TASK: &str = "(global $task i32 (i32.const 0))";

/// What a minimal filter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BareFilter {
    /// Nothing in each callback.
    Empty = 0,
    /// Reads the route's metadata and the path, which are needed to choose a rule.
    ReadsRoute = 1,
    /// Also reads the headers and bodies of both halves.
    ReadsBodies = 2,
    /// Also posts them, a MiB at a time, unencoded and uncompressed.
    PostsBodies = 3,
}

impl BareFilter {
    /// Replaces Dossier's code; the file is written into this folder.
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
    fn compiles_different_code_for_each_filter() {
        let all = [
            BareFilter::Empty,
            BareFilter::ReadsRoute,
            BareFilter::ReadsBodies,
            BareFilter::PostsBodies,
        ];
        let mut codes: Vec<_> = all.iter().map(|filter| filter.code().unwrap()).collect();
        codes.dedup();
        assert_eq!(codes.len(), all.len());
    }
}

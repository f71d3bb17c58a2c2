//! A wasm filter that does nothing in each callback: the least that any wasm filter takes. What ours takes
//! beyond it is ours to make smaller.

use std::path::Path;

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::Bootstrap;

const TEXT: &str = include_str!("empty_filter.wat");

/// Puts it in the place of ours. Its code goes into a file in this folder.
pub(crate) fn install(bootstrap: &mut Bootstrap, folder: &Path) -> Result<(), HarnessError> {
    let code = wat::parse_str(TEXT).map_err(|error| HarnessError::Unexpected {
        doing: "translate the empty filter".to_owned(),
        answer: error.to_string(),
    })?;
    let file = folder.join("empty.wasm");
    std::fs::write(&file, code).map_err(HarnessError::io("write the empty filter"))?;
    bootstrap.set_wasm(&file)
}

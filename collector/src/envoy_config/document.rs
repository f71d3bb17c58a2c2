//! Reads a file of YAML or JSON documents, within bounds, and never quotes it in an error: it may contain a token.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use serde_saphyr::{Error, Location};

/// Configurations of a whole mesh are smaller.
pub(super) const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("it cannot be read: {0}")]
    File(#[from] io::Error),
    #[error(
        "it is larger than {} MiB: check its parts one by one",
        MAX_FILE_BYTES >> 20
    )]
    TooLarge,
    #[error("it is not text in UTF-8: is it a YAML or JSON file?")]
    NotText,
    #[error("line {line}, column {column}: neither YAML nor JSON")]
    Syntax { line: u64, column: u64 },
    #[error("line {line}, column {column}: this key stands twice: remove one")]
    DuplicateKey { line: u64, column: u64 },
    #[error(
        "line {line}, column {column}: too many values, too deeply nested or too often repeated: check its parts one by one"
    )]
    TooComplex { line: u64, column: u64 },
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(file: &Path) -> Result<Vec<Value>, ReadError> {
    let bytes = if file.as_os_str() == "-" {
        read_bounded(io::stdin().lock())?
    } else {
        read_bounded(File::open(file)?)?
    };
    let text = String::from_utf8(bytes).map_err(|_| ReadError::NotText)?;
    parse(&text)
}

fn read_bounded(from: impl Read) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ReadError::TooLarge);
    }
    Ok(bytes)
}

/// Reads documents; empty ones are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, ReadError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let error = match serde_saphyr::from_multiple_with_options(text, options) {
        Ok(documents) => return Ok(documents),
        Err(error) => error,
    };
    let location = error.location();
    let (line, column) = (
        location.as_ref().map_or(0, Location::line),
        location.as_ref().map_or(0, Location::column),
    );
    let origin = origin(&error);
    if let Error::DuplicateMappingKey { .. } = origin {
        return Err(ReadError::DuplicateKey { line, column });
    }
    // JSON may be indented by tabs, and a dump of a whole proxy has more values than YAML needs.
    if let Ok(document) = serde_json::from_str(text) {
        return Ok(vec![document]);
    }
    Err(match origin {
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => ReadError::TooComplex { line, column },
        _ => ReadError::Syntax { line, column },
    })
}

/// The error itself, without the aliases on the way to it.
fn origin(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => origin(error),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_are_read() {
        for (text, documents) in [
            ("", vec![]),
            ("a: 1", vec![json!({"a": 1})]),
            (
                "a: 1\n---\n# nothing\n---\n[b, yes]\n",
                vec![json!({"a": 1}), json!(["b", true])],
            ),
            ("{\n\t\"a\":\t1\n}", vec![json!({"a": 1})]),
            (
                "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}",
                vec![json!({"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}})],
            ),
        ] {
            assert_eq!(parse(text).unwrap(), documents, "{text}");
        }
    }

    #[test]
    fn syntax_error_is_located_and_not_quoted() {
        let doubled = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]", n - 1));
        let bomb: Vec<_> = std::iter::once("a0: &a0 [x, x]".to_owned())
            .chain(doubled)
            .collect();
        let bomb = bomb.join("\n");
        let deep = "[".repeat(100_000);
        for (text, reported) in [
            ("a: 1\n  hunter2: [\n", "line 2, column "),
            (
                "a:\n  hunter2: 1\n  hunter2: 2\n",
                "line 3, column 3: this key stands twice",
            ),
            ("{\"hunter2\": 1, \"hunter2\": 2}", "this key stands twice"),
            (&bomb, "too often repeated"),
            (&deep, "line 1, column "),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reported), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn file_over_limit_is_refused() {
        let just_fits = io::repeat(b' ').take(MAX_FILE_BYTES as u64);
        assert_eq!(read_bounded(just_fits).unwrap().len(), MAX_FILE_BYTES);
        let endless = io::repeat(b' ');
        assert!(matches!(read_bounded(endless), Err(ReadError::TooLarge)));
        assert!(matches!(
            read(Path::new("/no/such/file")),
            Err(ReadError::File(_))
        ));
    }
}

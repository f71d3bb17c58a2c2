//! Commands whose standard output nobody reads, as behind `| head`: no panic, no word, and no success.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program;

#[test]
fn closed_output_ends_command_quietly() {
    let example = Path::new("../envoy/minimal.yaml");
    for arguments in [
        &["openapi"][..],
        &["completions", "bash"],
        &["validate", example.to_str().unwrap()],
        &[
            "doctor",
            "--database-url",
            "postgres://nobody@127.0.0.1:9/none",
        ],
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let ended = Command::new(program())
            .args(arguments)
            .stdout(Stdio::from(writer))
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), said.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
    }
}

//! What commands say where they cannot: to an output that nobody reads, as behind `| head`, to a full device, and
//! about a database that refuses them.

use std::fs::File;
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

#[test]
fn full_device_fails_command() {
    for arguments in [&["--help"][..], &["--version"], &["openapi"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = Command::new(program())
            .args(arguments)
            .stdout(Stdio::from(full))
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(said.contains("No space left on device"), "{said}");
    }
}

#[test]
fn refused_connection_is_said_at_once() {
    for command in ["migrate", "dictionaries"] {
        let ended = Command::new(program())
            .args([
                command,
                "--database-url",
                "postgres://nobody@127.0.0.1:9/none",
            ])
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("Connection refused"), "{said}");
    }
}

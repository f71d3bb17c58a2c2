//! `dossier config` as it is run: what is in force, where it comes from, and that no secret is shown.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const SECRETS: [&str; 3] = ["hunter2", "swordfish", "correct-horse"];

/// A command without this process's own settings.
fn config() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dossier"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOSSIER_") {
            command.env_remove(name);
        }
    }
    command.arg("config");
    command
}

fn file(folder: &TempDir, text: &str) -> std::path::PathBuf {
    let path = folder.path().join("dossier.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output, String::from_utf8(text).unwrap())
}

fn line<'t>(text: &'t str, setting: &str) -> Vec<&'t str> {
    let begins = |line: &&str| line.split_whitespace().next() == Some(setting);
    let line = text.lines().find(begins).unwrap();
    line.split_whitespace().skip(1).collect()
}

#[test]
fn each_setting_has_its_value_and_source() {
    let folder = tempfile::tempdir().unwrap();
    let text = "max_clients = 5\nclient_timeout = 6\nlisten = '127.0.0.1:1'\njwt_audience = ['a', 'b']\njwt_jwks_url = 'https://example.com/'\ndata_dir = '/x'";
    let path = file(&folder, text);
    let from_file = ["file", path.to_str().unwrap()];
    let (output, text) = run(config()
        .args(["--max-clients", "7", "--config"])
        .arg(&path)
        .env("DOSSIER_MAX_CLIENTS", "8")
        .env("DOSSIER_CLIENT_TIMEOUT", "9"));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(line(&text, "max_clients"), ["7", "flag", "--max-clients"]);
    let variable = ["9", "environment", "DOSSIER_CLIENT_TIMEOUT"];
    assert_eq!(line(&text, "client_timeout"), variable);
    assert_eq!(line(&text, "listen")[1..], from_file);
    assert_eq!(line(&text, "jwt_audience")[0], "a,b");
    assert_eq!(line(&text, "request_timeout"), ["60", "default"]);
    assert_eq!(line(&text, "spool_dir"), ["/x/spool", "default"]);
    assert_eq!(line(&text, "rate_limit_burst"), ["400", "default"]);
    assert_eq!(line(&text, "database_url"), ["-", "default"]);
}

#[test]
fn json_has_the_same_settings() {
    let (output, text) = run(config().args(["--json", "--max-clients=7"]));
    assert_eq!(output.status.code(), Some(0), "{text}");
    let settings: Vec<Value> = serde_json::from_str(&text).unwrap();
    let find = |name: &str| settings.iter().find(|it| it["setting"] == name).unwrap();
    let clients = find("max_clients");
    assert_eq!(
        (&clients["value"], &clients["source"]),
        (&"7".into(), &"flag --max-clients".into())
    );
    assert_eq!(find("tls_key")["value"], Value::Null);
}

#[test]
fn secrets_are_hidden_wherever_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let [url, token, jwks] = SECRETS;
    let token = token.repeat(4);
    let url = format!("postgres://dossier:{url}@127.0.0.1:9/dossier");
    let jwks = format!("https://example.com/keys?key={jwks}");
    let path = file(
        &folder,
        &format!("database_url = '{url}'\njwt_secret = '{token}'"),
    );
    let by_file = ["--config", path.to_str().unwrap()];
    let flags = ["--database-url", &url, "--jwt-secret", &token];
    for json in [&[][..], &["--json"]] {
        for (given, source) in [
            (&by_file[..], "file "),
            (&flags, "flag "),
            (&[], "environment "),
        ] {
            let mut command = config();
            command.args(json).args(given);
            if given.is_empty() {
                command.env("DOSSIER_DATABASE_URL", &url);
                command.env("DOSSIER_JWT_JWKS_URL", &jwks);
            }
            let (output, text) = run(&mut command);
            assert_eq!(output.status.code(), Some(0), "{text}");
            assert_eq!(text.matches("(hidden)").count(), 2, "{text}");
            assert!(text.contains(source), "{text}");
            for secret in SECRETS {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

#[test]
fn secrets_are_hidden_in_errors_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = file(&folder, "database_url = 'hunter2'\njwt_secret = 'hunter2'");
    let unknown = folder.path().join("unknown.toml");
    std::fs::write(&unknown, "jwt_secrets = 'hunter2'").unwrap();
    for (path, named) in [(&wrong, "jwt_secret: expected"), (&unknown, "jwt_secrets")] {
        let (output, text) = run(config().arg("--config").arg(path));
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(named), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let secrets = ["DATABASE_URL", "JWT_SECRET", "JWT_JWKS_URL"];
    let secrets = secrets.map(|name| (format!("DOSSIER_{name}"), "hunter2"));
    let (output, text) = run(config().arg("--help").envs(secrets));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("[default: 1024]") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn environment_completes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("b.pem"));
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let path = file(
        &folder,
        &format!("tls_certificate = '{}'", certificate.display()),
    );
    let incomplete = run(config().arg("--config").arg(&path));
    assert_eq!(incomplete.0.status.code(), Some(1));
    let missing = "dossier: tls_key: missing: another setting needs it\n";
    assert_eq!(incomplete.1, missing);
    let completed = run(config()
        .env("DOSSIER_CONFIG", &path)
        .env("DOSSIER_TLS_KEY", &key));
    assert_eq!(completed.0.status.code(), Some(0), "{}", completed.1);
    assert_eq!(line(&completed.1, "tls_key")[0], key.to_str().unwrap());
}

#[test]
fn environment_overrides_alternative_key_in_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "jwt_jwks_url = 'https://example.com/'");
    let (output, text) = run(config()
        .arg("--config")
        .arg(&path)
        .env("DOSSIER_JWT_SECRET", "x".repeat(32)));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(line(&text, "jwt_jwks_url"), ["-", "default"]);
}

#[test]
fn variable_that_is_not_text_is_named() {
    let value = OsStr::from_bytes(b"\xff");
    let (output, text) = run(config().env("DOSSIER_MAX_CLIENTS", value));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text, "dossier: max_clients: expected UTF-8 text\n");
}

#[test]
fn control_characters_are_escaped() {
    let (output, text) = run(config().args(["--data-dir", "/x\u{1b}[2J"]));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(line(&text, "data_dir")[0], r"/x\u{1b}[2J");
}

#[test]
fn each_missing_setting_is_named() {
    let (output, text) = run(config().args(["--tls-client-ca", "/x"]));
    assert_eq!(output.status.code(), Some(1), "{text}");
    let missing = "tls_key, tls_certificate: missing: another setting needs them";
    assert!(text.contains(missing), "{text}");
}

#[test]
fn file_does_not_hide_invalid_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "max_clients = 5");
    let (output, text) = run(config()
        .arg("--config")
        .arg(&path)
        .env("DOSSIER_MAX_CLIENTS", "none"));
    assert_eq!(output.status.code(), Some(1), "{text}");
    let expected = "max_clients: expected a whole number from 1 to 65536, got \"none\"";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn file_applies_to_commands_with_positional_arguments() {
    let missing = Path::new("/not/there.toml");
    let (output, text) = run(Command::new(env!("CARGO_BIN_EXE_dossier"))
        .args(["keys", "revoke", "--config"])
        .arg(missing)
        .args(["--", "00000000-0000-0000-0000-000000000000"]));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.starts_with("dossier: config: /not/there.toml: "),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "database_url = 'hunter2'\nlisten = '127.0.0.1:1'");
    let (_, text) = run(Command::new(env!("CARGO_BIN_EXE_dossier"))
        .args(["keys", "revoke", "--config"])
        .arg(path)
        .args(["--", "00000000-0000-0000-0000-000000000000"])
        .env_remove("DOSSIER_DATABASE_URL"));
    assert!(
        text.starts_with("dossier: database_url: expected postgres://"),
        "{text}"
    );
}

#[test]
fn unusable_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.pem");
    std::fs::write(&path, "no certificate").unwrap();
    let (output, text) = run(config()
        .arg(format!("--tls-certificate={}", path.display()))
        .arg(format!("--tls-key={}", path.display())));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("dossier: tls_certificate: "), "{text}");
}

#[test]
fn mistyped_variable_is_warned_about() {
    let (output, text) = run(config().env("DOSSIER_JWT_SECERT", "hunter2"));
    assert_eq!(output.status.code(), Some(0), "{text}");
    let warning = "DOSSIER_JWT_SECERT is no setting: did you mean DOSSIER_JWT_SECRET?";
    assert!(text.contains(warning), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

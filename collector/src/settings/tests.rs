//! All settings together: precedence, the file, and that the documents say what the description says.

use std::fmt::Write as _;
use std::path::Path;

use clap::Arg;

use super::layers::{ParseError, mistyped_variables};
use super::secret::MAX_FILE_BYTES;
use super::testing::{parse, parse_with_file};
use super::*;

fn with_file(text: &str, flags: &[&str]) -> Result<Settings, ParseError> {
    Ok(parse_with_file::<SettingsArgs>(text, flags)?.resolve()?)
}

fn error_of(text: &str) -> String {
    with_file(text, &[]).unwrap_err().to_string()
}

#[test]
fn flags_precede_file_and_file_precedes_defaults() {
    let file = "listen = '127.0.0.1:1'\nmax_connections = 7\ndata_dir = '/from/file'";
    let settings = with_file(file, &["--max-connections=9"]).unwrap();
    assert_eq!(settings.listen.port(), 1);
    assert_eq!(settings.max_connections, 9);
    assert!(
        matches!(settings.database, Database::Private(folder) if folder == Path::new("/from/file"))
    );
    let defaults = with_file("data_dir = '/x'", &[]).unwrap();
    assert_eq!(defaults.listen.to_string(), "127.0.0.1:8686");
    assert_eq!(defaults.max_connections, 10);
    assert_eq!(defaults.service.reload.interval, Duration::from_secs(10));
}

#[test]
fn spool_is_in_data_folder_by_default() {
    let spool = |file: &str, flags: &[&str]| with_file(file, flags).map(|settings| settings.spool);
    let plain = spool("data_dir = '/x'", &[]).unwrap().unwrap();
    assert_eq!(plain.folder, Path::new("/x/spool"));
    assert_eq!(plain.max_bytes, 1 << 30);
    let file = "spool_dir = '/y'\nspool_max_bytes = 0";
    let both = spool(file, &["--spool-max-bytes=8388608"]).unwrap();
    let both = both.unwrap();
    assert_eq!(
        (both.folder.as_path(), both.max_bytes),
        (Path::new("/y"), 1 << 23)
    );
    let none = spool("data_dir = '/x'\nspool_max_bytes = 0", &[]);
    assert!(none.unwrap().is_none());
    let error = spool("spool_max_bytes = 1", &[]).unwrap_err().to_string();
    assert!(error.contains("spool_max_bytes"), "{error}");
}

#[test]
fn unknown_key_error_suggests_nearest() {
    let error = error_of("databse_url = 'hunter2'");
    assert!(
        error.ends_with("dossier.toml: unknown setting databse_url: did you mean database_url?"),
        "{error}"
    );
    let error = error_of("config = '/x'");
    assert!(error.contains("unknown setting config"), "{error}");
}

#[test]
fn urls_and_long_values_are_not_quoted() {
    let long = "9".repeat(200);
    for (setting, value) in [
        ("otlp_endpoint", "http://u:hunter2@here/"),
        ("otlp_endpoint", "http://here/?token=hunter2"),
        ("otlp_endpoint", "httpx://u:hunter2@here/"),
        ("listen", "u:hunter2@here"),
        ("max_connections", &long),
    ] {
        let error = error_of(&format!("{setting} = '{value}'"));
        assert!(error.contains(&format!("{setting}: expected")), "{error}");
        assert!(
            !error.contains("hunter2") && !error.contains(&long),
            "{error}"
        );
    }
}

#[test]
fn mistyped_variables_are_reported() {
    let names = [
        "DOSSIER_JWT_SECERT",
        "DOSSIER_LISTEN",
        "DOSSIER_LOG",
        "DOSSIER_RUN_DIR",
        "DOSSIER_LINT",
        "HOME",
    ];
    let warnings = mistyped_variables(names.into_iter().map(Into::into));
    let expected = "DOSSIER_JWT_SECERT is no setting: did you mean DOSSIER_JWT_SECRET?";
    assert_eq!(warnings, [expected]);
}

#[test]
fn settings_file_is_bounded_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dossier.toml");
    let read = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        let flags = format!("--config={}", path.display());
        parse::<SettingsArgs>(&[&flags]).unwrap_err().to_string()
    };
    assert!(read(b"listen = '\xff'").ends_with("the file is not UTF-8 text"));
    let long = vec![b'\n'; MAX_FILE_BYTES + 1];
    assert!(read(&long).ends_with("the file has more than 262144 bytes"));
}

#[test]
fn errors_name_file_of_wrong_values() {
    for (text, ending) in [
        (
            "max_connections = 1",
            "dossier.toml: max_connections: expected a whole number from 2 to 1000, got \"1\"",
        ),
        (
            "tls_certificate = '/a'\ntls_key = '/b'\ntls_client_ca = '/c'\ntls_client_auth = 'some'",
            "dossier.toml: tls_client_auth: expected one of ingest, all, got \"some\"",
        ),
        (
            "listen = ['127.0.0.1:1', '127.0.0.1:2']",
            "dossier.toml: listen: expected at most once",
        ),
        (
            "listen = true",
            "dossier.toml: listen: expected text, a whole number, or a list of texts without commas",
        ),
        (
            "listen = 'x'\n\nlisten = 'y'",
            "dossier.toml: line 3: duplicate key",
        ),
    ] {
        let error = error_of(text);
        assert!(error.ends_with(ending), "{error}");
    }
}

#[test]
fn secrets_in_wrong_files_are_not_quoted() {
    for text in [
        "database_url = 'hunter2'",
        "database_url = ['hunter2', 'hunter2']",
        "database_url = { hunter2 = 1 }",
        "jwt_secret = 'hunter2'",
        "jwt_jwks_url = 'hunter2'",
        "jwt_secret = 'hunter2",
        "jwt_secret = hunter2",
    ] {
        let error = error_of(text);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn setting_names_follow_one_rule() {
    for setting in layers::description().get_arguments() {
        let key = setting.get_id().as_str();
        let flag = setting.get_long().unwrap();
        let variable = setting.get_env().unwrap().to_str().unwrap();
        assert_eq!(flag, key.replace('_', "-"));
        assert_eq!(variable, format!("DOSSIER_{}", key.to_uppercase()));
    }
}

#[test]
fn help_shows_enforced_bounds() {
    for setting in layers::description().get_arguments() {
        let help = setting.get_help().unwrap().to_string();
        let words: Vec<&str> = help.split([' ', ',', ';']).collect();
        let bounds = words.windows(3).find_map(|words| match words {
            [min, "to", max] => Some((min.parse::<u32>().ok()?, max.parse::<u32>().ok()?)),
            _ => None,
        });
        let Some((min, max)) = bounds.filter(|_| setting.get_id() != "jwt_secret") else {
            continue;
        };
        let flag = setting.get_long().unwrap();
        let accepts = |value: u32| {
            let given = format!("--{flag}={value}");
            parse::<SettingsArgs>(&[&given]).is_ok()
        };
        assert!(accepts(min) && accepts(max) && !accepts(max + 1), "{flag}");
        assert!(min == 0 || !accepts(min - 1), "{flag}");
    }
}

#[test]
fn documented_settings_are_those_described() {
    const HEAD: &str =
        "| key | flag | environment variable | default | meaning |\n|---|---|---|---|---|\n";
    let description = layers::description();
    let mut table = HEAD.to_owned();
    for setting in description.get_arguments() {
        table.push_str(&row(setting));
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&format!("\n{table}\n")),
        "docs/configuration.md should have this table:\n\n{table}"
    );
}

/// A setting's row in the documents.
fn row(setting: &Arg) -> String {
    let key = setting.get_id().as_str();
    let help = setting.get_help().unwrap().to_string();
    let (meaning, computed) = help
        .strip_suffix(']')
        .and_then(|help| help.split_once(" [default: "))
        .map_or((help.as_str(), None), |(meaning, default)| {
            (meaning, Some(default))
        });
    let default = setting.get_default_values().first();
    let default = default.map(|value| format!("`{}`", value.to_str().unwrap()));
    let default = default.or(computed.map(str::to_owned)).unwrap_or_default();
    // The file does not name itself.
    let name_in_file = if key == NAME_OF_FILE {
        String::new()
    } else {
        format!("`{key}`")
    };
    let mut row = format!(
        "| {} | `--{}` | `{}` | {default} | {meaning}",
        name_in_file,
        setting.get_long().unwrap(),
        setting.get_env().unwrap().to_str().unwrap(),
    );
    for (index, value) in setting.get_possible_values().iter().enumerate() {
        let separator = if index == 0 { ":" } else { ";" };
        let (name, help) = (value.get_name(), value.get_help().unwrap());
        write!(row, "{separator} `{name}`: {help}").unwrap();
    }
    row.push_str(" |\n");
    row
}

//! Settings of the database: which Postgres, and how to connect.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args};
use reqwest::Url;
use sqlx::postgres::PgConnectOptions;
use tracing::warn;

use super::SettingsError;
use super::secret::{SecretFile, SecretSource, SecretText};

/// Which database to use.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("postgres_url"))]
pub struct DatabaseArgs {
    /// Settings file (TOML); its keys are these flags with underscores
    #[arg(long, env = "DOSSIER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// URL of the Postgres to use; without it a private one is started
    #[arg(
        long,
        env = "DOSSIER_DATABASE_URL",
        value_name = "postgres://USER:PASSWORD@HOST/DATABASE",
        hide_env_values = true,
        group = "postgres_url"
    )]
    pub database_url: Option<SecretText>,

    /// File that holds the database URL, for URLs with a password
    #[arg(
        long,
        env = "DOSSIER_DATABASE_URL_FILE",
        value_name = "FILE",
        group = "postgres_url"
    )]
    pub database_url_file: Option<PathBuf>,

    /// File that holds the password, for URLs without one
    #[arg(
        long,
        env = "DOSSIER_DATABASE_PASSWORD_FILE",
        value_name = "FILE",
        requires = "postgres_url"
    )]
    pub database_password_file: Option<PathBuf>,

    /// Folder of the private Postgres and of the spool [default: /var/lib/dossier for root, else ~/.local/share/dossier]
    #[arg(long, env = "DOSSIER_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// Which Postgres to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// One that runs already.
    Given {
        /// How to connect to it, as read at the start.
        options: Box<PgConnectOptions>,
        /// To read them again.
        access: DatabaseAccess,
    },
    /// A private one in this folder.
    Private(PathBuf),
}

/// Where the URL and the password of a Postgres are read from.
#[derive(Debug, Clone)]
pub struct DatabaseAccess {
    url: SecretSource,
    password: Option<SecretFile>,
}

impl DatabaseArgs {
    /// The database that is given, or the private one.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub fn resolve(self) -> Result<Database, SettingsError> {
        let names = ["database_url", "database_url_file"];
        let folder = self.data_dir();
        match SecretSource::either(names, self.database_url, self.database_url_file) {
            Some(url) => {
                let password = self.database_password_file.map(|path| SecretFile {
                    setting: "database_password_file",
                    path,
                });
                let access = DatabaseAccess { url, password };
                Ok(Database::Given {
                    options: Box::new(access.options()?),
                    access,
                })
            }
            None => folder.map(Database::Private),
        }
    }

    /// The folder of the private Postgres.
    pub(super) fn data_dir(&self) -> Result<PathBuf, SettingsError> {
        self.data_dir.clone().map_or_else(default_data_dir, Ok)
    }
}

impl DatabaseAccess {
    /// How to connect, by what the files hold now.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting and the file.
    pub fn options(&self) -> Result<PgConnectOptions, SettingsError> {
        let url = self.url.read()?;
        let wrong = || {
            let problem = "expected postgres://user:password@host/database, got something else";
            SettingsError::invalid(self.url.to_string(), problem)
        };
        let mut url: Url = url.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong());
        }
        self.drop_unknown_parameters(&mut url);
        let options = PgConnectOptions::from_str(url.as_str()).map_err(|_| wrong())?;
        let Some(password) = &self.password else {
            return Ok(options);
        };
        if has_password(&url) {
            let problem = format!("the URL of {} has a password already: remove one", self.url);
            return Err(SettingsError::invalid("database_password_file", problem));
        }
        Ok(options.password(&password.text()?))
    }

    /// sqlx ignores what it does not know, too, but logs its value, which may be a secret.
    fn drop_unknown_parameters(&self, url: &mut Url) {
        let given: Vec<_> = url.query_pairs().into_owned().collect();
        let known = given.iter().filter(|(name, _)| is_known_parameter(name));
        let known: Vec<_> = known.cloned().collect();
        let unknown = given.len() - known.len();
        if unknown > 0 {
            warn!(setting = %self.url, unknown, "ignoring parameters of the database URL that are not known");
            url.query_pairs_mut().clear().extend_pairs(known);
        }
    }

    /// The files that they are read from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.url.file().into_iter().chain(&self.password);
        files.map(|file| file.path.clone()).collect()
    }
}

/// Whether sqlx 0.9 reads this parameter of a URL.
fn is_known_parameter(name: &str) -> bool {
    const KNOWN: [&str; 18] = [
        "application_name",
        "dbname",
        "host",
        "hostaddr",
        "options",
        "password",
        "port",
        "ssl-ca",
        "ssl-cert",
        "ssl-key",
        "ssl-mode",
        "ssl-root-cert",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "statement-cache-capacity",
        "user",
    ];
    KNOWN.contains(&name) || name.starts_with("options[")
}

fn has_password(url: &Url) -> bool {
    url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password")
}

fn default_data_dir() -> Result<PathBuf, SettingsError> {
    if nix::unistd::Uid::effective().is_root() {
        return Ok(PathBuf::from("/var/lib/dossier"));
    }
    let folder = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder("XDG_DATA_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("dossier"))
        .ok_or_else(|| {
            let problem = "this user has no home folder: choose one with --data-dir";
            SettingsError::invalid("data_dir", problem)
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::settings::layers::ParseError;
    use crate::settings::testing::{parse, parse_with_file};

    const URL: &str = "--database-url=postgres://a@here/x";

    fn resolve(flags: &[&str]) -> Result<Database, ParseError> {
        Ok(parse::<DatabaseArgs>(flags)?.resolve()?)
    }

    #[test]
    fn url_flag_overrides_settings_file() {
        let file = "database_url_file = '/not/there'";
        let args: DatabaseArgs = parse_with_file(file, &[URL]).unwrap();
        assert!(
            matches!(args.resolve().unwrap(), Database::Given { options, .. } if options.get_host() == "here")
        );
    }

    #[test]
    fn two_urls_of_one_source_are_refused() {
        let twice = [URL, "--database-url-file=/not/there"];
        let file = "database_url = 'postgres://a@here/x'\ndatabase_url_file = '/not/there'";
        for error in [
            parse::<DatabaseArgs>(&twice).unwrap_err(),
            parse_with_file::<DatabaseArgs>(file, &[]).unwrap_err(),
        ] {
            let error = error.to_string();
            for name in ["database_url, ", "database_url_file", "at most one"] {
                assert!(error.contains(name), "{error}");
            }
        }
    }

    #[test]
    fn password_comes_from_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "hunter2\n").unwrap();
        let file = format!("--database-password-file={}", path.display());
        let Database::Given { options, access } = resolve(&[URL, &file]).unwrap() else {
            panic!("no URL");
        };
        let password = |options: &PgConnectOptions| {
            use sqlx::ConnectOptions;
            let url = options.to_url_lossy();
            url.password().map(str::to_owned)
        };
        assert_eq!(password(&options).as_deref(), Some("hunter2"));
        fs::write(&path, "hunter3").unwrap();
        let options = access.options().unwrap();
        assert_eq!(password(&options).as_deref(), Some("hunter3"));
        assert_eq!(access.files(), std::slice::from_ref(&path));
        for twice in [
            "--database-url=postgres://a:b@here/x",
            "--database-url=postgres://a@here/x?password=hunter4",
        ] {
            let error = resolve(&[twice, &file]).unwrap_err().to_string();
            assert!(error.contains("has a password already"), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
        let error = resolve(&[&file]).unwrap_err().to_string();
        assert!(
            error.starts_with("database_url, database_url_file: "),
            "{error}"
        );
    }

    #[test]
    fn unknown_parameters_of_url_are_dropped() {
        let access = |url: &str| {
            let Database::Given { access, .. } = resolve(&[url]).unwrap() else {
                panic!("no URL");
            };
            access
        };
        let parameters = |url: &str| {
            let mut url: Url = url.parse().unwrap();
            access(URL).drop_unknown_parameters(&mut url);
            url.query().unwrap_or_default().to_owned()
        };
        let url =
            "postgres://a@here/x?sslpassword=hunter2&host=%2Frun&x&options[a]=b&sslmode=require";
        assert_eq!(
            parameters(url),
            "host=%2Frun&options%5Ba%5D=b&sslmode=require"
        );
        let url = "postgres://a@here/x?host=%2Frun&sslmode=require";
        assert_eq!(parameters(url), "host=%2Frun&sslmode=require");
    }

    #[test]
    fn wrong_url_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "hunter2").unwrap();
        let in_file = format!("--database-url-file={}", path.display());
        for (flag, place) in [
            ("--database-url=hunter2", "database_url: ".to_owned()),
            (
                "--database-url=mysql://hunter2@here/x",
                "database_url: ".to_owned(),
            ),
            (&in_file, format!("database_url_file: {}: ", path.display())),
        ] {
            let error = resolve(&[flag]).unwrap_err().to_string();
            assert!(error.starts_with(&place), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

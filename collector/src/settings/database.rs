//! Settings of the database: which Postgres, and the way in.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use reqwest::Url;
use sqlx::postgres::PgConnectOptions;

use super::secret::{Secret, SecretFile};
use super::{File, SettingsError, read_file};

/// Where the database is.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseArgs {
    /// Settings file (TOML); its keys are these flags with underscores
    #[arg(long, env = "DOSSIER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// URL of the Postgres to use; without it a private one is started
    #[arg(
        long,
        env = "DOSSIER_DATABASE_URL",
        value_name = "postgres://USER:PASSWORD@HOST/DATABASE",
        hide_env_values = true
    )]
    pub database_url: Option<String>,

    /// File that holds the database URL, for URLs with a password
    #[arg(long, env = "DOSSIER_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,

    /// File that holds the password, for URLs without one
    #[arg(long, env = "DOSSIER_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,

    /// Folder of the private Postgres [default: /var/lib/dossier for root, else ~/.local/share/dossier]
    #[arg(long, env = "DOSSIER_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// Which Postgres to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// One that runs already.
    Given {
        /// How to connect to it, by what was read just now.
        options: Box<PgConnectOptions>,
        /// To read it again.
        access: DatabaseAccess,
    },
    /// A private one in this folder.
    Private(PathBuf),
}

/// Where it is written how to connect to a Postgres.
#[derive(Debug, Clone)]
pub struct DatabaseAccess {
    url: Secret,
    password: Option<SecretFile>,
}

impl Database {
    /// Which Postgres the arguments, the environment and the file name.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub fn resolve(args: DatabaseArgs) -> Result<Self, SettingsError> {
        let file = read_file(args.config.as_deref())?;
        database(args, file)
    }
}

pub(super) fn database(args: DatabaseArgs, file: File) -> Result<Database, SettingsError> {
    const NAMES: [&str; 2] = ["database_url", "database_url_file"];
    let url = match Secret::choose(NAMES, args.database_url, args.database_url_file)? {
        Some(url) => Some(url),
        None => Secret::choose(NAMES, file.database_url, file.database_url_file)?,
    };
    let password = args.database_password_file.or(file.database_password_file);
    let password = password.map(|path| SecretFile {
        setting: "database_password_file",
        path,
    });
    match (url, password) {
        (Some(url), password) => {
            let access = DatabaseAccess { url, password };
            Ok(Database::Given {
                options: Box::new(access.options()?),
                access,
            })
        }
        (None, Some(_)) => Err(SettingsError::PasswordAlone),
        (None, None) => Ok(Database::Private(
            args.data_dir
                .or(file.data_dir)
                .map_or_else(default_data_dir, Ok)?,
        )),
    }
}

impl DatabaseAccess {
    /// How to connect, by what the files hold now.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting and the file.
    pub fn options(&self) -> Result<PgConnectOptions, SettingsError> {
        let url = self.url.read()?;
        let wrong = || SettingsError::DatabaseUrl(self.url.to_string());
        let options = PgConnectOptions::from_str(&url).map_err(|_| wrong())?;
        let Some(password) = &self.password else {
            return Ok(options);
        };
        if has_password(&url.parse().map_err(|_| wrong())?) {
            return Err(SettingsError::TwoPasswords(self.url.to_string()));
        }
        Ok(options.password(&password.text()?))
    }

    /// The files that it is read from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.url.file().into_iter().chain(&self.password);
        files.map(|file| file.path.clone()).collect()
    }
}

fn has_password(url: &Url) -> bool {
    url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password")
}

pub(super) fn default_data_dir() -> Result<PathBuf, SettingsError> {
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
        .ok_or(SettingsError::NoDataDir)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const URL: &str = "postgres://a@here/x";

    /// Without a settings file.
    fn resolve(args: DatabaseArgs) -> Result<Database, SettingsError> {
        database(args, File::default())
    }

    fn url(url: &str) -> DatabaseArgs {
        DatabaseArgs {
            database_url: Some(url.to_owned()),
            ..DatabaseArgs::default()
        }
    }

    #[test]
    fn a_url_on_the_command_line_wins_over_one_in_the_file() {
        let file = File {
            database_url_file: Some("/not/there".into()),
            ..File::default()
        };
        let database = database(url(URL), file).unwrap();
        assert!(
            matches!(database, Database::Given { options, .. } if options.get_host() == "here")
        );
    }

    #[test]
    fn of_two_urls_in_one_place_none_is_chosen() {
        let twice = DatabaseArgs {
            database_url_file: Some("/not/there".into()),
            ..url(URL)
        };
        let file = File {
            database_url: twice.database_url.clone(),
            database_url_file: twice.database_url_file.clone(),
            ..File::default()
        };
        for error in [
            resolve(twice).unwrap_err(),
            database(DatabaseArgs::default(), file).unwrap_err(),
        ] {
            assert!(matches!(
                error,
                SettingsError::Both("database_url", "database_url_file")
            ));
        }
    }

    #[test]
    fn a_password_comes_from_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "hunter2\n").unwrap();
        let with = |address: &str| DatabaseArgs {
            database_password_file: Some(path.clone()),
            ..url(address)
        };
        let Database::Given { options, access } = resolve(with(URL)).unwrap() else {
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
            "postgres://a:b@here/x",
            "postgres://a@here/x?password=hunter4",
        ] {
            let error = resolve(with(twice)).unwrap_err();
            assert!(matches!(error, SettingsError::TwoPasswords(_)), "{error}");
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
        let alone = DatabaseArgs {
            database_url: None,
            ..with(URL)
        };
        assert!(matches!(resolve(alone), Err(SettingsError::PasswordAlone)));
    }

    #[test]
    fn what_is_no_url_is_named_with_its_file_and_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "hunter2").unwrap();
        let in_file = DatabaseArgs {
            database_url_file: Some(path.clone()),
            ..DatabaseArgs::default()
        };
        for (args, place) in [
            (url("hunter2"), "database_url: ".to_owned()),
            (in_file, format!("database_url_file: {}: ", path.display())),
        ] {
            let error = resolve(args).unwrap_err().to_string();
            assert!(error.starts_with(&place), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

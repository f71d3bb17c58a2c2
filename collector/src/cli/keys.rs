//! `dossier keys`: creates, lists and revokes API keys.

use std::io;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::columns::{self, minute};
use super::{CliError, CommandDatabase, out};
use crate::model::clock::Clock;
use crate::model::ids::{KeyId, UserId};
use crate::model::key::{ApiKey, KeyRecord, MAX_KEY_NAME_BYTES, Role};
use crate::settings::DatabaseArgs;
use crate::store::{KeyList, KeySelection, NewKey, Store};

/// Arguments of `dossier keys`.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a key and print it once, on standard output
    Create(Create),
    /// List keys, without the keys themselves
    List(List),
    /// Revoke keys immediately and permanently
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Owner of the key: the user id that the filter records
    #[arg(long)]
    user: UserId,

    /// Role of the key
    #[arg(long, value_enum)]
    role: Role,

    /// Name of the key
    #[arg(long, default_value = "", value_parser = key_name)]
    name: String,

    /// Days until the key stops working; without it, it works until it is revoked
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    expires_in_days: Option<u16>,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Only this user's keys
    #[arg(long)]
    user: Option<UserId>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
struct Revoke {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Ids of keys, as `dossier keys list` shows them
    #[arg(value_name = "KEY_ID", group = "which")]
    ids: Vec<Uuid>,

    /// All keys of this user
    #[arg(long, group = "which")]
    user: Option<UserId>,
}

impl Keys {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Create(create) => create.run().await,
            Command::List(list) => list.run().await,
            Command::Revoke(revoke) => revoke.run().await,
        }
    }
}

/// Lists have one line for each name.
fn key_name(text: &str) -> Result<String, String> {
    if text.len() > MAX_KEY_NAME_BYTES || text.contains(char::is_control) {
        return Err(format!(
            "a name has at most {MAX_KEY_NAME_BYTES} bytes and no control characters"
        ));
    }
    Ok(text.to_owned())
}

impl Create {
    async fn run(self) -> Result<ExitCode, CliError> {
        let secret = ApiKey::generate()?;
        let now = Clock::system().now();
        let key = NewKey {
            name: self.name,
            user: self.user,
            role: self.role,
            expires_at: self
                .expires_in_days
                .map(|days| now + Duration::days(days.into())),
        };
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let created = create(&database.store, &key, &secret, now).await;
        database.close().await;
        let KeyId(id) = created?;
        eprintln!(
            "Key {id} for {} with role {}. It is shown only now:",
            key.user,
            <&str>::from(key.role)
        );
        out::line(secret.reveal())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self) -> Result<ExitCode, CliError> {
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let listed = list(&database.store, self.user.as_ref()).await;
        database.close().await;
        let listed = listed?;
        out::text(table(&listed.keys, Clock::system().now()))?;
        if listed.has_more {
            eprintln!("There are more keys: select some with --user.");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Revoke {
    async fn run(self) -> Result<ExitCode, CliError> {
        let which = match self.user {
            Some(user) => KeySelection::User(user),
            None => KeySelection::Ids(self.ids.into_iter().map(KeyId).collect()),
        };
        let database = CommandDatabase::open(self.database.resolve()?).await?;
        let revoked = revoke(&database.store, &which).await;
        database.close().await;
        Ok(report(&which, &revoked?)?)
    }
}

/// Prints the result for each key. No key at all is a failure, for it may be a typing error.
fn report(which: &KeySelection, revoked: &[KeyId]) -> io::Result<ExitCode> {
    for key in revoked {
        out::line(format_args!("{key} is revoked"))?;
    }
    let missing: Vec<&KeyId> = match which {
        KeySelection::Ids(ids) => ids.iter().filter(|id| !revoked.contains(id)).collect(),
        KeySelection::User(_) => Vec::new(),
    };
    for key in &missing {
        eprintln!("dossier: key {key} not found: see dossier keys list");
    }
    if let (KeySelection::User(user), []) = (which, revoked) {
        eprintln!(
            "dossier: {} has no keys: see dossier keys list",
            columns::in_one_line(user.as_str())
        );
    }
    Ok(if missing.is_empty() && !revoked.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One line for each key.
fn table(keys: &[KeyRecord], now: OffsetDateTime) -> String {
    const HEAD: [&str; 8] = [
        "ID",
        "USER",
        "ROLE",
        "STATE",
        "CREATED",
        "EXPIRES",
        "LAST USED",
        "NAME",
    ];
    let rows = keys.iter().map(|key| {
        [
            key.id.to_string(),
            key.user.as_str().to_owned(),
            <&str>::from(key.role).to_owned(),
            <&str>::from(key.state(now)).to_owned(),
            minute(Some(key.created_at)),
            minute(key.expires_at),
            minute(key.last_used_at),
            key.name.clone(),
        ]
    });
    columns::table(HEAD, rows)
}

async fn list(store: &Store, user: Option<&UserId>) -> Result<KeyList, CliError> {
    store.migrate().await?;
    Ok(store.list_keys(user).await?)
}

async fn revoke(store: &Store, which: &KeySelection) -> Result<Vec<KeyId>, CliError> {
    store.migrate().await?;
    Ok(store.revoke_keys(which, Clock::system().now()).await?)
}

async fn create(
    store: &Store,
    key: &NewKey,
    secret: &ApiKey,
    now: OffsetDateTime,
) -> Result<KeyId, CliError> {
    store.migrate().await?;
    Ok(store.create_key(key, &secret.hash(), now).await?)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

    fn key(user: &str, name: &str) -> KeyRecord {
        KeyRecord {
            id: KeyId(Uuid::nil()),
            name: name.to_owned(),
            user: UserId::new(user).unwrap(),
            role: Role::User,
            created_at: datetime!(2026-01-02 03:04:05 UTC),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn each_key_has_one_line() {
        let expired = KeyRecord {
            expires_at: Some(NOW),
            ..key("bob\n\u{1b}[31m", "")
        };
        let revoked = KeyRecord {
            revoked_at: Some(NOW),
            ..expired.clone()
        };
        let text = table(&[key("alice", "my laptop"), expired, revoked], NOW);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "ID                                    USER             ROLE  STATE    CREATED            EXPIRES            LAST USED  NAME"
        );
        assert_eq!(
            lines[1],
            "00000000-0000-0000-0000-000000000000  alice            user  valid    2026-01-02 03:04Z  never              never      my laptop"
        );
        assert!(
            lines[2].contains("bob\\n\\u{1b}[31m  user  expired"),
            "{text}"
        );
        assert!(lines[3].contains("revoked"), "{text}");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn names_over_limit_or_line_are_refused() {
        assert_eq!(key_name("my laptop").as_deref(), Ok("my laptop"));
        assert!(key_name(&"x".repeat(MAX_KEY_NAME_BYTES)).is_ok());
        assert!(key_name(&"x".repeat(MAX_KEY_NAME_BYTES + 1)).is_err());
        assert!(key_name("two\nlines").is_err());
    }
}

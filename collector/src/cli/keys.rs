//! `dossier keys`: makes API keys.

use clap::{Args, Subcommand};
use time::Duration;

use super::{CliError, ShortUse};
use crate::model::clock::Clock;
use crate::model::ids::{KeyId, UserId};
use crate::model::key::{Role, Secret};
use crate::settings::{Database, DatabaseArgs};
use crate::store::{NewKey, Store};

/// Arguments of `dossier keys`.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it, this once, on standard output
    Create(Create),
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Whose key it is: the user id that the filter records
    #[arg(long)]
    user: UserId,

    /// What the key may do
    #[arg(long, value_enum)]
    role: Role,

    /// What you call the key
    #[arg(long, default_value = "")]
    name: String,

    /// Days until the key stops working; without it, it works until it is revoked
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    expires_in_days: Option<u16>,
}

impl Keys {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self.command {
            Command::Create(create) => create.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), CliError> {
        let secret = Secret::generate()?;
        let now = Clock::system().now();
        let key = NewKey {
            name: self.name,
            user: self.user,
            role: self.role,
            expires_at: self
                .expires_in_days
                .map(|days| now + Duration::days(days.into())),
        };
        let database = ShortUse::open(Database::resolve(self.database)?).await?;
        let created = create(&database.store, &key, &secret, now).await;
        database.close().await;
        let KeyId(id) = created?;
        eprintln!(
            "Key {id} for {} with role {}. It is shown only now:",
            key.user,
            key.role.as_str()
        );
        println!("{}", secret.reveal());
        Ok(())
    }
}

async fn create(
    store: &Store,
    key: &NewKey,
    secret: &Secret,
    now: time::OffsetDateTime,
) -> Result<KeyId, CliError> {
    store.migrate().await?;
    Ok(store.create_key(key, &secret.hash(), now).await?)
}

//! Settings of the connections of clients: how many, and how long they may waste time.

use std::time::Duration;

use clap::Args;

use super::SettingsError;

const DEFAULT_CLIENTS: u32 = 1024;
const MAX_CLIENTS: u32 = 65_536;
const DEFAULT_CLIENT_SECONDS: u32 = 30;
const DEFAULT_REQUEST_SECONDS: u32 = 60;
const MAX_SECONDS: u32 = 3600;

/// How many clients may be connected, and how long they may take.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientArgs {
    /// Most connections of clients at a time, 1 to 65536; others wait [default: 1024]
    #[arg(long, env = "DOSSIER_MAX_CLIENTS", value_name = "N")]
    pub max_clients: Option<u32>,

    /// Seconds a client may take for a request's headers, for its body, and to go on reading, 1 to 3600 [default: 30]
    #[arg(long, env = "DOSSIER_CLIENT_TIMEOUT", value_name = "SECONDS")]
    pub client_timeout: Option<u32>,

    /// Seconds until a request is answered, 1 to 3600 [default: 60]
    #[arg(long, env = "DOSSIER_REQUEST_TIMEOUT", value_name = "SECONDS")]
    pub request_timeout: Option<u32>,
}

/// How many clients may be connected, and how long they may take: complete and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// Most connections at a time. Others wait in the system's queue.
    pub most: u32,
    /// For the headers of a request, from the moment that the connection is free for one; for its body;
    /// and for any progress with reading the answer.
    pub timeout: Duration,
    /// For a request, from its headers to its answer.
    pub request_timeout: Duration,
}

impl ClientSettings {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub(crate) fn resolve(args: &ClientArgs, file: &ClientArgs) -> Result<Self, SettingsError> {
        let most = args.max_clients.or(file.max_clients);
        let most = most.unwrap_or(DEFAULT_CLIENTS);
        if !(1..=MAX_CLIENTS).contains(&most) {
            return Err(SettingsError::MaxClients(most));
        }
        let client = args.client_timeout.or(file.client_timeout);
        let request = args.request_timeout.or(file.request_timeout);
        Ok(Self {
            most,
            timeout: seconds("client_timeout", client, DEFAULT_CLIENT_SECONDS)?,
            request_timeout: seconds("request_timeout", request, DEFAULT_REQUEST_SECONDS)?,
        })
    }
}

fn seconds(
    setting: &'static str,
    given: Option<u32>,
    default: u32,
) -> Result<Duration, SettingsError> {
    let seconds = given.unwrap_or(default);
    if (1..=MAX_SECONDS).contains(&seconds) {
        Ok(Duration::from_secs(seconds.into()))
    } else {
        Err(SettingsError::Seconds { setting, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        max_clients: u32,
        client_timeout: u32,
        request_timeout: u32,
    ) -> Result<ClientSettings, SettingsError> {
        let args = ClientArgs {
            max_clients: Some(max_clients),
            client_timeout: Some(client_timeout),
            request_timeout: Some(request_timeout),
        };
        ClientSettings::resolve(&args, &ClientArgs::default())
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let args = ClientArgs {
            max_clients: Some(5),
            ..ClientArgs::default()
        };
        let file = ClientArgs {
            max_clients: Some(6),
            client_timeout: Some(7),
            request_timeout: None,
        };
        let settings = ClientSettings::resolve(&args, &file).unwrap();
        let expected = ClientSettings {
            most: 5,
            timeout: Duration::from_secs(7),
            request_timeout: Duration::from_mins(1),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn everything_has_bounds() {
        assert!(resolve(1, 1, 1).is_ok());
        assert!(resolve(MAX_CLIENTS, MAX_SECONDS, MAX_SECONDS).is_ok());
        for (wrong, name) in [
            (resolve(0, 1, 1), "max_clients"),
            (resolve(MAX_CLIENTS + 1, 1, 1), "max_clients"),
            (resolve(1, 0, 1), "client_timeout"),
            (resolve(1, MAX_SECONDS + 1, 1), "client_timeout"),
            (resolve(1, 1, 0), "request_timeout"),
            (resolve(1, 1, MAX_SECONDS + 1), "request_timeout"),
        ] {
            assert!(wrong.unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}

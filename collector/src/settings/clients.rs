//! Settings of client connections.

use std::time::Duration;

use clap::Args;

use super::values::{number, seconds};

/// How many clients may be connected, and how long they may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct ClientSettings {
    /// Maximum number of client connections, 1 to 65536; others wait
    #[arg(
        long,
        env = "DOSSIER_MAX_CLIENTS",
        value_name = "N",
        default_value = "1024",
        value_parser = number(1..=65_536)
    )]
    pub max_clients: u32,

    /// Seconds a client may take for a request's headers, for its body, and between two reads, 1 to 3600
    #[arg(
        long,
        env = "DOSSIER_CLIENT_TIMEOUT",
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds(1..=3600)
    )]
    pub client_timeout: Duration,

    /// Seconds until a request is answered, 1 to 3600
    #[arg(
        long,
        env = "DOSSIER_REQUEST_TIMEOUT",
        value_name = "SECONDS",
        default_value = "60",
        value_parser = seconds(1..=3600)
    )]
    pub request_timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::testing::{parse, parse_with_file};

    #[test]
    fn file_fills_in_what_flags_omit() {
        let file = "max_clients = 6\nclient_timeout = 7";
        let settings: ClientSettings = parse_with_file(file, &["--max-clients=5"]).unwrap();
        let expected = ClientSettings {
            max_clients: 5,
            client_timeout: Duration::from_secs(7),
            request_timeout: Duration::from_mins(1),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        let resolve = |clients: u32, client: u32, request: u32| {
            parse::<ClientSettings>(&[
                &format!("--max-clients={clients}"),
                &format!("--client-timeout={client}"),
                &format!("--request-timeout={request}"),
            ])
        };
        assert!(resolve(1, 1, 1).is_ok());
        assert!(resolve(65_536, 3600, 3600).is_ok());
        for (wrong, name) in [
            (resolve(0, 1, 1), "max_clients"),
            (resolve(65_537, 1, 1), "max_clients"),
            (resolve(1, 0, 1), "client_timeout"),
            (resolve(1, 3601, 1), "client_timeout"),
            (resolve(1, 1, 0), "request_timeout"),
            (resolve(1, 1, 3601), "request_timeout"),
        ] {
            assert!(wrong.unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}

//! Settings of access: tokens of an identity provider, and rate limits.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use reqwest::Url;

use super::SettingsError;
use super::secret::{SecretFile, SecretSource, SecretText};
use super::values::{number, text};

/// RFC 7518 asks for as many bytes as the hash of HS256 has.
const MIN_SECRET_BYTES: usize = 32;
const MAX_SECRET_BYTES: usize = 4096;
const MAX_CLAIM_BYTES: usize = 256;
const MAX_RATE: u32 = 100_000;
const MAX_BURST: u32 = 10 * MAX_RATE;

/// Who has access beside the holders of keys, and how often.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("jwt_keys"))]
pub struct AccessArgs {
    /// Secret that signs tokens (HS256), 32 to 4096 bytes
    #[arg(
        long,
        env = "DOSSIER_JWT_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        group = "jwt_keys"
    )]
    pub jwt_secret: Option<SecretText>,

    /// File that holds the secret, so that no process list shows it
    #[arg(
        long,
        env = "DOSSIER_JWT_SECRET_FILE",
        value_name = "FILE",
        group = "jwt_keys"
    )]
    pub jwt_secret_file: Option<PathBuf>,

    /// File with the public keys of token signers (RS256, ES256), a JSON Web Key Set
    #[arg(
        long,
        env = "DOSSIER_JWT_JWKS_FILE",
        value_name = "FILE",
        group = "jwt_keys"
    )]
    pub jwt_jwks_file: Option<PathBuf>,

    /// URL of such a set: https, or http on the same machine
    #[arg(
        long,
        env = "DOSSIER_JWT_JWKS_URL",
        value_name = "URL",
        value_parser = jwks_url,
        hide_env_values = true,
        group = "jwt_keys"
    )]
    pub jwt_jwks_url: Option<Url>,

    /// Claim that names the caller's role
    #[arg(
        long,
        env = "DOSSIER_JWT_ROLE_CLAIM",
        value_name = "NAME",
        default_value = "role",
        value_parser = text(MAX_CLAIM_BYTES),
        requires = "jwt_keys"
    )]
    pub jwt_role_claim: String,

    /// Audiences (aud) of which a token must name one, separated by commas; without it any
    #[arg(
        long,
        env = "DOSSIER_JWT_AUDIENCE",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = text(MAX_CLAIM_BYTES),
        requires = "jwt_keys"
    )]
    pub jwt_audience: Vec<String>,

    /// Issuer (iss) that a token must name; without it any
    #[arg(
        long,
        env = "DOSSIER_JWT_ISSUER",
        value_name = "NAME",
        value_parser = text(MAX_CLAIM_BYTES),
        requires = "jwt_keys"
    )]
    pub jwt_issuer: Option<String>,

    /// Maximum requests of one reader per second, 0 to 100000; 0 for no limit
    #[arg(
        long,
        env = "DOSSIER_RATE_LIMIT",
        value_name = "N",
        default_value = "200",
        value_parser = number(0..=MAX_RATE)
    )]
    pub rate_limit: u32,

    /// Requests that a reader who has waited may send at once, 0 to 1000000 [default: twice the limit]
    #[arg(
        long,
        env = "DOSSIER_RATE_LIMIT_BURST",
        value_name = "N",
        value_parser = number(0..=MAX_BURST)
    )]
    pub rate_limit_burst: Option<u32>,
}

/// Who has access, complete and checked.
#[derive(Debug, Clone, Default)]
pub struct AccessSettings {
    /// How tokens are verified; without it, none is accepted.
    pub jwt: Option<JwtSettings>,
    /// The rate limit of each reader, if there is one.
    pub rate: Option<Rate>,
    /// Whether senders of batches need a certificate beside a key.
    pub certificate_for_batches: bool,
}

/// How tokens are verified.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// The keys of those who sign them.
    pub keys: JwtKeys,
    /// The claim that names the role.
    pub role_claim: String,
    /// One of these must be in `aud`; if there are none, it is not checked.
    pub audience: Vec<String>,
    /// Must be `iss`.
    pub issuer: Option<String>,
}

/// The keys that tokens are verified by. They determine the algorithms.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// HS256: the secret, and where it is read again.
    Secret(JwtSecret, SecretSource),
    /// RS256 and ES256: a JSON Web Key Set in a file.
    File(PathBuf),
    /// RS256 and ES256: a JSON Web Key Set behind a URL.
    Url(Url),
}

/// A secret that signs tokens. It is never shown.
#[derive(Clone)]
pub struct JwtSecret(String);

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The average.
    pub per_second: NonZeroU32,
    /// The maximum at once, after a pause.
    pub burst: NonZeroU32,
}

impl AccessArgs {
    /// Reads what the settings name, and relates them.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub(crate) fn resolve(self) -> Result<AccessSettings, SettingsError> {
        Ok(AccessSettings {
            rate: rate(self.rate_limit, self.rate_limit_burst)?,
            jwt: self.jwt()?,
            certificate_for_batches: false,
        })
    }

    fn jwt(self) -> Result<Option<JwtSettings>, SettingsError> {
        let names = ["jwt_secret", "jwt_secret_file"];
        let secret = SecretSource::either(names, self.jwt_secret, self.jwt_secret_file);
        let keys = match (secret, self.jwt_jwks_file, self.jwt_jwks_url) {
            (Some(source), _, _) => JwtKeys::Secret(JwtSecret::read(&source)?, source),
            (None, Some(path), _) => key_file(path)?,
            (None, None, Some(url)) => JwtKeys::Url(url),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(JwtSettings {
            keys,
            role_claim: self.jwt_role_claim,
            audience: self.jwt_audience,
            issuer: self.jwt_issuer,
        }))
    }
}

impl JwtSecret {
    /// The secret, as it is now.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting and the file.
    pub fn read(source: &SecretSource) -> Result<Self, SettingsError> {
        let text = source.read()?;
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&text.len()) {
            let (min, max, got) = (MIN_SECRET_BYTES, MAX_SECRET_BYTES, text.len());
            let problem = format!("expected {min} to {max} bytes, got {got}");
            return Err(SettingsError::invalid(source.to_string(), problem));
        }
        Ok(Self(text))
    }

    /// For verification alone.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtSecret(…)")
    }
}

fn rate(limit: u32, burst: Option<u32>) -> Result<Option<Rate>, SettingsError> {
    let burst = burst.unwrap_or(2 * limit);
    match (NonZeroU32::new(limit), NonZeroU32::new(burst)) {
        (None, _) => Ok(None),
        (Some(per_second), Some(burst)) if burst >= per_second => {
            Ok(Some(Rate { per_second, burst }))
        }
        _ => {
            let problem = format!("expected at least rate_limit, {limit}, got {burst}");
            Err(SettingsError::invalid("rate_limit_burst", problem))
        }
    }
}

/// Reads the file, so that a wrong path is an error at the start and not at the first token.
fn key_file(path: PathBuf) -> Result<JwtKeys, SettingsError> {
    let file = SecretFile {
        setting: "jwt_jwks_file",
        path,
    };
    file.bytes()?;
    Ok(JwtKeys::File(file.path))
}

/// A URL whose content cannot be replaced on the way: with other keys, tokens could be forged.
fn jwks_url(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str =
        "expected https://…, or http://… on this machine, without user and password";
    let url: Url = text.parse().map_err(|_| EXPECTED)?;
    let host = url.host_str().ok_or(EXPECTED)?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_local);
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    (is_safe && is_anonymous).then_some(url).ok_or(EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::layers::ParseError;
    use crate::settings::testing::{parse, parse_with_file};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn resolve(flags: &[&str]) -> Result<AccessSettings, ParseError> {
        Ok(parse::<AccessArgs>(flags)?.resolve()?)
    }

    fn secret(text: &str) -> Result<JwtSecret, SettingsError> {
        JwtSecret::read(&SecretSource::Setting {
            setting: "jwt_secret",
            text: text.into(),
        })
    }

    fn keys(flags: &[&str]) -> JwtKeys {
        resolve(flags).unwrap().jwt.unwrap().keys
    }

    #[test]
    fn tokens_are_refused_by_default() {
        assert!(resolve(&[]).unwrap().jwt.is_none());
    }

    #[test]
    fn readers_are_limited_by_default() {
        let rate = resolve(&[]).unwrap().rate.unwrap();
        assert_eq!((rate.per_second.get(), rate.burst.get()), (200, 400));
    }

    #[test]
    fn rates_out_of_bounds_are_refused() {
        let rate = |limit: u32, burst: Option<u32>| {
            let mut flags = vec![format!("--rate-limit={limit}")];
            flags.extend(burst.map(|burst| format!("--rate-limit-burst={burst}")));
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            resolve(&flags).map(|settings| settings.rate)
        };
        assert_eq!(rate(0, None).unwrap(), None);
        assert_eq!(rate(0, Some(5)).unwrap(), None);
        assert_eq!(
            rate(MAX_RATE, None).unwrap().unwrap().burst.get(),
            2 * MAX_RATE
        );
        for (limit, burst) in [
            (MAX_RATE + 1, None),
            (10, Some(9)),
            (10, Some(0)),
            (10, Some(10 * MAX_RATE + 1)),
        ] {
            let error = rate(limit, burst).unwrap_err().to_string();
            assert!(error.contains("rate_limit"), "{error}");
        }
    }

    #[test]
    fn keys_of_flag_precede_keys_of_file() {
        let file = "jwt_jwks_url = 'https://example.com/keys'\njwt_audience = ['dossier']";
        let flag = format!("--jwt-secret={SECRET}");
        let args: AccessArgs = parse_with_file(file, &[&flag]).unwrap();
        let jwt = args.resolve().unwrap().jwt.unwrap();
        assert!(
            matches!(jwt.keys, JwtKeys::Secret(secret, _) if secret.as_bytes() == SECRET.as_bytes())
        );
        assert_eq!(jwt.audience, ["dossier"]);
        assert_eq!(jwt.role_claim, "role");
        let args: AccessArgs = parse_with_file(file, &[]).unwrap();
        let keys = args.resolve().unwrap().jwt.unwrap().keys;
        assert!(matches!(keys, JwtKeys::Url(_)));
    }

    #[test]
    fn keys_of_two_places_are_refused() {
        let flag = format!("--jwt-secret={SECRET}");
        let both = [&flag, "--jwt-jwks-url=https://example.com/keys"];
        let error = resolve(&both).unwrap_err().to_string();
        assert_eq!(
            error,
            "jwt_secret, jwt_jwks_url: expected at most one of them"
        );
    }

    #[test]
    fn claims_without_keys_are_refused() {
        let error = resolve(&["--jwt-issuer=https://example.com"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "jwt_secret, jwt_secret_file, jwt_jwks_file, jwt_jwks_url: expected one of them: another setting needs it"
        );
    }

    #[test]
    fn secret_is_long_enough_and_never_shown() {
        for (text, fits) in [
            ("x".repeat(MIN_SECRET_BYTES - 1), false),
            ("x".repeat(MIN_SECRET_BYTES), true),
            ("x".repeat(MAX_SECRET_BYTES), true),
            ("x".repeat(MAX_SECRET_BYTES + 1), false),
        ] {
            assert_eq!(secret(&text).is_ok(), fits, "{} bytes", text.len());
        }
        let error = secret("hunter2").unwrap_err().to_string();
        assert!(
            error.contains("32") && !error.contains("hunter2"),
            "{error}"
        );
        assert_eq!(format!("{:?}", secret(SECRET).unwrap()), "JwtSecret(…)");
    }

    #[test]
    fn secret_in_file_lacks_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let keys = keys(&[&format!("--jwt-secret-file={}", path.display())]);
        assert!(
            matches!(keys, JwtKeys::Secret(secret, SecretSource::File(_)) if secret.as_bytes() == SECRET.as_bytes())
        );
    }

    #[test]
    fn missing_key_file_is_refused() {
        let missing = resolve(&["--jwt-jwks-file=/not/there/keys.json"]);
        assert!(matches!(
            missing,
            Err(ParseError::Settings(SettingsError::Unreadable { .. }))
        ));
    }

    #[test]
    fn unsafe_key_urls_are_refused() {
        for (url, fits) in [
            ("https://example.com/.well-known/jwks.json", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://example.com/keys", false),
            ("http://localhost.example.com/keys", false),
            ("https://user:password@example.com/keys", false),
            ("ftp://localhost/keys", false),
            ("keys.json", false),
        ] {
            assert_eq!(jwks_url(url).is_ok(), fits, "{url}");
        }
        let wrong = resolve(&["--jwt-jwks-url=https://user:hunter2@example.com/keys"]);
        let error = wrong.unwrap_err().to_string();
        assert!(error.starts_with("jwt_jwks_url: expected https"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn texts_out_of_bounds_are_refused() {
        let parse = text(MAX_CLAIM_BYTES);
        assert!(parse(&"x".repeat(MAX_CLAIM_BYTES)).is_ok());
        assert!(parse(&"x".repeat(MAX_CLAIM_BYTES + 1)).is_err());
        assert!(parse("").is_err());
    }
}

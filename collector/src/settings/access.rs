//! Settings of who gets in: tokens of an identity provider, and how often a caller may ask.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use reqwest::Url;

use super::SettingsError;
use super::secret::{Secret, SecretFile};

/// RFC 7518 asks for as many bytes as the hash of HS256 has.
const MIN_SECRET_BYTES: usize = 32;
const MAX_SECRET_BYTES: usize = 4096;
const MAX_CLAIM_BYTES: usize = 256;
const DEFAULT_ROLE_CLAIM: &str = "role";
const DEFAULT_RATE: u32 = 200;
const MAX_RATE: u32 = 100_000;

/// Who gets in beside the holders of keys, and how often.
#[derive(Debug, Clone, Default, Args)]
pub struct AccessArgs {
    /// Secret that signs tokens (HS256), 32 bytes or more; a file keeps it out of the process list
    #[arg(
        long,
        env = "DOSSIER_JWT_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub jwt_secret: Option<String>,

    /// File that holds the secret
    #[arg(long, env = "DOSSIER_JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,

    /// File with the public keys of those who sign tokens (RS256, ES256), a JSON Web Key Set
    #[arg(long, env = "DOSSIER_JWT_JWKS_FILE", value_name = "FILE")]
    pub jwt_jwks_file: Option<PathBuf>,

    /// URL of those public keys: https, or http on this machine
    #[arg(long, env = "DOSSIER_JWT_JWKS_URL", value_name = "URL")]
    pub jwt_jwks_url: Option<String>,

    /// Claim that names the caller's role [default: role]
    #[arg(long, env = "DOSSIER_JWT_ROLE_CLAIM", value_name = "NAME")]
    pub jwt_role_claim: Option<String>,

    /// Whom tokens must be meant for (aud); of several, separated by commas, any
    #[arg(
        long,
        env = "DOSSIER_JWT_AUDIENCE",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub jwt_audience: Vec<String>,

    /// Who must have issued tokens (iss)
    #[arg(long, env = "DOSSIER_JWT_ISSUER", value_name = "NAME")]
    pub jwt_issuer: Option<String>,

    /// Requests of one reader a second, to 100000; 0 for no limit [default: 200]
    #[arg(long, env = "DOSSIER_RATE_LIMIT", value_name = "N")]
    pub rate_limit: Option<u32>,

    /// Requests that a reader who has waited may send at once [default: twice the limit]
    #[arg(long, env = "DOSSIER_RATE_LIMIT_BURST", value_name = "N")]
    pub rate_limit_burst: Option<u32>,
}

/// Who gets in, complete and checked.
#[derive(Debug, Clone, Default)]
pub struct AccessSettings {
    /// How tokens are verified; without it, none is taken.
    pub jwt: Option<JwtSettings>,
    /// How often a reader may ask; without it, as often as they like.
    pub rate: Option<Rate>,
    /// Whether who sends batches needs a certificate beside a key.
    pub certificate_for_batches: bool,
}

/// How tokens are verified.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// By which keys.
    pub keys: JwtKeys,
    /// The claim that names the role.
    pub role_claim: String,
    /// Any of these must be in `aud`; nothing is asked of it if there are none.
    pub audience: Vec<String>,
    /// Must be `iss`.
    pub issuer: Option<String>,
}

/// The keys that tokens are verified by. They settle the algorithms, too.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// HS256: the secret, and where it is read again.
    Secret(JwtSecret, Secret),
    /// RS256 and ES256: a JSON Web Key Set in a file.
    File(PathBuf),
    /// RS256 and ES256: a JSON Web Key Set behind a URL.
    Url(Url),
}

/// A secret that signs tokens. It is never shown.
#[derive(Clone)]
pub struct JwtSecret(String);

/// How often a reader may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once, after a pause.
    pub burst: NonZeroU32,
}

impl AccessSettings {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub(crate) fn resolve(args: AccessArgs, file: AccessArgs) -> Result<Self, SettingsError> {
        let rate = rate(
            args.rate_limit.or(file.rate_limit),
            args.rate_limit_burst.or(file.rate_limit_burst),
        )?;
        let jwt = jwt(args, file)?;
        Ok(Self {
            jwt,
            rate,
            certificate_for_batches: false,
        })
    }
}

impl JwtSecret {
    /// The secret, as it is now.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting and the file.
    pub fn read(secret: &Secret) -> Result<Self, SettingsError> {
        let text = secret.read()?;
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&text.len()) {
            return Err(SettingsError::JwtSecret {
                place: secret.to_string(),
                bytes: text.len(),
            });
        }
        Ok(Self(text))
    }

    /// The secret itself, for verification.
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

fn rate(limit: Option<u32>, burst: Option<u32>) -> Result<Option<Rate>, SettingsError> {
    let limit = limit.unwrap_or(DEFAULT_RATE);
    let burst = burst.unwrap_or(limit.saturating_mul(2));
    let Some(per_second) = NonZeroU32::new(limit) else {
        return Ok(None);
    };
    match NonZeroU32::new(burst) {
        Some(burst) if limit <= MAX_RATE && (limit..=10 * MAX_RATE).contains(&burst.get()) => {
            Ok(Some(Rate { per_second, burst }))
        }
        _ => Err(SettingsError::RateLimit { limit, burst }),
    }
}

fn jwt(args: AccessArgs, file: AccessArgs) -> Result<Option<JwtSettings>, SettingsError> {
    let role_claim = args.jwt_role_claim.clone().or(file.jwt_role_claim.clone());
    let issuer = args.jwt_issuer.clone().or(file.jwt_issuer.clone());
    let audience = if args.jwt_audience.is_empty() {
        file.jwt_audience.clone()
    } else {
        args.jwt_audience.clone()
    };
    let keys = match keys(args)? {
        Some(keys) => keys,
        None => match keys(file)? {
            Some(keys) => keys,
            // Somebody believes that tokens are checked.
            None if role_claim.is_some() || issuer.is_some() || !audience.is_empty() => {
                return Err(SettingsError::NoJwtKeys);
            }
            None => return Ok(None),
        },
    };
    Ok(Some(JwtSettings {
        keys,
        role_claim: text("jwt_role_claim", role_claim)?.unwrap_or(DEFAULT_ROLE_CLAIM.to_owned()),
        audience: audience
            .into_iter()
            .filter_map(|name| text("jwt_audience", Some(name)).transpose())
            .collect::<Result<_, _>>()?,
        issuer: text("jwt_issuer", issuer)?,
    }))
}

fn text(setting: &'static str, text: Option<String>) -> Result<Option<String>, SettingsError> {
    match text {
        Some(text) if text.is_empty() || text.len() > MAX_CLAIM_BYTES => {
            Err(SettingsError::JwtText(setting))
        }
        text => Ok(text),
    }
}

fn keys(args: AccessArgs) -> Result<Option<JwtKeys>, SettingsError> {
    let sources = (
        args.jwt_secret,
        args.jwt_secret_file,
        args.jwt_jwks_file,
        args.jwt_jwks_url,
    );
    Ok(Some(match sources {
        (None, None, None, None) => return Ok(None),
        (Some(text), None, None, None) => secret(Secret::Given {
            setting: "jwt_secret",
            text,
        })?,
        (None, Some(path), None, None) => secret(Secret::File(SecretFile {
            setting: "jwt_secret_file",
            path,
        }))?,
        (None, None, Some(path), None) => {
            let file = SecretFile {
                setting: "jwt_jwks_file",
                path,
            };
            // Whoever starts the collector should learn of a wrong path now, not at the first token.
            file.bytes()?;
            JwtKeys::File(file.path)
        }
        (None, None, None, Some(url)) => JwtKeys::Url(jwks_url(&url)?),
        _ => return Err(SettingsError::ManyJwtKeys),
    }))
}

fn secret(place: Secret) -> Result<JwtKeys, SettingsError> {
    JwtSecret::read(&place).map(|secret| JwtKeys::Secret(secret, place))
}

/// Whoever could change these keys on their way could sign tokens for anybody.
fn jwks_url(text: &str) -> Result<Url, SettingsError> {
    let url: Url = text.parse().map_err(|_| SettingsError::JwksUrl)?;
    let host = url.host_str().ok_or(SettingsError::JwksUrl)?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let secure = url.scheme() == "https" || (url.scheme() == "http" && here);
    let anonymous = url.username().is_empty() && url.password().is_none();
    if secure && anonymous {
        Ok(url)
    } else {
        Err(SettingsError::JwksUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn resolve(args: AccessArgs) -> Result<AccessSettings, SettingsError> {
        AccessSettings::resolve(args, AccessArgs::default())
    }

    fn given(text: &str) -> Result<JwtSecret, SettingsError> {
        JwtSecret::read(&Secret::Given {
            setting: "jwt_secret",
            text: text.to_owned(),
        })
    }

    fn keys_of(args: AccessArgs) -> JwtKeys {
        resolve(args).unwrap().jwt.unwrap().keys
    }

    #[test]
    fn without_settings_no_token_is_taken_and_readers_are_paced() {
        let settings = resolve(AccessArgs::default()).unwrap();
        assert!(settings.jwt.is_none());
        let rate = settings.rate.unwrap();
        assert_eq!((rate.per_second.get(), rate.burst.get()), (200, 400));
    }

    #[test]
    fn rates_have_bounds() {
        let rate = |limit, burst| rate(Some(limit), burst);
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
    fn keys_of_tokens_come_from_one_place_and_flags_go_before_the_file() {
        let secret = AccessArgs {
            jwt_secret: Some(SECRET.to_owned()),
            ..AccessArgs::default()
        };
        let url = AccessArgs {
            jwt_jwks_url: Some("https://example.com/keys".to_owned()),
            jwt_audience: vec!["dossier".to_owned()],
            ..AccessArgs::default()
        };
        let jwt = AccessSettings::resolve(secret.clone(), url.clone())
            .unwrap()
            .jwt
            .unwrap();
        assert!(
            matches!(jwt.keys, JwtKeys::Secret(secret, _) if secret.as_bytes() == SECRET.as_bytes())
        );
        assert_eq!(jwt.audience, ["dossier"]);
        assert_eq!(jwt.role_claim, "role");
        assert!(matches!(keys_of(url.clone()), JwtKeys::Url(_)));
        let both = AccessArgs {
            jwt_secret: secret.jwt_secret,
            ..url
        };
        assert!(matches!(resolve(both), Err(SettingsError::ManyJwtKeys)));
        let none = AccessArgs {
            jwt_issuer: Some("https://example.com".to_owned()),
            ..AccessArgs::default()
        };
        assert!(matches!(resolve(none), Err(SettingsError::NoJwtKeys)));
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        for (text, fits) in [
            ("x".repeat(MIN_SECRET_BYTES - 1), false),
            ("x".repeat(MIN_SECRET_BYTES), true),
            ("x".repeat(MAX_SECRET_BYTES), true),
            ("x".repeat(MAX_SECRET_BYTES + 1), false),
        ] {
            assert_eq!(given(&text).is_ok(), fits, "{} bytes", text.len());
        }
        let error = given("hunter2").unwrap_err().to_string();
        assert!(
            error.contains("32") && !error.contains("hunter2"),
            "{error}"
        );
        assert_eq!(format!("{:?}", given(SECRET).unwrap()), "JwtSecret(…)");
    }

    #[test]
    fn a_secret_in_a_file_goes_without_the_line_s_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let keys = keys_of(AccessArgs {
            jwt_secret_file: Some(path),
            ..AccessArgs::default()
        });
        assert!(
            matches!(keys, JwtKeys::Secret(secret, Secret::File(_)) if secret.as_bytes() == SECRET.as_bytes())
        );
        let missing = resolve(AccessArgs {
            jwt_jwks_file: Some(folder.path().join("keys.json")),
            ..AccessArgs::default()
        });
        assert!(matches!(missing, Err(SettingsError::Unreadable { .. })));
    }

    #[test]
    fn keys_come_over_a_connection_that_nobody_can_change() {
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
    }

    #[test]
    fn texts_have_bounds() {
        let claim = |bytes: usize| text("jwt_issuer", Some("x".repeat(bytes)));
        assert!(claim(MAX_CLAIM_BYTES).is_ok());
        assert!(claim(MAX_CLAIM_BYTES + 1).is_err());
        assert!(claim(0).is_err());
    }
}

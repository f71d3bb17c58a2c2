//! Valid tokens, and every way in which one is not.

use jsonwebtoken::Header;
use serde_json::json;
use tempfile::TempDir;
use time::macros::datetime;

use super::*;
use crate::auth::signer::{Signer, published};
use crate::settings::access::AccessArgs;
use crate::settings::testing::parse;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const SECRET: &str = "a secret that only these tests know of";

/// Settings as resolved from the command line.
fn tokens(change: impl FnOnce(&mut AccessArgs)) -> TokenVerifier {
    let mut args: AccessArgs = parse(&[]).unwrap();
    change(&mut args);
    let settings = args.resolve().unwrap();
    TokenVerifier::new(settings.jwt.unwrap())
}

fn by_secret() -> TokenVerifier {
    tokens(|args| args.jwt_secret = Some(SECRET.into()))
}

fn by_public_keys(signers: &[&Signer]) -> (TokenVerifier, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, published(signers)).unwrap();
    (tokens(|args| args.jwt_jwks_file = Some(path)), folder)
}

fn at(seconds_from_now: i64) -> i64 {
    NOW.unix_timestamp() + seconds_from_now
}

fn claims(extra: &Value) -> Value {
    let mut claims = json!({"sub": "alice", "exp": at(300)});
    for (name, value) in extra.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn verdict(tokens: &TokenVerifier, token: &str) -> Result<Caller, TokenError> {
    match tokens.verify(token, NOW).await {
        Ok(caller) => Ok(caller),
        Err(AuthError::InvalidToken(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

async fn error_of(tokens: &TokenVerifier, token: &str) -> Option<TokenError> {
    verdict(tokens, token).await.err()
}

/// The result for a correctly signed token with these claims.
async fn verdict_on(tokens: &TokenVerifier, extra: &Value) -> Result<Caller, TokenError> {
    verdict(tokens, &Signer::secret(SECRET).token(&claims(extra))).await
}

#[tokio::test]
async fn accepts_token_signed_by_each_key_kind() {
    let (ec, rsa) = (Signer::ec("e"), Signer::rsa("r"));
    let (public, _folder) = by_public_keys(&[&ec, &rsa]);
    let plain = claims(&json!({}));
    for (tokens, token) in [
        (&by_secret(), Signer::secret(SECRET).token(&plain)),
        (&public, ec.token(&plain)),
        (&public, rsa.token(&plain)),
    ] {
        let caller = verdict(tokens, &token).await.unwrap();
        assert_eq!(caller.user.as_str(), "alice");
        assert_eq!(caller.role, Role::User);
        assert_eq!(caller.credential, Credential::Token(caller.user));
    }
}

#[tokio::test]
async fn rejects_token_of_unknown_signer() {
    let unknown = Signer::secret("another secret, of an unknown signer");
    let token = unknown.token(&claims(&json!({})));
    assert_eq!(
        error_of(&by_secret(), &token).await,
        Some(TokenError::Signature)
    );

    let known = Signer::ec("a");
    let (public, _folder) = by_public_keys(&[&known]);
    for unknown in [Signer::ec("a"), Signer::ec("b"), Signer::rsa("a")] {
        let token = unknown.token(&claims(&json!({})));
        assert_eq!(error_of(&public, &token).await, Some(TokenError::Signature));
    }
}

#[tokio::test]
async fn rejects_algorithm_or_key_chosen_by_token() {
    let (ec, rsa) = (Signer::ec("e"), Signer::rsa("r"));
    let (public, _folder) = by_public_keys(&[&ec, &rsa]);
    let plain = claims(&json!({}));
    // The public key used as if it were a shared secret, in both forms that an attacker may try.
    let key = rsa.public();
    for secret in [key.to_string(), key["n"].as_str().unwrap().to_owned()] {
        let header = Header {
            kid: Some("r".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let token = Signer::secret(&secret).token_with(&header, &plain);
        assert_eq!(error_of(&public, &token).await, Some(TokenError::Malformed));
    }
    // Another strength of the same secret, and a public key where a secret is expected.
    let header = Header::new(Algorithm::HS512);
    let token = Signer::secret(SECRET).token_with(&header, &plain);
    assert_eq!(
        error_of(&by_secret(), &token).await,
        Some(TokenError::Malformed)
    );
    let token = ec.token(&plain);
    assert_eq!(
        error_of(&by_secret(), &token).await,
        Some(TokenError::Malformed)
    );
    // No signature at all; and a key that the token brings along.
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":""}"#,
        "{}",
    ] {
        let token = format!("{}.{}.", base64(header), base64(&plain.to_string()));
        assert_eq!(
            error_of(&public, &token).await,
            Some(TokenError::Malformed),
            "{header}"
        );
        assert_eq!(
            error_of(&by_secret(), &token).await,
            Some(TokenError::Malformed),
            "{header}"
        );
    }
    let own = Signer::ec("e");
    let header = Header {
        jwk: serde_json::from_value(own.public()).unwrap(),
        jku: Some("https://example.com/keys".to_owned()),
        ..own.header()
    };
    let token = own.token_with(&header, &plain);
    assert_eq!(error_of(&public, &token).await, Some(TokenError::Signature));
    let header = Header {
        crit: Some(vec!["exp".to_owned()]),
        ..ec.header()
    };
    let token = ec.token_with(&header, &plain);
    assert_eq!(error_of(&public, &token).await, Some(TokenError::Malformed));
}

#[tokio::test]
async fn rejects_tampered_token() {
    let tokens = by_secret();
    let token = Signer::secret(SECRET).token(&claims(&json!({})));
    let parts: Vec<&str> = token.split('.').collect();
    let admin = base64(&claims(&json!({"role": "admin"})).to_string());
    let changed = format!("{}.{admin}.{}", parts[0], parts[2]);
    assert_eq!(
        error_of(&tokens, &changed).await,
        Some(TokenError::Signature)
    );
    let cut = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(error_of(&tokens, &cut).await, Some(TokenError::Signature));
    for noise in ["..", "a.b.c", "🦀.🦀.🦀"] {
        assert_eq!(
            error_of(&tokens, noise).await,
            Some(TokenError::Malformed),
            "{noise}"
        );
    }
}

#[tokio::test]
async fn checks_exp_and_nbf_with_leeway() {
    let tokens = by_secret();
    for (times, expected) in [
        (json!({"exp": at(1)}), None),
        (json!({"exp": at(-29)}), None),
        (json!({"exp": at(-30)}), Some(TokenError::Expired)),
        (json!({"exp": 0}), Some(TokenError::Expired)),
        (json!({"exp": -1.5}), Some(TokenError::Malformed)),
        (json!({"exp": 1e300}), Some(TokenError::Malformed)),
        (json!({"exp": "tomorrow"}), Some(TokenError::Malformed)),
        (json!({"exp": null}), Some(TokenError::Malformed)),
        (json!({"nbf": at(30)}), None),
        (json!({"nbf": at(31)}), Some(TokenError::NotYetValid)),
        (json!({"nbf": "now"}), Some(TokenError::Malformed)),
    ] {
        assert_eq!(verdict_on(&tokens, &times).await.err(), expected, "{times}");
    }
    let token = Signer::secret(SECRET).token(&json!({"sub": "alice"}));
    assert_eq!(error_of(&tokens, &token).await, Some(TokenError::Malformed));
}

#[tokio::test]
async fn checks_audience_and_issuer_if_configured() {
    let strict = tokens(|args| {
        args.jwt_secret = Some(SECRET.into());
        args.jwt_audience = vec!["dossier".to_owned(), "audit".to_owned()];
        args.jwt_issuer = Some("https://id.example.com".to_owned());
    });
    let iss = "https://id.example.com";
    for (names, expected) in [
        (json!({"aud": "dossier", "iss": iss}), None),
        (json!({"aud": ["x", "audit"], "iss": iss}), None),
        (
            json!({"aud": "other", "iss": iss}),
            Some(TokenError::Audience),
        ),
        (json!({"aud": [], "iss": iss}), Some(TokenError::Audience)),
        (json!({"iss": iss}), Some(TokenError::Audience)),
        (json!({"aud": "dossier"}), Some(TokenError::Issuer)),
        (
            json!({"aud": "dossier", "iss": format!("{iss}/")}),
            Some(TokenError::Issuer),
        ),
        (
            json!({"aud": "dossier", "iss": 1}),
            Some(TokenError::Issuer),
        ),
    ] {
        assert_eq!(verdict_on(&strict, &names).await.err(), expected, "{names}");
    }
    let lax = by_secret();
    for names in [json!({}), json!({"aud": "other", "iss": "anyone"})] {
        assert_eq!(verdict_on(&lax, &names).await.err(), None, "{names}");
    }
}

#[tokio::test]
async fn subject_becomes_user() {
    let tokens = by_secret();
    for subject in [
        json!(null),
        json!(7),
        json!(""),
        json!("a\0b"),
        json!("x".repeat(257)),
    ] {
        let error = verdict_on(&tokens, &json!({"sub": subject})).await.err();
        assert_eq!(error, Some(TokenError::Subject), "{subject}");
    }
    let caller = verdict_on(&tokens, &json!({"sub": "auth0|42"}))
        .await
        .unwrap();
    assert_eq!(caller.user.as_str(), "auth0|42");
}

#[tokio::test]
async fn reads_role_claim_or_defaults_to_user() {
    let tokens = tokens(|args| {
        args.jwt_secret = Some(SECRET.into());
        args.jwt_role_claim = "https://example.com/role".to_owned();
    });
    for (claim, expected) in [
        (json!("admin"), Ok(Role::Admin)),
        (json!("readonly"), Ok(Role::Readonly)),
        (json!("ingest"), Ok(Role::Ingest)),
        (json!("user"), Ok(Role::User)),
        (json!(null), Ok(Role::User)),
        (json!([]), Ok(Role::User)),
        (json!(["editor", "billing"]), Ok(Role::User)),
        (json!(["editor", "readonly"]), Ok(Role::Readonly)),
        (json!(["admin", "readonly"]), Err(TokenError::Role)),
        (json!("Admin"), Err(TokenError::Role)),
        (json!("editor"), Err(TokenError::Role)),
        (json!(""), Err(TokenError::Role)),
        (json!(true), Err(TokenError::Role)),
        (json!({"admin": true}), Err(TokenError::Role)),
    ] {
        let verdict = verdict_on(&tokens, &json!({"https://example.com/role": claim})).await;
        assert_eq!(verdict.map(|caller| caller.role), expected, "{claim}");
    }
    let other = verdict_on(&tokens, &json!({"role": "admin"}))
        .await
        .unwrap();
    assert_eq!(other.role, Role::User, "another claim says nothing");
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

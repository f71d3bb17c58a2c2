//! `user`: whose data an exchange is, by headers and by tokens. (By certificates: `certificates`.)

use aws_lc_rs::digest::{SHA256, digest};
use dossier_tests::HarnessError;
use dossier_tests::bootstrap::Bootstrap;
use dossier_tests::identity_provider::{ALICE_TOKEN, JWKS};
use dossier_tests::traffic::Call;
use reqwest::Method;
use serde_json::json;

use super::{Setup, with};

/// The payload of a token for mallory, which otherwise is that of [`ALICE_TOKEN`].
const PAYLOAD_OF_MALLORY: &str = concat!(
    "eyJpc3MiOiJodHRwczovL2lkZW50aXR5LmV4YW1wbGUuY29tIiwiYXVkIjoiZXhhbXBsZS1hcGkiLCJzdWIiOiJt",
    "YWxsb3J5IiwiZXhwIjo0MTAyNDQ0ODAwfQ",
);
/// Of that token: a signature by a key that nobody publishes.
const SIGNATURE_OF_MALLORY: &str = "bFR8e6TiEOJ516fywYwzjVegneA9AxK1lyY6DUObLRY";
/// `{"alg":"none","typ":"JWT"}`.
const HEAD_WITHOUT_ALGORITHM: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
/// Well signed, for mallory, and expired in 2001.
const EXPIRED: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEiLCJ0eXAiOiJKV1QifQ.",
    "eyJpc3MiOiJodHRwczovL2lkZW50aXR5LmV4YW1wbGUuY29tIiwiYXVkIjoiZXhhbXBsZS1hcGkiLCJzdWIiOiJt",
    "YWxsb3J5IiwiZXhwIjoxMDAwMDAwMDAwfQ.",
    "jq_o-XAFMuJY4E1llWTAlctUB4upeqh93TueEdqBAz0",
);
/// Well signed, for mallory, by an issuer whom nobody trusts.
const OF_ANOTHER_ISSUER: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEiLCJ0eXAiOiJKV1QifQ.",
    "eyJpc3MiOiJodHRwczovL2Vsc2V3aGVyZS5leGFtcGxlLmNvbSIsImF1ZCI6ImV4YW1wbGUtYXBpIiwic3ViIjoi",
    "bWFsbG9yeSIsImV4cCI6NDEwMjQ0NDgwMH0.",
    "Ae9rkn3GybHlYMDvOdIa14SVLILsBPl5JyHpFzq98FY",
);

/// The user of an id that cannot be taken.
fn stand_in(id: &str) -> String {
    let digest = digest(&SHA256, id.as_bytes());
    let digits = digest.as_ref().iter().take(16);
    digits.fold("invalid:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_source_with_user_wins() {
    let keys = json!({
        "user": [{"header": "x-user-id"}, {"header": "X-Forwarded-User"}],
        "defaults": {"storage_type": "both"},
        "routes": [],
    });
    let setup = Setup::start(&keys).await;
    let (fits, too_long) = ("u".repeat(256), "u".repeat(257));
    let stand_in = stand_in(&too_long);
    let claimed = self::stand_in(&stand_in);
    for (number, (headers, user)) in [
        (
            vec![("x-user-id", "ann"), ("x-forwarded-user", "bea")],
            "ann",
        ),
        (
            vec![("x-forwarded-user", "bea"), ("x-user-id", "ann")],
            "ann",
        ),
        (vec![("x-forwarded-user", "bea")], "bea"),
        (vec![("x-user-id", ""), ("x-forwarded-user", "bea")], "bea"),
        (
            vec![("x-user-id", &too_long), ("x-forwarded-user", "bea")],
            &stand_in,
        ),
        (vec![("x-user-id", &fits)], &fits),
        (vec![("x-user-id", &too_long)], &stand_in),
        (vec![("x-user-id", &stand_in)], &claimed),
        (vec![], "anonymous"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut call = Call {
            user: None,
            ..Call::new(Method::GET, "", &format!("/{number}"))
        };
        for (name, value) in headers {
            call = with(call, name, value);
        }
        for half in setup.record(&call).await {
            assert_eq!(half.text("user_id"), user, "{number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_verified_token_names_user() {
    let keys = json!({
        "user": [{"jwt_claim": "sub"}],
        "defaults": {"storage_type": "both"},
        "routes": [],
    });
    let setup = Setup::start_with(&keys, verify_without_rejecting).await;
    let (head, rest) = ALICE_TOKEN.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    for (number, (token, user)) in [
        (Some(ALICE_TOKEN.to_owned()), "alice"),
        (None, "anonymous"),
        (
            Some(format!(
                "{head}.{PAYLOAD_OF_MALLORY}.{SIGNATURE_OF_MALLORY}"
            )),
            "anonymous",
        ),
        (
            Some(format!("{head}.{PAYLOAD_OF_MALLORY}.{signature}")),
            "anonymous",
        ),
        (
            Some(format!("{HEAD_WITHOUT_ALGORITHM}.{PAYLOAD_OF_MALLORY}.")),
            "anonymous",
        ),
        (Some(EXPIRED.to_owned()), "anonymous"),
        (Some(OF_ANOTHER_ISSUER.to_owned()), "anonymous"),
        (Some("no.token.atall".to_owned()), "anonymous"),
    ]
    .into_iter()
    .enumerate()
    {
        // A header that is no source names nobody.
        let mut call = Call::new(Method::GET, "mallory", &format!("/{number}"));
        if let Some(token) = token {
            call = with(call, "authorization", &format!("Bearer {token}"));
        }
        // Envoy lets all of them pass: what the filter makes of them is the question.
        for half in setup.record(&call).await {
            assert_eq!(half.text("user_id"), user, "{number}");
        }
    }
    // The good one named its user because it was good, not because it was the first.
    let again = with(
        Call::new(Method::GET, "mallory", "/again"),
        "authorization",
        &format!("Bearer {ALICE_TOKEN}"),
    );
    for half in setup.record(&again).await {
        assert_eq!(half.text("user_id"), "alice");
    }
}

/// Envoy verifies tokens, but what has none or a bad one passes too.
fn verify_without_rejecting(bootstrap: &mut Bootstrap) -> Result<(), HarnessError> {
    let verify = json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"example": {
                "issuer": "https://identity.example.com",
                "audiences": ["example-api"],
                "payload_in_metadata": "payload",
                "failed_status_in_metadata": "failed",
                "local_jwks": {"inline_string": JWKS},
            }},
            "rules": [{
                "match": {"prefix": "/"},
                "requires": {"requires_any": {"requirements": [
                    {"provider_name": "example"},
                    {"allow_missing_or_failed": {}},
                ]}},
            }],
        },
    });
    bootstrap.http_filters()?.insert(0, verify);
    Ok(())
}

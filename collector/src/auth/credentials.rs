//! What a request shows at the door. Its form alone; whether it is any good is seen later.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderName};

use super::fault::TokenFault;
use crate::http::error::ApiError;
use crate::model::key::ApiKey;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longest token, in bytes. Those of identity providers have one or two thousand.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A key, or what may be a token.
pub(super) enum Credentials {
    /// Has the form of a key.
    Key(ApiKey),
    /// Has three parts, as a signed token has.
    Token(String),
}

impl Credentials {
    /// What the headers show; `Authorization` goes before `X-API-Key`.
    ///
    /// # Errors
    /// [`ApiError::MissingToken`] if they show nothing; [`ApiError::InvalidToken`] if it is sent twice
    /// or has no known form.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        if let Some(value) = single(headers, AUTHORIZATION)? {
            let (scheme, token) = value.split_once(' ').ok_or_else(no_key)?;
            let token = token.trim();
            return if !scheme.eq_ignore_ascii_case("bearer") {
                Err(no_key())
            } else if looks_like_a_token(token) {
                Ok(Self::Token(token.to_owned()))
            } else {
                key(token)
            };
        }
        match single(headers, API_KEY)? {
            Some(value) => key(value),
            None => Err(ApiError::MissingToken),
        }
    }
}

fn key(text: &str) -> Result<Credentials, ApiError> {
    ApiKey::parse(text).map(Credentials::Key).ok_or_else(no_key)
}

fn looks_like_a_token(text: &str) -> bool {
    text.len() <= MAX_TOKEN_BYTES && text.split('.').count() == 3
}

/// The one value of a header. Of two, another program on the way may have read the other one.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| no_key()),
        (Some(_), Some(_)) => Err(ApiError::InvalidToken(TokenFault::Ambiguous)),
    }
}

fn no_key() -> ApiError {
    ApiError::InvalidToken(TokenFault::NoKey)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(headers: &[(HeaderName, &str)]) -> Result<Credentials, ApiError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect::<Vec<_>>();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        Credentials::read(&map)
    }

    fn fault(headers: &[(HeaderName, &str)]) -> Option<TokenFault> {
        match read(headers) {
            Err(ApiError::InvalidToken(fault)) => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn a_key_goes_in_either_header_and_a_token_in_one() {
        let secret = ApiKey::generate().unwrap();
        let key = secret.reveal();
        for headers in [
            [(AUTHORIZATION, format!("Bearer {key}"))],
            [(AUTHORIZATION, format!("bearer  {key} "))],
            [(API_KEY, key.to_owned())],
        ] {
            let [(name, value)] = headers;
            assert!(
                matches!(read(&[(name, &value)]), Ok(Credentials::Key(sent)) if sent.reveal() == key)
            );
        }
        let token = read(&[(AUTHORIZATION, "Bearer a.b.c")]);
        assert!(matches!(token, Ok(Credentials::Token(token)) if token == "a.b.c"));
        assert_eq!(fault(&[(API_KEY, "a.b.c")]), Some(TokenFault::NoKey));
    }

    #[test]
    fn what_is_no_credential_is_refused_and_none_is_missing() {
        assert!(matches!(read(&[]), Err(ApiError::MissingToken)));
        for value in ["", "Bearer", "Bearer ", "Basic YTpi", "dsk_x", "Bearer a.b"] {
            let fault = fault(&[(AUTHORIZATION, value)]);
            assert_eq!(fault, Some(TokenFault::NoKey), "{value}");
        }
    }

    #[test]
    fn of_two_credentials_none_is_chosen() {
        let twice = [
            (AUTHORIZATION, "Bearer a.b.c"),
            (AUTHORIZATION, "Bearer a.b.d"),
        ];
        assert_eq!(fault(&twice), Some(TokenFault::Ambiguous));
    }

    #[test]
    fn the_longest_token_passes_and_a_longer_one_does_not() {
        let token = |bytes: usize| format!("Bearer {}.b.c", "a".repeat(bytes - 4));
        let longest = token(MAX_TOKEN_BYTES);
        assert!(matches!(
            read(&[(AUTHORIZATION, &longest)]),
            Ok(Credentials::Token(_))
        ));
        let longer = token(MAX_TOKEN_BYTES + 1);
        assert_eq!(fault(&[(AUTHORIZATION, &longer)]), Some(TokenFault::NoKey));
    }
}

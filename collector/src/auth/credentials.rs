//! The key or token that a request's headers carry. Only its format is checked here.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderName};
use dossier_content::whitespace::trim;

use super::error::{AuthError, TokenError};
use crate::model::key::ApiKey;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longest token, in bytes. Those of identity providers have one or two thousand.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The credentials of a request, as sent.
pub enum Credentials {
    /// In the format of a key.
    Key(ApiKey),
    /// In three parts, as a signed token.
    Token(String),
}

impl Credentials {
    /// Reads the headers; `Authorization` goes before `X-API-Key`.
    ///
    /// # Errors
    /// [`AuthError::MissingCredentials`] if both are missing; [`AuthError::InvalidToken`] if one is sent
    /// twice or is in no known format.
    pub fn read(headers: &HeaderMap) -> Result<Self, AuthError> {
        if let Some(value) = single(headers, AUTHORIZATION)? {
            let (scheme, token) = value.split_once(' ').ok_or_else(unknown_format)?;
            let token = trim(token);
            return if !scheme.eq_ignore_ascii_case("bearer") {
                Err(unknown_format())
            } else if is_token_format(token) {
                Ok(Self::Token(token.to_owned()))
            } else {
                key(token)
            };
        }
        match single(headers, API_KEY)? {
            Some(value) => key(value),
            None => Err(AuthError::MissingCredentials),
        }
    }
}

fn key(text: &str) -> Result<Credentials, AuthError> {
    ApiKey::parse(text)
        .map(Credentials::Key)
        .ok_or_else(unknown_format)
}

fn is_token_format(text: &str) -> bool {
    text.len() <= MAX_TOKEN_BYTES && text.split('.').count() == 3
}

/// The only value of a header. If there are two, a proxy before the collector may have read the other one.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| unknown_format()),
        (Some(_), Some(_)) => Err(TokenError::Ambiguous.into()),
    }
}

fn unknown_format() -> AuthError {
    TokenError::UnknownFormat.into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(headers: &[(HeaderName, &str)]) -> Result<Credentials, AuthError> {
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

    fn error_of(headers: &[(HeaderName, &str)]) -> Option<TokenError> {
        match read(headers) {
            Err(AuthError::InvalidToken(error)) => Some(error),
            _ => None,
        }
    }

    #[test]
    fn reads_credentials_from_their_headers() {
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
        assert_eq!(
            error_of(&[(API_KEY, "a.b.c")]),
            Some(TokenError::UnknownFormat)
        );
    }

    #[test]
    fn reports_missing_credentials() {
        assert!(matches!(read(&[]), Err(AuthError::MissingCredentials)));
    }

    #[test]
    fn rejects_unknown_formats() {
        for value in ["", "Bearer", "Bearer ", "Basic YTpi", "dsk_x", "Bearer a.b"] {
            let error = error_of(&[(AUTHORIZATION, value)]);
            assert_eq!(error, Some(TokenError::UnknownFormat), "{value}");
        }
    }

    #[test]
    fn rejects_header_sent_twice() {
        let twice = [
            (AUTHORIZATION, "Bearer a.b.c"),
            (AUTHORIZATION, "Bearer a.b.d"),
        ];
        assert_eq!(error_of(&twice), Some(TokenError::Ambiguous));
    }

    #[test]
    fn rejects_token_over_max_length() {
        let token = |bytes: usize| format!("Bearer {}.b.c", "a".repeat(bytes - 4));
        let longest = token(MAX_TOKEN_BYTES);
        assert!(matches!(
            read(&[(AUTHORIZATION, &longest)]),
            Ok(Credentials::Token(_))
        ));
        let longer = token(MAX_TOKEN_BYTES + 1);
        assert_eq!(
            error_of(&[(AUTHORIZATION, &longer)]),
            Some(TokenError::UnknownFormat)
        );
    }
}

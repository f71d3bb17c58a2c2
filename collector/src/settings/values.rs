//! Value parsers of settings. Each error says what was expected; the report adds the name of the setting.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;

/// A whole number within bounds.
pub(super) fn number(
    bounds: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    bounded("a whole number", bounds)
}

/// A whole number of days.
pub(super) fn days(
    bounds: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    bounded("a whole number of days", bounds)
}

/// A whole number of seconds.
pub(super) fn seconds(
    bounds: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    let parse = bounded("a whole number of seconds", bounds);
    move |text| parse(text).map(|seconds| Duration::from_secs(seconds.into()))
}

/// 0, or a number of bytes from `min` on.
pub(super) fn bytes_or_none(
    min: u64,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(bytes) if bytes == 0 || bytes >= min => Ok(bytes),
        _ => Err(format!("expected 0, or {min} to {}", u64::MAX)),
    }
}

/// Text of 1 to `max_bytes` bytes.
pub(super) fn text(
    max_bytes: usize,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| {
        if (1..=max_bytes).contains(&text.len()) {
            Ok(text.to_owned())
        } else {
            Err(format!("expected 1 to {max_bytes} bytes"))
        }
    }
}

/// An address with a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = |_| "expected ADDRESS:PORT, such as 127.0.0.1:8686 or [::1]:8686".to_owned();
    text.parse().map_err(expected)
}

/// The base URL of an OTLP receiver. It may hold no password, since it is shown.
pub(super) fn otlp_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    url.ok_or_else(|| {
        "expected a URL such as http://127.0.0.1:4318, without user, password and query".to_owned()
    })
}

fn bounded(
    what: &'static str,
    bounds: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(format!(
            "expected {what} from {} to {}",
            bounds.start(),
            bounds.end()
        )),
    }
}

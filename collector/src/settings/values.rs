//! Value parsers of settings. Each error says what was expected; the report adds the name of the setting.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

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
        _ => Err(format!("expected 0 or at least {min}")),
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

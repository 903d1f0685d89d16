//! What the text of a setting means. Each error says what is expected; the flag and the text itself are named by clap.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

/// Parameters that every template gets, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemParameters(BTreeMap<String, String>);

impl Deref for SystemParameters {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<(String, String)> for SystemParameters {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Longer spans only come from mistakes, and sums with them must not overflow.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as 90s, 5m, 1h30m or 2d, or a number of seconds".to_owned();
    let span = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
            match days {
                Some(days) => Duration::from_secs(days.saturating_mul(24 * 3600)),
                None => {
                    let signed: jiff::SignedDuration = text.parse().map_err(|_| expected())?;
                    signed.try_into().map_err(|_| expected())?
                }
            }
        }
    };
    if span > LONGEST { Err("expected at most 100 years".to_owned()) } else { Ok(span) }
}

pub(super) fn size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: usize = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        _ => 0,
    };
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| *size > 0)
        .ok_or_else(|| "expected a size such as 512KiB or 4MiB, or a number of bytes".to_owned())
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("expected a number from 1 to 1000000".to_owned()),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 0.0.0.0:8080 or [::]:8080".to_owned())
}

/// Begins with '/' and does not end with one, or is empty.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if (trimmed.is_empty() || trimmed.starts_with('/')) && trimmed.chars().all(plain) && !trimmed.contains("//") {
        Ok(trimmed.to_owned())
    } else {
        Err("expected a path of letters, digits, '-', '_', '.' and '/', such as /aegis".to_owned())
    }
}

pub(super) fn namespace(text: &str) -> Result<String, String> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if text.len() <= 63 && text.chars().all(inside) && edge(text.chars().next()) && edge(text.chars().next_back()) {
        Ok(text.to_owned())
    } else {
        Err("expected a namespace's name: at most 63 of a-z, 0-9 and '-'".to_owned())
    }
}

pub(super) fn namespace_or_all(text: &str) -> Result<String, String> {
    if text == "*" { Ok(text.to_owned()) } else { namespace(text).map_err(|expected| format!("{expected}, or '*'")) }
}

pub(super) fn object_name(text: &str) -> Result<String, String> {
    let parts_are_labels = text.split('.').all(|part| namespace(part).is_ok());
    if text.len() <= 253 && parts_are_labels {
        Ok(text.to_owned())
    } else {
        Err("expected an object's name: at most 253 of a-z, 0-9, '-' and '.'".to_owned())
    }
}

/// "key:value;key:value", or a JSON object of texts, which is how the config file's mapping arrives.
pub(super) fn system_parameters(text: &str) -> Result<SystemParameters, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text)
            .map(SystemParameters)
            .map_err(|error| format!("expected a mapping from names to texts ({error})"));
    }
    let pairs = text.split(';').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| match pair.split_once(':') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err(format!("expected key:value pairs separated by ';', but {pair:?} is none")),
        })
        .collect()
}

pub(super) fn log_level(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        _ => {
            Err("expected error, warn, info, debug or trace, or a list such as info,aegis_controller=debug".to_owned())
        }
    }
}

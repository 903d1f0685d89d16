//! Durations as manifests write them: "90", "30s", "1h30m", "500ms", "2d".

use std::time::Duration;

/// Reads whole seconds ("90") or Go's notation (a number and a unit, repeated; units ms, s, m, h and Argo's d).
/// The error says what was expected.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; expected whole seconds or a form such as 30s, 5m or 1h30m");
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let seconds = match unit {
            "ms" => number / 1000.0,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3600.0,
            "d" => number * 86_400.0,
            _ => return Err(wrong()),
        };
        let part = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_and_argo_write_them() {
        let cases = [
            ("90", Some(90_000)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1_500)),
            ("500ms", Some(500)),
            ("2d", Some(172_800_000)),
            ("", None),
            ("soon", None),
            ("1", Some(1_000)),
            ("1x", None),
            ("-1s", None),
            ("1..2s", None),
            ("99999999999999999999999999999h", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).ok().map(|found| found.as_millis()), want, "{text}");
        }
    }
}

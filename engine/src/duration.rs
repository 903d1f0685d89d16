//! Lengths of time as rules, templates and flags write them: "90s", "5m", "1h30m".

use jiff::SignedDuration;

/// Reads a length of time: one or more of a decimal number and a unit (ms, s, m, h), added up.
///
/// The text must be above zero and at most 366 days. The error says what was found and what is expected.
pub fn parse(text: &str) -> Result<SignedDuration, String> {
    const LONGEST: f64 = 366.0 * 86_400.0;
    let expected = || format!("found {text:?}, expected a length of time such as \"90s\", \"30m\" or \"1h30m\"");
    let mut seconds = 0.0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(expected)?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(expected)?;
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(expected()),
        };
        if number.starts_with('.') || number.ends_with('.') {
            return Err(expected());
        }
        seconds += number.parse::<f64>().map_err(|_| expected())? * scale;
        rest = tail;
    }
    if seconds <= 0.0 || seconds > LONGEST {
        return Err(format!("found {text:?}, expected a length of time above zero and at most 8784h"));
    }
    SignedDuration::try_from_secs_f64(seconds).map_err(|_| expected())
}

/// A length of time for people, in its two largest units: "45s", "5m", "1h30m", "5d".
pub fn brief(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (days, hours, minutes, rest) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let units = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")];
    let Some(first) = units.iter().position(|(count, _)| *count > 0) else { return "0s".to_owned() };
    units
        .iter()
        .skip(first)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect()
}

/// A length of time as [`parse`] reads it, to the millisecond: "2h", "1h30m", "1m30s".
pub fn exact(length: SignedDuration) -> String {
    let all = length.as_millis().max(0);
    let units = [(all / 3_600_000, "h"), (all / 60_000 % 60, "m"), (all / 1000 % 60, "s"), (all % 1000, "ms")];
    let text: String =
        units.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_that_is_written_is_read_as_it_was() {
        for text in ["2h", "1h30m", "1m30s", "8784h", "250ms", "1h1m1s1ms"] {
            assert_eq!(exact(parse(text).unwrap()), text);
        }
        assert_eq!(exact(parse("90m").unwrap()), "1h30m");
        assert_eq!(exact(SignedDuration::ZERO), "0s");
    }

    #[test]
    fn lengths_are_read_as_kubernetes_writes_them() {
        let cases = [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("1h0m0s", 3_600_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(SignedDuration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_length_is_refused_with_what_is_expected() {
        for text in ["", "5", "m", "5 m", "-5m", "1d", "5m3", ".5h", "5.h", "1..5h", "0s", "9000h", "1e3s", "５m"] {
            let flaw = parse(text).expect_err(text);
            assert!(flaw.contains(&format!("found {text:?}")) && flaw.contains("expected"), "{flaw}");
        }
    }

    #[test]
    fn a_brief_length_has_its_two_largest_units() {
        let cases =
            [(0, "0s"), (45, "45s"), (300, "5m"), (5400, "1h30m"), (86_400, "1d"), (90_061, "1d1h"), (3601, "1h")];
        for (seconds, text) in cases {
            assert_eq!(brief(SignedDuration::from_secs(seconds)), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read_or_refused(text in "\\PC{0,12}|[0-9.msh]{0,12}") {
            if let Ok(length) = parse(&text) {
                prop_assert!(length > SignedDuration::ZERO);
            }
        }
    }
}

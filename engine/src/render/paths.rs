//! File paths with values in them: a value may name what lies in a folder, not lead out of it.

/// One character of a filled text, and the number of the value it comes from.
pub(super) type Origin = (char, Option<usize>);

/// The first value that makes a `..` segment in a file path.
///
/// A path is a run of text without blanks and quotes around a value in which the template has a `/` of its own, or
/// one that is known to be a path because of where it stands.
pub(super) fn climbing_value(text: &[Origin], is_path: impl Fn(usize) -> bool) -> Option<usize> {
    text.split(|(c, value)| value.is_none() && divides(*c))
        .filter(|run| run.iter().any(|(c, value)| value.map_or(*c == '/', &is_path)))
        .flat_map(|run| run.split(|(c, _)| *c == '/'))
        .filter(|segment| segment.iter().map(|(c, _)| *c).eq("..".chars()))
        .find_map(|segment| segment.iter().find_map(|(_, value)| *value))
}

fn divides(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values are written between guillemets.
    fn climbs(text: &str, is_path: bool) -> bool {
        let mut origins = Vec::new();
        let mut value = None;
        let mut next = 0;
        for c in text.chars() {
            match c {
                '\u{ab}' => value = Some(next),
                '\u{bb}' => {
                    value = None;
                    next += 1;
                }
                _ => origins.push((c, value)),
            }
        }
        climbing_value(&origins, |_| is_path).is_some()
    }

    #[test]
    fn a_value_may_not_lead_out_of_the_folder_it_stands_in() {
        let cases = [
            ("/var/log/«a»", false, false, "a name"),
            ("/var/log/«..»", false, true, "the folder above"),
            ("/var/log/«a/../..»", false, true, "in the middle"),
            ("/var/log/«.»«.»", false, true, "in two halves"),
            ("/var/log/.«.»", false, true, "with the template's half"),
            ("../«a»", false, false, "the template's own"),
            ("/var/log/«a..b»", false, false, "two dots in a name"),
            ("see /x: «../y»", false, false, "not the same run"),
            ("«../y»", false, false, "no path that we know of"),
            ("«../y»", true, true, "a field of paths"),
            ("«..»/x", false, true, "before the template's slash"),
        ];
        for (text, is_path, expected, why) in cases {
            assert_eq!(climbs(text, is_path), expected, "{text}: {why}");
        }
    }
}

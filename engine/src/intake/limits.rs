//! The last check at the door, the same for every sender: how long a field may be, and how large an alert.

use std::collections::BTreeMap;

use aegis_crds::alert::{AlertStatus, InvolvedObject};
use jiff::Timestamp;

use super::{Fault, json};
use crate::signal::{self, Signal};

/// The most bytes of one alert, counted as the JSON that the API server stores for its spec. etcd takes 1.5 MiB for
/// one object, and an alert's names stand in it up to three times.
pub const LARGEST_ALERT: usize = 256 * 1024;

/// The most bytes of a type, a fingerprint, a detail's name, or the name of anything that an alert is about.
pub const LONGEST_WORD: usize = 1024;

/// Ends a detail that was cut.
const MARK: &str = "… [shortened]";

/// What an alert's spec needs beside its texts: field names, times, punctuation.
const FRAME: usize = 2 * 1024;

/// While there are longer details to cut, a detail keeps this many bytes.
const SHORTEST_CUT: usize = 256;

/// A checked alert but for its size.
pub(super) struct Draft {
    pub source: &'static str,
    pub type_: String,
    pub status: AlertStatus,
    pub severity: Option<String>,
    pub object: InvolvedObject,
    pub details: BTreeMap<String, String>,
    pub fingerprint: String,
    pub starts_at: Option<Timestamp>,
    pub ends_at: Option<Timestamp>,
}

impl Draft {
    /// The signal: a Node is its own node, the details are cut to what one alert may hold.
    pub(super) fn finish(self) -> Signal {
        let Self { source, type_, status, severity, mut object, mut details, fingerprint, starts_at, ends_at } = self;
        if object.kind == "Node" && object.node.is_empty() {
            object.node.clone_from(&object.name);
        }
        let test = signal::is_test(&details);
        // A severity that is no single word stays among the details.
        let severity = severity.filter(|text| !text.is_empty() && text.len() <= LONGEST_WORD);
        let InvolvedObject { kind, name, namespace, node } = &object;
        let fixed: usize = [&type_, &fingerprint, kind, name, namespace, node]
            .into_iter()
            .chain(&severity)
            .map(|text| stored_size(text))
            .sum();
        let shortened = shorten(&mut details, LARGEST_ALERT.saturating_sub(fixed + FRAME));
        Signal {
            source: source.to_owned(),
            type_,
            status,
            severity,
            object,
            details,
            fingerprint,
            starts_at,
            ends_at,
            shortened,
            test,
        }
    }
}

/// A name as everything after the door takes it: one line of at most [`LONGEST_WORD`] bytes. It may be empty.
pub(super) fn word(path: &str, text: String) -> Result<String, Fault> {
    if text.len() > LONGEST_WORD {
        let found = format!("{} bytes (\"{}\")", text.len(), json::shown(&text));
        return Err(Fault::new(path, found, format!("at most {LONGEST_WORD} bytes")));
    }
    if text.chars().any(char::is_control) {
        let found = format!("\"{}\"", json::shown(&text));
        return Err(Fault::new(path, found, "one line of text without control characters"));
    }
    Ok(text)
}

/// A [`word`] that may not be empty or blank.
pub(super) fn required(path: &str, text: String, expected: &str) -> Result<String, Fault> {
    if text.trim().is_empty() { Err(Fault::missing(path, expected)) } else { word(path, text) }
}

/// Firing or Resolved in any case.
pub(super) fn status(path: &str, text: &str) -> Result<AlertStatus, Fault> {
    const EXPECTED: &str = "Firing or Resolved";
    match text {
        "" => Err(Fault::missing(path, EXPECTED)),
        text if text.eq_ignore_ascii_case("firing") => Ok(AlertStatus::Firing),
        text if text.eq_ignore_ascii_case("resolved") => Ok(AlertStatus::Resolved),
        text => Err(Fault::new(path, format!("\"{}\"", json::shown(text)), EXPECTED)),
    }
}

/// Pod and Node as Kubernetes spells them, whatever their case; any other kind as it is.
pub(super) fn kind(text: String) -> String {
    ["Pod", "Node"].into_iter().find(|kind| kind.eq_ignore_ascii_case(&text)).map_or(text, str::to_owned)
}

/// Cuts the longest details until all fit, and leaves the largest out where even that is not enough: a short detail
/// such as a node's name is never touched for a long one. Says whether anything was cut or left out.
fn shorten(details: &mut BTreeMap<String, String>, most: usize) -> bool {
    let before = details.len();
    details.retain(|name, _| name.len() <= LONGEST_WORD);
    let mut shortened = details.len() < before;

    let entry = |name: &str, value: usize| stored_size(name) + value + r#""":"","#.len();
    let mut sizes: Vec<(usize, usize, String)> = details
        .iter()
        .map(|(name, value)| {
            let value = stored_size(value);
            (value, entry(name, value), name.clone())
        })
        .collect();
    let mut total: usize = sizes.iter().map(|(_, entry, _)| entry).sum();
    if total <= most {
        return shortened;
    }

    // Longest value first. Everything before `cut` is brought down to the length of the value at `cut`, until the
    // rest that is too much can be spread over them.
    shortened = true;
    sizes.sort_by(|one, other| other.cmp(one));
    let mut longest = SHORTEST_CUT;
    for (cut, (value, _, _)) in sizes.iter().enumerate() {
        let next = sizes.get(cut + 1).map_or(0, |(value, _, _)| *value).max(SHORTEST_CUT);
        let saved = (cut + 1) * value.saturating_sub(next);
        if *value <= SHORTEST_CUT {
            break;
        }
        if total.saturating_sub(saved) <= most {
            longest = value - (total - most).div_ceil(cut + 1);
            break;
        }
        total -= saved;
    }
    for value in details.values_mut().filter(|value| stored_size(value) > longest) {
        cut_to(value, longest);
    }

    let mut kept: usize = details.iter().map(|(name, value)| entry(name, stored_size(value))).sum();
    let mut largest: Vec<(usize, String)> =
        details.iter().map(|(name, value)| (entry(name, stored_size(value)), name.clone())).collect();
    largest.sort();
    while kept > most {
        let Some((size, name)) = largest.pop() else { break };
        details.remove(&name);
        kept -= size;
    }
    shortened
}

/// Cuts a text between two characters so that with its mark it is stored in at most `most` bytes.
fn cut_to(text: &mut String, most: usize) {
    let room = most.saturating_sub(MARK.len());
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += stored_char(*c);
        used > room
    });
    if let Some((end, _)) = end {
        text.truncate(end);
    }
    text.push_str(MARK);
}

/// How many bytes the text takes in the JSON that the API server stores, without its quotes.
fn stored_size(text: &str) -> usize {
    text.chars().map(stored_char).sum()
}

fn stored_char(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        // Go's encoder writes these as \uXXXX, the last five because of HTML and JavaScript.
        '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(texts: &[(&str, String)]) -> BTreeMap<String, String> {
        texts.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect()
    }

    fn size(details: &BTreeMap<String, String>) -> usize {
        details.iter().map(|(name, value)| stored_size(name) + stored_size(value) + 6).sum()
    }

    #[test]
    fn details_that_fit_are_not_touched() {
        let mut fits = details(&[("a", "x".repeat(93)), ("b", String::new())]);
        let before = fits.clone();
        assert_eq!(size(&fits), 107);
        assert!(!shorten(&mut fits, 107));
        assert_eq!(fits, before);
    }

    #[test]
    fn the_longest_is_cut_first_and_just_as_far_as_needed() {
        let mut one = details(&[("log", "x".repeat(5_000)), ("node", "n1".into()), ("text", "y".repeat(900))]);
        assert!(shorten(&mut one, 2_000));
        assert!(size(&one) > 1_990 && size(&one) <= 2_000, "{}", size(&one));
        assert_eq!((&*one["node"], one["text"].len()), ("n1", 900), "the shorter ones are whole");
        assert!(one["log"].starts_with("xxx") && one["log"].ends_with("… [shortened]"), "and it says so");

        let mut two = details(&[("a", "x".repeat(3_000)), ("b", "y".repeat(4_000)), ("c", "z".repeat(100))]);
        assert!(shorten(&mut two, 2_000));
        assert!(size(&two) > 1_990 && size(&two) <= 2_000, "{}", size(&two));
        assert_eq!(two["a"].len(), two["b"].len(), "long ones share the loss");
        assert_eq!(two["c"].len(), 100);
    }

    #[test]
    fn a_cut_falls_between_two_characters_and_counts_what_json_adds() {
        for c in ["é", "\"", "\u{1}", "<", "中", "🚀"] {
            let mut one = details(&[("log", c.repeat(5_000))]);
            assert!(shorten(&mut one, 1_000));
            assert!(size(&one) > 990 && size(&one) <= 1_000, "{c}: {}", size(&one));
        }
    }

    #[test]
    fn where_cutting_is_not_enough_the_largest_are_left_out() {
        let mut many: BTreeMap<String, String> =
            (0..1_000).map(|number| (format!("k{number:04}"), "x".repeat(number))).collect();
        assert!(shorten(&mut many, 10_000));
        assert!(size(&many) <= 10_000);
        assert!(many.len() > 100 && many.contains_key("k0000") && !many.contains_key("k0999"), "{}", many.len());

        let mut named = details(&[("node", "n1".into())]);
        named.insert("x".repeat(LONGEST_WORD + 1), "1".into());
        assert!(shorten(&mut named, 100_000), "no name is longer than a name may be");
        assert_eq!(named, details(&[("node", "n1".into())]));
    }

    #[test]
    fn a_whole_alert_is_cut_to_its_limit() {
        let draft = Draft {
            source: "default",
            type_: "<".repeat(LONGEST_WORD),
            status: AlertStatus::Firing,
            severity: Some("s".repeat(LONGEST_WORD + 1)),
            object: InvolvedObject { kind: "Node".into(), name: "&".repeat(LONGEST_WORD), ..Default::default() },
            details: details(&[("log", "\u{1}".repeat(1_000_000)), ("node", "n1".into())]),
            fingerprint: ">".repeat(LONGEST_WORD),
            starts_at: None,
            ends_at: None,
        };
        let signal = draft.finish();
        assert!(signal.shortened);
        assert_eq!((signal.severity, &*signal.details["node"]), (None, "n1"));
        let escaped = |text: &str| text.len() * 6;
        let fixed = escaped(&signal.type_) + escaped(&signal.fingerprint) + 2 * escaped(&signal.object.name);
        let all = fixed + size(&signal.details);
        assert!(all > LARGEST_ALERT - 4_096 && all < LARGEST_ALERT, "{all}");
    }
}

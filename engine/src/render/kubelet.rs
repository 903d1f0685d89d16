//! What kubelet makes of `$` in a command, its arguments and the values of environment variables.
//!
//! kubelet replaces `$(NAME)` by the variable of that name and leaves the text alone when there is none; `$$` becomes
//! `$`. A shell's `$(command)` therefore passes unchanged, but with everything up to the first `)` taken for a
//! name: a `$$` in there stays as it is. So whether a dollar of a value has to be doubled depends on where kubelet
//! is when it comes to it, and a value with a parenthesis could change what becomes of the text behind it.

use std::ops::Range;

/// One part of a filled text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Segment<'a> {
    /// The template's own text.
    Own(&'a str),
    /// A value, as it is to arrive.
    Value(&'a str),
}

/// Which characters of a text are still there when kubelet has expanded it.
pub(super) fn kept(text: &[char]) -> Vec<bool> {
    read(text).kept
}

/// Whether kubelet is between references wherever a value stands: one without `$` and `)` then passes as it is, and so
/// does all that is around it.
pub(super) fn is_apart<'s>(segments: impl Iterator<Item = Segment<'s>>) -> bool {
    let mut text = Vec::new();
    let mut values = Vec::new();
    for segment in segments {
        match segment {
            Segment::Own(own) => text.extend(own.chars()),
            Segment::Value(_) => {
                values.push(text.len());
                text.push('x');
            }
        }
    }
    let reading = read(&text);
    values.iter().all(|at| reading.between.get(*at) == Some(&true))
}

/// Doubles the dollars of values so that they arrive as they are, and the template's own text as it would around
/// any harmless value.
///
/// # Errors
/// A sentence when no spelling does that.
pub(super) fn double_dollars(segments: &[Segment<'_>]) -> Result<String, &'static str> {
    let mut neutral = Vec::new();
    let mut own_at = Vec::new();
    let mut filled = Vec::new();
    for segment in segments {
        match segment {
            Segment::Own(own) => {
                for c in own.chars() {
                    own_at.push(neutral.len());
                    neutral.push(c);
                    filled.push((c, false));
                }
            }
            Segment::Value(value) => {
                neutral.push('x');
                filled.extend(value.chars().map(|c| (c, true)));
            }
        }
    }
    let written = write(&filled)?;
    let text: Vec<char> = written.iter().map(|(c, _)| *c).collect();
    let expected = read(&neutral);
    let found = read(&text);
    let mut own = own_at.iter();
    for ((_, origin), kept) in written.iter().zip(&found.kept) {
        let as_wanted = match origin {
            Origin::Own => own.next().and_then(|at| expected.kept.get(*at)) == Some(kept),
            Origin::Value => *kept,
            Origin::Doubled => !*kept,
        };
        if !as_wanted {
            return Err("kubelet would read the template's own $ differently around this value");
        }
    }
    // A reference that begins only because of the value, or whose name the value makes.
    let own_names = |text: &[char], reading: &Reading| -> Vec<String> {
        let names = reading.references.iter().filter_map(|range| text.get(range.clone()));
        names.filter(|name| name.iter().all(|c| is_name(*c))).map(|name| name.iter().collect()).collect()
    };
    let known = own_names(&neutral, &expected);
    if own_names(&text, &found).iter().any(|name| !known.contains(name)) {
        return Err("with it the text holds a $(NAME), which kubelet would replace");
    }
    Ok(text.into_iter().collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Own,
    Value,
    /// The second of two dollars that a value has one of.
    Doubled,
}

fn write(text: &[(char, bool)]) -> Result<Vec<(char, Origin)>, &'static str> {
    let mut written = Vec::with_capacity(text.len() + 8);
    let last = text.iter().rposition(|(c, _)| *c == ')');
    let mut rest = text.iter().copied().enumerate().peekable();
    while let Some((at, (c, value))) = rest.next() {
        written.push((c, if value { Origin::Value } else { Origin::Own }));
        if c != '$' {
            continue;
        }
        if value {
            written.push(('$', Origin::Doubled));
            continue;
        }
        let Some(&(_, (next, next_value))) = rest.peek() else {
            break;
        };
        if next_value && (matches!(next, '$' | '(') || !next.is_ascii()) {
            return Err("a $ stands right before it, which kubelet would read together with it");
        }
        if next != '(' {
            written.push((next, if next_value { Origin::Value } else { Origin::Own }));
            rest.next();
            continue;
        }
        let reference = text.get(at + 2..).filter(|_| last.is_some_and(|last| last > at)).unwrap_or_default();
        let Some(length) = reference.iter().position(|(c, _)| *c == ')') else {
            continue;
        };
        let name = reference.get(..length).unwrap_or_default();
        if name.iter().any(|(_, value)| *value) && name.iter().all(|(c, _)| is_name(*c)) {
            return Err("it stands in $(...), where kubelet would read it as a variable's name");
        }
        // The parenthesis, the name and the parenthesis that closes it pass as they are.
        for _ in 0..length + 2 {
            if let Some((_, (c, value))) = rest.next() {
                written.push((c, if value { Origin::Value } else { Origin::Own }));
            }
        }
    }
    Ok(written)
}

struct Reading {
    kept: Vec<bool>,
    /// The names in `$(NAME)`.
    references: Vec<Range<usize>>,
    /// Which characters have no part in a reference, and no dollar before them.
    between: Vec<bool>,
}

fn read(text: &[char]) -> Reading {
    let mut kept = vec![true; text.len()];
    let mut references = Vec::new();
    let mut between = vec![false; text.len()];
    let last = text.iter().rposition(|c| *c == ')');
    let mut at = 0;
    while let Some(c) = text.get(at) {
        if *c != '$' {
            if let Some(between) = between.get_mut(at) {
                *between = true;
            }
            at += 1;
            continue;
        }
        match text.get(at + 1) {
            Some('$') => {
                if let Some(second) = kept.get_mut(at + 1) {
                    *second = false;
                }
                at += 2;
            }
            Some('(') => {
                let name = at + 2;
                // Looked for only where there is one: each of many that do not close would search to the end.
                let closes = last.is_some_and(|last| last >= name);
                match text.get(name..).filter(|_| closes).and_then(|rest| rest.iter().position(|c| *c == ')')) {
                    Some(length) => {
                        references.push(name..name + length);
                        at = name + length + 1;
                    }
                    None => at = name,
                }
            }
            Some(_) | None => at += 2,
        }
    }
    Reading { kept, references, between }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// kubelet's expansion, for a container in which only the variable SECRET exists.
    fn expand(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            rest = match after.chars().next() {
                None => {
                    out.push('$');
                    after
                }
                Some('$') => {
                    out.push('$');
                    &after[1..]
                }
                Some('(') => match after.find(')') {
                    Some(end) => {
                        match &after[1..end] {
                            "SECRET" => out.push_str("hunter2"),
                            name => out.push_str(&format!("$({name})")),
                        }
                        &after[end + 1..]
                    }
                    None => {
                        out.push_str("$(");
                        &after[1..]
                    }
                },
                Some(c) => {
                    out.push('$');
                    out.push(c);
                    &after[c.len_utf8()..]
                }
            };
        }
        out.push_str(rest);
        out
    }

    #[test]
    fn dollars_are_doubled_where_kubelet_halves_them() {
        use Segment::{Own, Value};
        type Case<'a> = (&'a [Segment<'a>], &'a str, &'a str);
        let cases: [Case<'_>; 5] = [
            (&[Own("cost "), Value("$5")], "cost $$5", "a value's dollar is doubled"),
            (&[Own("$(SECRET) "), Value("$(SECRET)")], "$(SECRET) $$(SECRET)", "the template's is not"),
            (
                &[Own("$(date '"), Value("a$b"), Own("')")],
                "$(date 'a$b')",
                "nor is one in what kubelet takes for a name",
            ),
            (&[Own("$(date '"), Value("a)$b"), Own("')")], "$(date 'a)$$b')", "which ends with the first parenthesis"),
            (&[Own("$(date '"), Value("a$b"), Own("'")], "$(date 'a$$b'", "unless none closes it"),
        ];
        for (segments, expected, why) in cases {
            assert_eq!(double_dollars(segments).as_deref(), Ok(expected), "{why}");
        }
    }

    #[test]
    fn what_no_spelling_keeps_is_refused() {
        use Segment::{Own, Value};
        let cases: [&[Segment<'_>]; 5] = [
            &[Own("$"), Value("(SECRET)")],
            &[Own("$("), Value("SECRET"), Own(")")],
            &[Own("$"), Value(""), Own("(SECRET)")],
            // The parenthesis would end what kubelet takes for a name, and halve the dollars behind it.
            &[Own("$(date "), Value("a)"), Own(" $$)")],
            &[Own("$(date "), Value("a)"), Own(" $(SECRET))")],
        ];
        for segments in cases {
            assert!(double_dollars(segments).is_err(), "{segments:?}");
        }
    }

    proptest! {
        #[test]
        fn kubelet_gives_back_the_value_and_never_a_secret(
            before in "[$()a-z' ]{0,8}", value in "[$()A-Z' \u{e9}]{0,12}", after in "[$()a-z' ]{0,8}",
        ) {
            let segments = [Segment::Own(&before), Segment::Value(&value), Segment::Own(&after)];
            if let Ok(written) = double_dollars(&segments) {
                let result = expand(&written);
                prop_assert!(result.contains(&value), "{:?} became {:?}", written, result);
                prop_assert!(!result.contains("hunter2"), "{:?} became {:?}", written, result);
                let harmless = expand(&format!("{before}x{after}"));
                prop_assert_eq!(harmless.len() + value.len(), result.len() + 1);
            }
        }

        #[test]
        fn apart_from_references_a_value_passes_as_it_is(
            texts in proptest::collection::vec(("[$()a-z' ]{0,8}", "[(A-Z' \u{e9}]{0,4}"), 1..4),
        ) {
            let segments = texts.iter().flat_map(|(own, value)| [Segment::Own(own), Segment::Value(value)]);
            if is_apart(segments.clone()) {
                let whole: String = texts.iter().flat_map(|(own, value)| [own.as_str(), value]).collect();
                prop_assert_eq!(double_dollars(&segments.collect::<Vec<_>>()), Ok(whole));
            }
        }

        #[test]
        fn a_whole_value_comes_out_as_it_is(value in "[$()A-Z' \u{e9}]{0,20}|.{0,20}") {
            let written = double_dollars(&[Segment::Value(&value)]).unwrap();
            prop_assert_eq!(expand(&written), value);
        }

        #[test]
        fn what_is_kept_is_what_kubelet_keeps(text in "[$()a-z]{0,16}") {
            let chars: Vec<char> = text.chars().collect();
            let kept: String =
                chars.iter().zip(kept(&chars)).filter_map(|(c, kept)| kept.then_some(*c)).collect();
            prop_assert_eq!(kept, expand(&text));
        }
    }
}

//! What kubelet makes of `$` in a command, its arguments and the values of environment variables.
//!
//! kubelet replaces `$(NAME)` by the variable of that name and leaves the text alone when there is none; `$$` becomes
//! `$`. A shell's `$(command)` therefore passes unchanged, but with everything up to the first `)` taken for a
//! name: a `$$` in there stays as it is. So whether a dollar of a value has to be doubled depends on where kubelet
//! is when it comes to it.

/// One character of a filled text, and whether it comes from a value.
pub(super) type Filled = (char, bool);

/// Doubles the dollars of values so that kubelet's result is the text as it was filled.
///
/// # Errors
/// A sentence when no spelling does that.
pub(super) fn double_dollars(text: &[Filled]) -> Result<String, &'static str> {
    let mut written = String::with_capacity(text.len() + 8);
    let mut rest = text.iter().copied().enumerate().peekable();
    while let Some((at, (c, value))) = rest.next() {
        written.push(c);
        if c != '$' {
            continue;
        }
        if value {
            written.push('$');
            continue;
        }
        let Some(&(_, (next, next_value))) = rest.peek() else {
            break;
        };
        if next_value && (matches!(next, '$' | '(') || !next.is_ascii()) {
            return Err("a $ stands right before it, which kubelet would read together with it");
        }
        if next != '(' {
            written.push(next);
            rest.next();
            continue;
        }
        let reference = text.get(at + 2..).unwrap_or_default();
        let Some(length) = reference.iter().position(|(c, _)| *c == ')') else {
            continue;
        };
        let name = reference.get(..length).unwrap_or_default();
        if name.iter().any(|(_, value)| *value) && name.iter().all(|(c, _)| is_name(*c)) {
            return Err("it stands in $(...), where kubelet would read it as a variable's name");
        }
        // The parenthesis, the name and the parenthesis that closes it pass as they are.
        for _ in 0..length + 2 {
            if let Some((_, (c, _))) = rest.next() {
                written.push(c);
            }
        }
    }
    Ok(written)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// kubelet's expansion, for a container in which only the variable SECRET exists.
    pub(in crate::render) fn expand(text: &str) -> String {
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

    fn fill(parts: &[(&str, bool)]) -> Vec<Filled> {
        parts.iter().flat_map(|(text, value)| text.chars().map(|c| (c, *value))).collect()
    }

    #[test]
    fn dollars_are_doubled_where_kubelet_halves_them() {
        type Case<'a> = (&'a [(&'a str, bool)], &'a str, &'a str);
        let cases: [Case<'_>; 5] = [
            (&[("cost ", false), ("$5", true)], "cost $$5", "a value's dollar is doubled"),
            (&[("$(SECRET) ", false), ("$(SECRET)", true)], "$(SECRET) $$(SECRET)", "the template's is not"),
            (
                &[("$(date '", false), ("a$b", true), ("')", false)],
                "$(date 'a$b')",
                "nor is one in what kubelet takes for a name",
            ),
            (
                &[("$(date '", false), ("a)$b", true), ("')", false)],
                "$(date 'a)$$b')",
                "which ends with the first parenthesis",
            ),
            (&[("$(date '", false), ("a$b", true), ("'", false)], "$(date 'a$$b'", "unless none closes it"),
        ];
        for (parts, expected, why) in cases {
            assert_eq!(double_dollars(&fill(parts)).as_deref(), Ok(expected), "{why}");
        }
        assert!(double_dollars(&fill(&[("$", false), ("(SECRET)", true)])).is_err());
        assert!(double_dollars(&fill(&[("$(", false), ("SECRET", true), (")", false)])).is_err());
    }

    proptest! {
        #[test]
        fn kubelet_gives_back_the_value_and_never_the_secret(
            before in "[$()a-z' ]{0,8}", value in "[$()A-Z' \u{e9}]{0,12}", after in "[$()a-z' ]{0,8}",
        ) {
            let filled = fill(&[(&before, false), (&value, true), (&after, false)]);
            if let Ok(written) = double_dollars(&filled) {
                let result = expand(&written);
                // The template's own text is expanded as it would be around a harmless value.
                prop_assert!(result.contains(&value), "{written:?} became {result:?}");
                prop_assert!(!result.contains("hunter2"), "{written:?} became {result:?}");
            }
        }

        #[test]
        fn a_whole_value_comes_out_as_it_is(value in "[$()A-Z' \u{e9}]{0,20}|.{0,20}") {
            let written = double_dollars(&fill(&[(&value, true)])).unwrap();
            prop_assert_eq!(expand(&written), value);
        }
    }
}

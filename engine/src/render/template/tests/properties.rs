//! What holds for every template and every value.

use proptest::prelude::*;

use super::{parameters, shown};
use crate::render::{Evaluated, Parameters, Piece, Template};

/// Pieces that templates are made of; put together at random they reach most of the parsers.
const SCRAPS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{{-",
    "-}}",
    "{%-",
    "-%}",
    "{{=",
    "{{/*",
    "*/}}",
    "if",
    "else",
    "end",
    "elif",
    "endif",
    "for",
    "endfor",
    "in",
    "range",
    "with",
    "set",
    "raw",
    "endraw",
    "break",
    "continue",
    " ",
    "\n",
    ".node",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "~",
    "==",
    "not",
    "and",
    "or",
    "is",
    "defined",
    "int",
    "split",
    "printf",
    "index",
    "default",
    "keep",
    "\"%s\"",
    "'a'",
    "`",
    "\"",
    "'",
    "\\",
    "1",
    "-1",
    "0.5",
    "node",
    "nodes",
    "item",
    "workflow.name",
    "status",
    "loop.index",
    "{{if .node}}",
    "{{end}}",
    "{{range 3}}",
    "{% if node %}",
    "{% endif %}",
    "{% for a in nodes|split(',') %}",
    "{% endfor %}",
    "{{.node}}",
    "\u{e9}",
    "\u{0}",
    "{",
    "}",
    "text",
];

fn scraps() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(SCRAPS), 0..40).prop_map(|scraps| scraps.concat())
}

/// Templates that always parse, with conditions that no value decides.
fn sound_templates() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        "text\n",
        "{{$.a}}",
        "{{ b }}",
        "{{ a | upper }}",
        "{{int (len $.a)}}",
        "{{printf \"%s-%s\" $.a $.b}}",
        "{{ $.c | default \"x\" }}",
        "{{`{{item}}`}}",
        "{{workflow.name}}",
        "{{status}}",
        "{{ a ~ b }}",
        "{{ 'x' if a == b else 'y' }}",
        "{{or $.a $.b}}",
        "{{and $.a $.b}}",
        "{{or \"own\" $.b}}",
        "{{index $ \"a\"}}",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 24, 4, |inner| {
        proptest::collection::vec(inner, 1..4).prop_map(|parts| {
            format!(
                "{{{{if true}}}}{}{{{{else}}}}no{{{{end}}}}{{{{range 2}}}}{}{{{{end}}}}",
                parts.concat(),
                parts.concat()
            )
        })
    })
}

fn values() -> impl Strategy<Value = String> {
    let naughty: Vec<String> = naughty_strings::BLNS.iter().map(|value| (*value).to_owned()).collect();
    prop_oneof![any::<String>(), proptest::sample::select(naughty), scraps()]
}

/// Values that are not empty: an empty one is false, which `or`, `and` and `default` see.
fn filled_values() -> impl Strategy<Value = String> {
    values().prop_map(|value| if value.is_empty() { "x".to_owned() } else { value })
}

fn check_marks(evaluated: &Evaluated) {
    let pieces = evaluated.words.split(&evaluated.text);
    let own: usize = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Own(own) => own.len(),
            _ => 0,
        })
        .sum();
    assert!(own <= evaluated.text.len());
    for print in evaluated.words.prints() {
        assert!(!evaluated.words.contains_any(&print.value));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics_or_hangs_as_a_template(text in any::<String>()) {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.evaluate(&parameters()).map(|evaluated| check_marks(&evaluated));
        }
    }

    #[test]
    fn no_scraps_of_templates_panic_or_hang(text in scraps()) {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.evaluate(&parameters()).map(|evaluated| check_marks(&evaluated));
        }
    }

    #[test]
    fn a_flaw_lies_inside_the_text(text in scraps()) {
        let flaw = match Template::parse(&text) {
            Err(flaw) => Some(flaw),
            Ok(template) => template.evaluate(&parameters()).err(),
        };
        if let Some((line, column)) = flaw.and_then(|flaw| flaw.line.zip(flaw.column)) {
            let found = text.split('\n').nth(line - 1).expect("the line is there");
            prop_assert!(column <= found.chars().count() + 1);
        }
    }

    #[test]
    fn without_tags_a_text_stays_as_it_is(text in "[^{]*[^{ \n]") {
        let evaluated = Template::parse(&text).and_then(|template| template.evaluate(&Parameters::new()));
        prop_assume!(!text.trim().is_empty());
        prop_assert_eq!(evaluated.unwrap().text, text);
    }

    #[test]
    fn the_text_does_not_depend_on_values_but_through_conditions(
        template in sound_templates(),
        one in (filled_values(), filled_values()),
        two in (filled_values(), filled_values()),
    ) {
        let parsed = Template::parse(&template).unwrap();
        let evaluate = |values: &(String, String)| {
            let parameters = Parameters::from_iter([("a", &values.0), ("b", &values.1)]);
            parsed.evaluate(&parameters).unwrap()
        };
        let (first, second) = (evaluate(&one), evaluate(&two));
        check_marks(&first);
        prop_assert_eq!(&first.text, &second.text);
        let prints = |evaluated: &Evaluated| -> Vec<_> {
            evaluated.words.prints().map(|print| (print.line, print.column, print.kind, print.parameter.clone())).collect()
        };
        prop_assert_eq!(prints(&first), prints(&second));
    }

    #[test]
    fn a_printed_value_is_exactly_the_parameter(value in values()) {
        let parameters = Parameters::from_iter([("a", value.as_str())]);
        let evaluated = Template::parse("x: {{.a}} {{ a }}").unwrap().evaluate(&parameters).unwrap();
        prop_assert!(evaluated.words.prints().all(|print| print.value == value));
        prop_assert_eq!(evaluated.words.prints().count(), 2);
        prop_assert_eq!(shown(&evaluated), format!("x: <{value}> <{value}>"));
    }
}

#[test]
fn a_value_that_imitates_a_word_is_still_only_a_value() {
    let template = Template::parse("{{.a}} {{ a | replace('_', '') }}").unwrap();
    let plain = template.evaluate(&Parameters::from_iter([("a", "x")])).unwrap();
    let word = plain.text.split(' ').next().unwrap();
    let (head, tail) = word.split_at(5);
    for aimed in [word.to_owned(), format!("{head}_{tail}")] {
        let evaluated = template.evaluate(&Parameters::from_iter([("a", aimed.as_str())])).unwrap();
        check_marks(&evaluated);
        assert_eq!(shown(&evaluated), format!("<{aimed}> <{word}>"));
    }
}

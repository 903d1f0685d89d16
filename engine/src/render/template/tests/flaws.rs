//! Syntax that is wrong, and limits; each is told with its place.

use super::{evaluate, refuses};
use crate::render::{Parameters, Template};

#[test]
fn broken_tags_are_told_with_their_place() {
    refuses(&[
        ("   \n", "the manifest is empty", "give the text"),
        ("a\nb {{.node", "line 2, column 3: {{ is never closed with }}", ""),
        ("{{ 'it }}", "line 1, column 1: a ' in this tag is never closed", ""),
        ("{{ \"a\n\" }}", "line 1, column 1: a \" in this tag is never closed", ""),
        ("{{ a {{ b }} }}", "line 1, column 6: found a tag inside another tag", ""),
        ("{{inputs.parameters.{{.node}}}}", "line 1, column 21: found a tag inside another tag", ""),
        ("{{}}", "line 1, column 1: this tag is empty", ""),
        ("{{-}}", "line 1, column 1: this tag is empty", ""),
        ("{{ - }}", "line 1, column 4: syntax error: unexpected end of input", ""),
        ("{{/* x }}", "line 1, column 1: this comment is never closed", ""),
        ("{% if node", "line 1, column 1: {% is never closed with %}", ""),
        ("{% raw %}x", "line 1, column 1: {% raw %} is never closed", ""),
        ("x{% endraw %}", "line 1, column 2: found {% endraw %} without", ""),
        ("{{ .node ; }}", "line 1, column 10: found the character ';'", ""),
        ("{{ 12abc }}", "line 1, column 4: \"12abc\" is not a number", ""),
        ("{{ 99999999999999999999 }}", "line 1, column 4: \"99999999999999999999\" is not a number", ""),
        ("{{ \"\\q\" }}", "line 1, column 4: the escape \\q in this text is unknown", ""),
        ("\u{e9}\u{e9} {{.absent}}", "line 1, column 4: parameter absent", ""),
    ]);
}

#[test]
fn blocks_that_do_not_fit_are_told_with_both_ends() {
    refuses(&[
        ("{{if .node}}x", "line 1, column 1: {{if}} is never closed", "{{end}}"),
        ("a\n{{end}}", "line 2, column 1: found {{end}} that belongs to nothing", ""),
        ("{{else}}", "line 1, column 1: found {{else}} that belongs to nothing", ""),
        ("{{if .node}}{{else}}{{else}}{{end}}", "line 1, column 21: found {{else}} behind an else", ""),
        ("{{range 1}}{{else if .node}}{{end}}", "line 1, column 19: found if, but expected the end", ""),
        ("{% if node %}x{% endfor %}", "line 1, column 15: found {% endfor %}, but expected {% endif %}", "column 1"),
        ("{% for a in [1] %}", "line 1, column 1: {% for %} is never closed", "{% endfor %}"),
        ("{% endif %}", "line 1, column 1: found {% endif %} that belongs to nothing", ""),
        (
            "{{if .node}}{% if node %}{% endif %}{{end}}",
            "line 1, column 13: found {% if %}, but this template speaks Go's",
            "one language",
        ),
        ("{% if node %}{{end}}", "line 1, column 14: found {{end}}, but this template speaks {% if %}", ""),
        ("{% set x = 1 %}\n{{$y := 1}}", "line 2, column 1: found {{$x := ...}}, but", "line 1, column 1"),
    ]);
}

#[test]
fn work_is_limited_whatever_a_template_asks_for() {
    let doubling: String = (0..60).map(|i| format!("{{% set x{} = x{i} ~ x{i} %}}", i + 1)).collect();
    let doubled = format!("{{% set x0 = nodes %}}{doubling}{{{{ x60 }}}}");
    let nested = |depth: usize| "{% for a in range(100) %}".repeat(depth) + &"{% endfor %}".repeat(depth);
    let cases = [
        (doubled, "line 1, column", "evaluating this template takes more than"),
        (nested(8), "line 1, column", "evaluating this template takes more than"),
        ("{{range 100000000000}}{{end}}".to_owned(), "line 1, column 9", "more than"),
        ("{% for i in range(0, 9223372036854775807) %}{% endfor %}".to_owned(), "line 1, column 13", "too many"),
        (
            format!("{{{{ nodes{} | length }}}}", " | replace('', 'aaaaaaaaaaaaaaaaaaaa')".repeat(10)),
            "line 1, column",
            "more than",
        ),
        (
            format!("{{{{range 2000}}}}{}{{{{end}}}}", "x".repeat(1000)),
            "line 1, column 15",
            "prints more than 1048576 bytes",
        ),
        (nested(17), "line 1, column 401", "nested more than 16 deep"),
        (format!("{{{{ {}x{} }}}}", "(".repeat(17), ")".repeat(17)), "line 1, column 20", "nested more than 16 deep"),
        (format!("{{{{ {}x }}}}", "not ".repeat(65)), "line 1, column", "more than 64 operations"),
        (format!("{{{{ node{} }}}}", " ~ node".repeat(65)), "line 1, column", "more than 64 operations"),
        (format!("{{{{ .node{} }}}}", " | upper".repeat(65)), "line 1, column", "more than 64 operations"),
        (format!("{{{{ \"{}\" }}}}", "x".repeat(20_000)), "line 1, column 1", "at most 16384 are read"),
        ("x".repeat(300_000), "the manifest is 300000 bytes long", "at most 262144"),
    ];
    for (template, place, problem) in cases {
        let flaw = evaluate(&template).map(|_| ()).unwrap_err().to_string();
        assert!(flaw.starts_with(place), "{flaw}");
        assert!(flaw.contains(problem), "{flaw}");
    }
}

#[test]
fn the_deepest_expression_and_nesting_fit_on_half_a_thread_stack() {
    let parentheses = format!("{{{{ {}node{} }}}}", "(".repeat(16), ")".repeat(16));
    let ladder = format!("{{{{ {}node{} }}}}", "(['a', 'b'][0] ~ ".repeat(15), ")".repeat(15));
    let signs =
        format!("{{{{ ({}(count | int)) | string | int + 1 }}}}{{{{ {}node }}}}", "- ".repeat(56), "not ".repeat(64));
    let chain = format!("{{{{ node{} }}}}", " ~ node".repeat(64));
    let blocks = "{% if node %}".repeat(16) + &parentheses + &chain + &signs + &"{% endif %}".repeat(16);
    let go = "{{range 1}}".repeat(16)
        + &format!("{{{{{}$.node{}}}}}", "(".repeat(16), ")".repeat(16))
        + &"{{end}}".repeat(16);
    let evaluate_all =
        move || [ladder, blocks, go].iter().map(|template| evaluate(template)).collect::<Result<Vec<_>, _>>();
    let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(evaluate_all).unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_template_names_the_parameters_that_it_reads() {
    let template = Template::parse(
        "{{.a}} {{ b }} {{index . \"c-d\"}} {% if e == 'x' %}{% set f = g %}{{ f }}{% endif %} {{status}} {{workflow.name}}",
    )
    .unwrap();
    let names: Vec<&str> = template.parameters().collect();
    assert_eq!(names, ["a", "b", "c-d", "e", "f", "g", "status"]);
    assert!(Template::parse("a: b").unwrap().evaluate(&Parameters::new()).is_ok());
}

#[test]
fn a_place_in_the_evaluated_text_leads_back_to_the_template() {
    let evaluated = evaluate("a\n{% if node %}\nb {{.node}} c\n{% endif %}\n  d\ne").unwrap();
    assert!(evaluated.text.starts_with("a\nb w"));
    assert_eq!(evaluated.origin(1, 1), Some((1, 1)));
    assert_eq!(evaluated.origin(2, 1), Some((3, 1)));
    assert_eq!(evaluated.origin(2, 5), Some((3, 3)), "a word leads to its tag");
    assert_eq!(evaluated.origin(2, 27), Some((3, 13)));
    assert_eq!(evaluated.origin(3, 3), Some((5, 3)));
    assert_eq!(evaluated.origin(4, 1), Some((6, 1)));
    assert_eq!(evaluated.origin(0, 1), None);
    assert_eq!(evaluated.origin(usize::MAX, usize::MAX), Some((6, 2)), "behind the end is the end");
}

//! Scripts with a value in every place that quoting is sound in: each shell sees exactly the value.

use aegis_engine::render::{Flaw, Parameters, Template};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::kubelet;
use crate::shells::{SHOW_BODY, Scratch, Shell, shells};
use crate::values::{NUMBERS, PAYLOADS, SAFE_WORDS, any_text, naughty};

/// A script, and what it shows; `<>` stands for the value.
type Form = (&'static str, &'static [&'static str]);

/// For every shell.
const FORMS: &[Form] = &[
    ("show {{.x}}", &["<>"]),
    ("show a{{.x}}b", &["a<>b"]),
    ("show '{{.x}}' 'a{{.x}}b'", &["<>", "a<>b"]),
    ("show \"{{.x}}\" \"a{{.x}}b\"", &["<>", "a<>b"]),
    ("show a'b'{{.x}}\"c\"d", &["ab<>cd"]),
    ("show a{{.x}}{{.x}}", &["a<><>"]),
    ("show \"a'{{.x}}'b\" 'a\"{{.x}}\"b'", &["a'<>'b", "a\"<>\"b"]),
    ("show a \\\n  {{.x}} \\\n  \"b{{.x}}\"", &["a", "<>", "b<>"]),
    ("show \"$(printf '%s_' {{.x}})\"", &["<>_"]),
    ("show \"$(printf '%s_' a\"{{.x}}\"b'{{.x}}')\"", &["a<>b<>_"]),
    ("show \"$(printf '%s_' \"$(printf '%s-' a{{.x}})\")\"", &["a<>-_"]),
    ("v={{.x}}; show \"$v\"", &["<>"]),
    ("v=a{{.x}}b w=\"{{.x}}\"; show \"$v\" \"$w\"", &["a<>b", "<>"]),
    ("v='a{{.x}}' show b{{.x}}", &["b<>"]),
    ("export V={{.x}}; show \"$V\"", &["<>"]),
    ("(readonly R=\"a {{.x}}\"; show \"$R\")", &["a <>"]),
    ("set -- a {{.x}} b; show \"$2\"", &["<>"]),
    ("for v in a {{.x}} \"b{{.x}}\"; do show \"$v\"; done", &["a", "<>", "b<>"]),
    ("case a{{.x}} in b) show no;; a{{.x}}) show yes;; *) show no; esac", &["yes"]),
    ("case {{.x}} in (a{{.x}}b|\"{{.x}}\") show yes;; *) show no;; esac", &["yes"]),
    ("if [ a{{.x}} = \"a{{.x}}\" ]; then show yes; else show no; fi", &["yes"]),
    ("while [ \"$w\" != a{{.x}} ]; do w=a{{.x}}; show \"$w\"; done; unset w", &["a<>"]),
    ("{ show a{{.x}}; } && ( show b{{.x}} ) || show no", &["a<>", "b<>"]),
    ("! false && show a{{.x}} & wait", &["a<>"]),
    ("f_() { show \"$1\"; }; f_ {{.x}}", &["<>"]),
    ("show a # {{.x}}\nshow b", &["a", "b"]),
    ("show a#{{.x}}", &["a#<>"]),
    ("printf '%s\\0' {{.x}} a\"{{.x}}\"", &["<>", "a<>"]),
    ("cat <<E\na{{.x}}b $((1+1))\nE\nprintf '\\0'", &["a<>b 2\n"]),
    ("cat <<'E'\na{{.x}}b $((1+1))\nE\nprintf '\\0'", &["a<>b $((1+1))\n"]),
    ("cat <<\"E\" | cat\n{{.x}}\nE\nprintf '\\0'", &["<>\n"]),
    ("cat <<-E\n\ta{{.x}}b\n\tE\nprintf '\\0'", &["a<>b\n"]),
    ("cat <<E; show a{{.x}}\n\"{{.x}}\" '{{.x}}'\nE\n", &["\"<>\" '<>'\na<>"]),
    ("show \"$(cat <<E\na{{.x}}b\nE\n)\"", &["a<>b"]),
    ("cat <<E - <<F\na{{.x}}\nE\nb{{.x}}\nF\nprintf '\\0'", &["b<>\n"]),
    ("printf '%s' a{{.x}} > f; cat f; printf '\\0'", &["a<>"]),
    ("show \"${u:-a}\"{{.x}} \"${u+b}\"a{{.x}}", &["a<>", "a<>"]),
    ("show \\\"a{{.x}}\\\" \"\\\"{{.x}}\\\"\"", &["\"a<>\"", "\"<>\""]),
    ("show \"a\\$ {{.x}}\" 'a\\' {{.x}}", &["a$ <>", "a\\", "<>"]),
];

/// For bash.
const BASH_FORMS: &[Form] = &[
    ("show $'a\\t{{.x}}'", &["a\t<>"]),
    ("[[ a{{.x}} == a{{.x}} && -n \"a{{.x}}\" ]] && show yes", &["yes"]),
    ("[[ a{{.x}}b == a\"{{.x}}\"* ]] && show yes", &["yes"]),
    ("a=(b {{.x}} \"c{{.x}}\"); show \"${a[@]}\"", &["b", "<>", "c<>"]),
    ("l_() { local v=a{{.x}}; show \"$v\"; }; l_", &["a<>"]),
    ("cat <<<a{{.x}}; printf '\\0'", &["a<>\n"]),
    ("show \"$(cat <(printf '%s' a{{.x}}_))\"", &["a<>_"]),
    ("function g_ { show a{{.x}}; }; g_", &["a<>"]),
    ("for ((i=0; i<1; i++)); do show a{{.x}}; done", &["a<>"]),
];

/// Where a second reader takes safe words alone.
const SAFE_FORMS: &[Form] = &[
    ("eval show {{.x}} \"a{{.x}}\"", &["<>", "a<>"]),
    ("eval 'show {{.x}}'", &["<>"]),
    ("sh_() { eval \"$1\"; }; sh_ \"show {{.x}}\"", &["<>"]),
    ("show `printf '%s_' {{.x}}`", &["<>_"]),
    ("show \"`printf '%s_' \\\"{{.x}}\\\"`\"", &["<>_"]),
    ("show ${u:-{{.x}}} \"${u:-a{{.x}}}\"", &["<>", "a<>"]),
    ("printf 'a{{.x}}\\0'", &["a<>"]),
    ("v={{.x}}; eval \"show $v\"", &["<>"]),
    ("trap 'show {{.x}}' EXIT; (exit); trap - EXIT; show {{.x}}", &["<>"]),
];

/// Where arithmetic takes numbers alone.
const NUMBER_FORMS: &[Form] =
    &[("show $(( {{.x}} )) \"$((0+{{.x}}))\"", &["<>", "<>"]), ("v={{.x}}; show $((v))", &["<>"])];

/// How a script reaches its shell.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Argument,
    Source,
}

/// One form, rendered.
struct Rendered {
    form: Form,
    script: String,
}

/// Forms for the shells of one name, as a Workflow each and as one of them all.
struct Suite {
    called: &'static str,
    shells: Vec<(Shell, Scratch)>,
    cases: Vec<(Way, Form, Template)>,
    all: Template,
}

impl Suite {
    fn new(called: &'static str, forms: &[Form]) -> Self {
        let shells = shells().into_iter().filter(|shell| shell.called == called);
        let shells = shells.map(|shell| (shell.clone(), Scratch::new(&shell))).collect();
        let ways = [Way::Argument, Way::Source];
        let cases: Vec<(Way, Form, Value)> = ways
            .iter()
            .flat_map(|way| forms.iter().map(|form| (*way, *form, template(called, *way, form.0))))
            .collect();
        let all = cases.iter().map(|(_, _, template)| template.clone()).collect();
        let alone = |template: Value| parse(vec![template]);
        Self {
            called,
            shells,
            cases: cases.into_iter().map(|(way, form, template)| (way, form, alone(template))).collect(),
            all: parse(all),
        }
    }

    /// Every form that takes the value.
    fn render(&self, value: &str) -> Vec<Rendered> {
        let mut rendered = Vec::new();
        let mut add = |way: Way, form: Form, template: &Value| {
            let script = script_of(way, template);
            if way == Way::Source {
                // Argo passes the source on in a variable, which kubelet may expand: the value comes through.
                let expanded = kubelet::expand(&script);
                if expanded != script {
                    rendered.push(Rendered { form, script: expanded });
                }
            }
            rendered.push(Rendered { form, script });
        };
        match fill_with(&self.all, value) {
            Ok(object) => {
                for ((way, form, _), template) in self.cases.iter().zip(templates(&object)) {
                    add(*way, *form, template);
                }
            }
            Err(_) => {
                for (way, form, template) in &self.cases {
                    if let Ok(object) = fill_with(template, value) {
                        add(*way, *form, &templates(&object)[0]);
                    }
                }
            }
        }
        rendered
    }

    /// Runs every form that takes a value, for all values in one process of each shell, and compares what it saw.
    /// Returns how many forms took one.
    fn check(&self, values: &[&str]) -> usize {
        let mut script = format!("show() {{ {} }}\n", SHOW_BODY.trim_end().replace('\n', " "));
        let mut shown: Vec<(&str, Rendered)> = Vec::new();
        for value in values {
            for one in self.render(value) {
                script.push_str(&one.script);
                script.push_str("\nprintf '|\\0'\n");
                shown.push((value, one));
            }
        }
        for (shell, scratch) in &self.shells {
            let output = scratch.run_file(shell, &script);
            let mut rest = output.as_slice();
            for (value, one) in &shown {
                let mut expected: Vec<u8> = Vec::new();
                for part in one.form.1 {
                    expected.extend(part.replace("<>", value).bytes());
                    expected.push(0);
                }
                expected.extend(b"|\0");
                assert!(
                    rest.starts_with(&expected),
                    "{} with {value:?} in {:?} expected {:?} and found {:?}: {}",
                    shell.name,
                    one.form.0,
                    String::from_utf8_lossy(&expected),
                    String::from_utf8_lossy(&rest[..rest.len().min(expected.len() + 60)]),
                    one.script,
                );
                rest = &rest[expected.len()..];
            }
            assert!(rest.is_empty(), "{}: {:?} too much", shell.name, String::from_utf8_lossy(rest));
        }
        shown.len()
    }
}

fn template(called: &str, way: Way, text: &str) -> Value {
    match way {
        Way::Argument => json!({"container": {"image": "i", "command": [called, "-c"], "args": [text]}}),
        Way::Source => json!({"script": {"image": "i", "command": [called], "source": text}}),
    }
}

fn parse(templates: Vec<Value>) -> Template {
    let workflow = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "spec": {"templates": templates},
    });
    Template::parse(&workflow.to_string()).unwrap()
}

fn fill_with(template: &Template, value: &str) -> Result<Value, Flaw> {
    let parameters: Parameters = [("x", value)].into_iter().collect();
    template.render(&parameters)
}

fn templates(object: &Value) -> &[Value] {
    object.pointer("/spec/templates").and_then(Value::as_array).unwrap()
}

fn script_of(way: Way, template: &Value) -> String {
    let pointer = match way {
        Way::Argument => "/container/args/0",
        Way::Source => "/script/source",
    };
    let text = template.pointer(pointer).and_then(Value::as_str).unwrap();
    match way {
        Way::Argument => kubelet::expand(text),
        Way::Source => text.to_owned(),
    }
}

/// The forms that start no process, and all of them.
fn suites(called: &'static str) -> (Suite, Suite) {
    let own: &[Form] = if called == "bash" { BASH_FORMS } else { &[] };
    let all: Vec<Form> = FORMS.iter().chain(own).copied().collect();
    let quick: Vec<Form> =
        all.iter().copied().filter(|(text, _)| !text.contains("cat") && !text.contains("$(p")).collect();
    (Suite::new(called, &quick), Suite::new(called, &all))
}

#[test]
fn every_shell_sees_exactly_the_naughty_value() {
    for called in ["sh", "bash"] {
        let (quick, all) = suites(called);
        let mut taken = 0;
        let mut offered = 0;
        let values: Vec<&str> = naughty().collect();
        for (at, values) in values.chunks(12).enumerate() {
            let payloads = values.iter().any(|value| PAYLOADS.contains(value));
            // bash has been `sh` before.
            if called == "bash" && at % 4 != 0 && !payloads {
                continue;
            }
            // The processes that the forms start are what takes time.
            let suite = if at % 20 == 0 || payloads { &all } else { &quick };
            taken += suite.check(values);
            offered += suite.cases.len() * values.len();
        }
        // A renderer that refuses everything would pass the comparison.
        assert!(taken * 10 > offered * 8, "{called}: only {taken} of {offered} were taken");
    }
}

#[test]
fn every_shell_sees_exactly_any_value() {
    for called in ["sh", "bash"] {
        let (quick, all) = suites(called);
        // One process of a shell takes many values as well as one.
        for (suite, cases, values) in [(quick, 15, 10), (all, 5, 5)] {
            let values = proptest::collection::vec(any_text(), values);
            let outcome = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() }).run(
                &values,
                |values| {
                    suite.check(&values.iter().map(String::as_str).collect::<Vec<_>>());
                    Ok(())
                },
            );
            if let Err(error) = outcome {
                panic!("{error}");
            }
        }
    }
}

#[test]
fn what_is_read_twice_sees_a_safe_word_and_nothing_else() {
    for called in ["sh", "bash"] {
        for (forms, values) in [(SAFE_FORMS, SAFE_WORDS), (NUMBER_FORMS, NUMBERS)] {
            let suite = Suite::new(called, forms);
            for value in values {
                let taken = suite.check(&[value]);
                assert!(taken >= suite.cases.len(), "{}: {value} was refused", suite.called);
            }
            for value in PAYLOADS {
                assert_eq!(suite.check(&[value]), 0, "{called} takes {value:?}");
            }
        }
    }
}

#[test]
fn a_whole_command_line_runs_as_it_is_rendered() {
    let template = json!({"container": {
        "image": "i",
        "command": ["SHELL", "-e", "-c"],
        "args": ["show \"$0\" \"$1\" \"a{{.x}}\" $(printf 'a$(b)')", "zero", "b{{.x}}"],
    }});
    for shell in shells() {
        let scratch = Scratch::new(&shell);
        let template = template.to_string().replace("SHELL", shell.called);
        let template = parse(vec![template.parse().unwrap()]);
        let mut taken = 0;
        for value in PAYLOADS {
            let Ok(object) = fill_with(&template, value) else { continue };
            taken += 1;
            let container = &templates(&object)[0]["container"];
            let line: Vec<String> = ["command", "args"]
                .iter()
                .flat_map(|list| container[*list].as_array().unwrap())
                .map(|item| kubelet::expand(item.as_str().unwrap()))
                .collect();
            assert_eq!(line[0], shell.called);
            let arguments: Vec<&str> = line.iter().skip(1).map(String::as_str).collect();
            let shown = scratch.run(&shell, &arguments);
            let expected = format!("zero\0b{value}\0a{value}\0a$(b)\0");
            assert_eq!(String::from_utf8_lossy(&shown), expected, "{}", shell.name);
        }
        assert!(taken + 3 > PAYLOADS.len(), "{}: only {taken} were taken", shell.name);
    }
}

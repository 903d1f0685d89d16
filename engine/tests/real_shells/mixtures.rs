//! Scripts that nobody would write: whatever the scanner makes of them, a payload never runs.

use std::cell::Cell;
use std::time::Duration;

use aegis_engine::render::{Flaw, Parameters, Template, fill};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::kubelet;
use crate::shells::{Scratch, Shell, shells};
use crate::values::PAYLOADS;

/// Parts of scripts, quotes that close nothing and keywords out of place among them.
const FRAGMENTS: &[&str] = &[
    "'",
    "\"",
    "\\",
    "\n",
    " ",
    ";",
    "|",
    "&",
    "&&",
    "||",
    "(",
    ")",
    "{ ",
    "; }",
    "$",
    "${",
    "}",
    "$(",
    "$((",
    "))",
    "`",
    "#",
    " # c ",
    "<<E\n",
    "<<'E'\n",
    "<<-E\n\t",
    "<<\\E\n",
    "\nE\n",
    "\n\tE\n",
    "case a in a) ",
    "case ",
    " in ",
    ") ",
    ";; ",
    " esac\n",
    "if ",
    "; then ",
    "; fi\n",
    "for v in ",
    "; do ",
    "; done\n",
    "show ",
    "show a",
    "v=",
    "v=a",
    "a=(",
    "[[ ",
    " ]] ",
    " == ",
    " =~ ",
    " -eq ",
    "$'",
    "$\"",
    "${u:-",
    "${u#",
    "${u/a/",
    "${#u}",
    "${u:",
    "eval ",
    "eval \"",
    "sh -c '",
    "cat ",
    "cat <<E",
    "<<<",
    ">f",
    ">>f ",
    "2>&1",
    "<(",
    "=",
    "a",
    "1",
    "-",
    "--",
    "*",
    "?",
    "[",
    "]",
    "! ",
    "~",
    "\t",
    "function ",
    "f() { ",
    "f ",
    "time ",
    "trap ",
    ". ",
    "printf ",
    "printf '%s' ",
    "read v ",
    "let ",
    "declare -i v; ",
    "export ",
    "set -- ",
    "alias a=",
    "$v",
    "\"$v\"",
    "$((v))",
    "E",
    "\\\n",
    "\r",
    "u+=",
    "exec ",
    "command ",
    "env ",
    "env A=",
    "test ",
    "[ ",
    " ]",
    ":",
    "@",
    "%",
    "+",
    "!(",
    "?(",
    "@(",
    "$$",
    "$!",
    "$?",
    "$1",
    "$@",
    "\"$(",
    ")\"",
    "\"`",
    "`\"",
    "'\\''",
    "\"'\"",
    "'\"'",
    "\\'",
    "\\\"",
    "\\$",
    "\\`",
    "E\n",
    "\nE",
    " E ",
    "<<E <<E\n",
    "<<\"E\" ",
    "|cat",
    "| cat <<E\n",
    "&>f ",
    "<&0 ",
    "select v in ",
    "while false; do ",
    "until true; do ",
    "elif ",
    "else ",
    "local v=",
    "readonly r=",
    "unset ",
    "$(<f)",
    "${v}",
    "${!v}",
    "${v@P}",
    "((",
    "$[",
    "v[",
    "]=",
    "coproc ",
    "shift ",
    "exit ",
    "return ",
    "\u{e9}",
];

/// Text of a script with values among it.
fn fragments() -> BoxedStrategy<String> {
    let part = prop_oneof![
        3 => proptest::sample::select(FRAGMENTS).prop_map(str::to_owned),
        1 => Just("{{.x}}".to_owned()),
    ];
    // The longer a mixture, the more surely the scanner loses its way in it and refuses.
    proptest::collection::vec(part, 1..7).prop_map(|parts| parts.concat()).boxed()
}

/// Text that is well formed but for a fragment now and then.
fn commands() -> BoxedStrategy<String> {
    let hole = Just("{{.x}}".to_owned());
    let leaf = prop_oneof![
        4 => hole,
        2 => "[a-z0-9/ -]{0,4}",
        1 => Just("$v".to_owned()),
        1 => Just("\\$".to_owned()),
        1 => proptest::sample::select(FRAGMENTS).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        let some = proptest::collection::vec(inner, 1..4).prop_map(|parts| parts.concat());
        let wrap = |before: &'static str, after: &'static str, some: BoxedStrategy<String>| {
            some.prop_map(move |text| format!("{before}{text}{after}"))
        };
        let some = some.boxed();
        prop_oneof![
            wrap("\"", "\"", some.clone()),
            wrap("'", "'", some.clone()),
            wrap("$(show ", ")", some.clone()),
            wrap("\"$(show \"", "\")\"", some.clone()),
            wrap("`show ", "`", some.clone()),
            wrap("${u:-", "}", some.clone()),
            wrap("$((", "))", some.clone()),
            wrap("\nshow ", "\n", some.clone()),
            wrap("\ncat <<E\n", "\nE\n", some.clone()),
            wrap("\ncat <<'E'\n", "\nE\n", some.clone()),
            wrap("$(cat <<E\n", "\nE\n)", some.clone()),
            wrap("; v=", "; ", some.clone()),
            wrap("; case a", " in a) show;; *) show;; esac; ", some.clone()),
            wrap("; case a in ", ") show;; esac; ", some.clone()),
            wrap("; for v in ", "; do show \"$v\"; done; ", some.clone()),
            wrap("; [[ ", " == a ]] && show; ", some.clone()),
            wrap("; if show ", "; then show; fi; ", some.clone()),
            wrap("; { show ", "; }; ", some.clone()),
            wrap("; (show ", "); ", some.clone()),
            wrap(" # ", "\n", some.clone()),
            wrap("\neval ", "\n", some.clone()),
            wrap("; f() { show ", "; }; f; ", some.clone()),
            wrap("$'", "'", some.clone()),
            wrap("; a=(", "); ", some.clone()),
            wrap(" >f", " ", some.clone()),
            wrap(" <<<", " ", some),
        ]
    })
    .prop_map(|text| format!("show {text}"))
    .boxed()
}

const PATIENCE: Duration = Duration::from_secs(5);

struct Tally {
    taken: Cell<usize>,
    refused: Cell<usize>,
}

/// Renders a script both ways and runs what comes out.
fn try_out(shells: &[(Shell, Scratch)], text: &str, value: &str, tally: &Tally) {
    for called in ["sh", "bash"] {
        let ways = [
            (json!({"container": {"image": "i", "command": [called, "-c"], "args": [text]}}), "/container/args/0"),
            (json!({"script": {"image": "i", "command": [called], "source": text}}), "/script/source"),
        ];
        for (container, pointer) in ways {
            // A mixture may be no template at all.
            let Some(rendered) = render(&container, value) else { return };
            let Ok(object) = rendered else {
                tally.refused.set(tally.refused.get() + 1);
                continue;
            };
            tally.taken.set(tally.taken.get() + 1);
            let script = object.pointer(&format!("/spec/templates/0{pointer}")).and_then(Value::as_str).unwrap();
            let expanded = kubelet::expand(script);
            for (shell, scratch) in shells.iter().filter(|(shell, _)| shell.called == called) {
                // Some mixtures keep a shell busy for ever, with or without a value.
                scratch.try_run(shell, &["-c", &expanded], PATIENCE);
                if pointer.ends_with("source") && expanded != script {
                    scratch.try_run(shell, &["-c", script], PATIENCE);
                }
            }
        }
    }
}

fn render(container: &Value, value: &str) -> Option<Result<Value, Flaw>> {
    let workflow = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "spec": {"templates": [container]},
    });
    let template = Template::parse(&workflow.to_string()).ok()?;
    let parameters: Parameters = [("x", value)].into_iter().collect();
    let evaluated = template.evaluate(&parameters).ok()?;
    Some(fill(&evaluated))
}

fn never_runs(scripts: BoxedStrategy<String>) {
    let shells: Vec<(Shell, Scratch)> = shells()
        .into_iter()
        .map(|shell| {
            let scratch = Scratch::new(&shell);
            (shell, scratch)
        })
        .collect();
    let tally = Tally { taken: Cell::new(0), refused: Cell::new(0) };
    let scripts = scripts.prop_filter("a script without a value is not ours", |text| text.contains("{{.x}}"));
    let strategy = (scripts, proptest::sample::select(PAYLOADS));
    let config = Config { failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |(text, value)| {
        try_out(&shells, &text, value, &tally);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    println!("{} taken, {} refused", tally.taken.get(), tally.refused.get());
    assert!(tally.taken.get() > 0, "a renderer that refuses everything proves nothing");
}

#[test]
fn a_payload_never_runs_in_a_script_of_fragments() {
    never_runs(fragments());
}

#[test]
fn a_payload_never_runs_in_a_script_that_is_nearly_well_formed() {
    never_runs(commands());
}

use serde_json::{Value, json};

use crate::render::Flaw;
use crate::render::testing::{container, render, script};

/// A Workflow with the given lines as its spec.
fn workflow(spec: &str) -> String {
    let mut text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n".to_owned();
    for line in spec.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn spec_of(spec: &str, value: &str) -> Result<Value, Flaw> {
    render(&workflow(spec), &[("x", value)]).map(|object| object["spec"].clone())
}

fn refused(spec: &str, value: &str) -> String {
    spec_of(spec, value).unwrap_err().to_string()
}

/// The shell text of a container after filling.
fn shell(text: &str, value: &str) -> Result<String, Flaw> {
    let object = render(&container(&["bash", "-c"], &[text]), &[("x", value), ("y", "second")])?;
    let args = object.pointer("/spec/templates/0/container/args/0").unwrap();
    Ok(args.as_str().unwrap().to_owned())
}

#[test]
fn the_quick_start_renders_as_people_would_write_it() {
    let template = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  serviceAccountName: aegis-workflow
  ttlSecondsAfterFinished: 60
  entrypoint: start
  templates:
  - name: start
    retryStrategy:
      limit: 1
    container:
      image: bitnami/kubectl:latest
      command:
      - /bin/bash
      - -c
      - |
        kubectl cordon {{.node}}
";
    let object = render(template, &[("node", "dev1")]).unwrap();
    assert_eq!(
        object["spec"],
        json!({
            "serviceAccountName": "aegis-workflow",
            "ttlSecondsAfterFinished": 60,
            "entrypoint": "start",
            "templates": [{
                "name": "start",
                "retryStrategy": {"limit": 1},
                "container": {
                    "image": "bitnami/kubectl:latest",
                    "command": ["/bin/bash", "-c", "kubectl cordon dev1\n"],
                },
            }],
        })
    );
}

#[test]
fn a_filled_scalar_stays_text_unless_its_field_or_the_template_says_otherwise() {
    let cases = [
        ("activeDeadlineSeconds: {{.x}}", "60", json!(60), "an integer field"),
        ("activeDeadlineSeconds: {{int .x}}", "-60", json!(-60), "the template says so"),
        ("entrypoint: {{.x}}", "60", json!("60"), "a field of text"),
        ("unknown: {{.x}}", "60", json!("60"), "a field that we do not know"),
        ("unknown: {{int .x}}", "60", json!(60), "the template says so"),
        ("unknown: {{bool .x}}", "true", json!(true), "the template says so"),
        ("unknown: \"{{int .x}}\"", "60", json!("60"), "but quotes make text"),
        ("unknown: a{{int .x}}", "60", json!("a60"), "and so does other text"),
        ("unknown: !!str {{int .x}}", "60", json!("60"), "and a tag"),
        ("unknown: !!int {{.x}}", "60", json!(60), "a tag makes a number too"),
        ("hostNetwork: {{.x}}", "true", json!(true), "a boolean field"),
        ("parallelism: {{.x}}", "0", json!(0), "zero"),
        ("unknown: {{.x}}", "", json!(""), "an empty value is no null"),
        ("unknown: {{.x}}", "null", json!("null"), "nor is the word"),
        ("unknown: {{.x}}", "~", json!("~"), "nor a tilde"),
        ("unknown: {{.x}}", "- a\n- b: c", json!("- a\n- b: c"), "YAML is text"),
        ("unknown: {{.x}} # {{.x}}", "a: b", json!("a: b"), "a comment is dropped"),
        ("unknown: '{{.x}}'", "it's", json!("it's"), "quotes of YAML need no escape"),
        ("unknown: \"{{.x}}\"", "a\"b\\", json!("a\"b\\"), "of neither kind"),
        ("unknown: >-\n  a\n  {{.x}}", "b\n c", json!("a b\n c"), "folding leaves values alone"),
    ];
    for (field, value, expected, why) in cases {
        let spec = spec_of(field, value).unwrap();
        let found = spec.as_object().unwrap().values().next().unwrap();
        assert_eq!(*found, expected, "{field} with {value:?}: {why}");
    }
    let limit = spec_of("templates:\n- name: a\n  retryStrategy: {limit: {{.x}} }", "2").unwrap();
    assert_eq!(limit["templates"][0]["retryStrategy"]["limit"], json!(2));
}

#[test]
fn a_field_of_numbers_or_booleans_takes_nothing_else() {
    let cases = [
        ("activeDeadlineSeconds: {{.x}}", "1h", "takes an integer"),
        ("activeDeadlineSeconds: {{.x}}", "010", "takes an integer"),
        ("activeDeadlineSeconds: \"{{.x}}\"", "60", "takes an integer"),
        ("hostNetwork: {{.x}}", "yes", "takes true or false"),
        ("unknown: !!int {{.x}}", "x", "no integer"),
        ("unknown: !!bool {{.x}}", "x", "neither true nor false"),
    ];
    for (field, value, expected) in cases {
        let message = refused(field, value);
        assert!(message.contains(expected), "{field} with {value}: {message}");
        assert!(message.starts_with("line 4, column "), "{message}");
        assert!(message.contains("parameter x"), "{message}");
    }
}

#[test]
fn a_word_that_decides_structure_is_refused() {
    let cases = [
        "{{.x}}: a",
        "a{{.x}}: a",
        "? {{.x}}\n: a",
        "a: {{{.x}}: b}",
        "a: &{{.x}} b",
        "a: !{{.x}} b",
        "a: !!{{.x}} b",
        "a: |{{.x}}\n  b",
        "a: \"\\{{.x}}\"",
        "a: \"\\x{{.x}}\"",
    ];
    for spec in cases {
        let flaw = spec_of(spec, "v").unwrap_err();
        assert!(flaw.line.is_some(), "{spec}: {flaw}");
    }
    let top = render("%TAG ! {{.x}}\n---\na: b\n", &[("x", "v")]);
    assert!(top.is_err());
    let message = refused("a{{.x}}: a", "v");
    assert!(message.contains("line 4, column 4") && message.contains("parameter x"), "{message}");
    for (template, field) in [
        ("apiVersion: argoproj.io/v1alpha1\nkind: {{.x}}\nspec: {}\n", "kind"),
        ("apiVersion: argoproj.io/{{.x}}\nkind: Workflow\nspec: {}\n", "apiVersion"),
    ] {
        let flaw = render(template, &[("x", "Workflow")]).unwrap_err();
        assert_eq!(flaw.field.as_deref(), Some(field), "{flaw}");
    }
}

#[test]
fn yaml_that_hides_or_repeats_is_refused() {
    let cases = [
        ("a: b\na: c", "stands twice"),
        ("a: !local b", "has no meaning here"),
        ("a: *nowhere", "not YAML"),
        ("a: b\n---\nc: d", "second YAML document"),
        ("a: &a [*a]", "inside its own anchor"),
        ("a: [b", "not YAML"),
        ("a: {[b]: c}", "a key is text"),
        ("~: c", "not null"),
    ];
    for (spec, expected) in cases {
        let template = format!("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {{}}\n{spec}\n");
        let message = render(&template, &[]).unwrap_err().to_string();
        assert!(message.contains(expected), "{spec}: {message}");
        assert!(message.starts_with("line "), "{spec}: {message}");
    }
    assert!(render("# only a comment\n", &[]).unwrap_err().to_string().contains("renders nothing"));
}

#[test]
fn aliases_are_written_out_and_bounded() {
    let spec = spec_of("a: &a {b: '{{.x}}'}\nc: *a\nd: {<<: *a, e: f}", "v").unwrap();
    assert_eq!(spec, json!({"a": {"b": "v"}, "c": {"b": "v"}, "d": {"e": "f", "b": "v"}}));
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(9);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
    }
    assert!(refused(&laughs, "v").contains("too large with its aliases"));
    let deep = format!("a: {}{}", "[".repeat(500), "]".repeat(500));
    assert!(spec_of(&deep, "v").is_err());
}

#[test]
fn a_value_is_quoted_for_where_it_stands_in_a_shell() {
    let cases = [
        ("show {{.x}}", "a b", "show 'a b'"),
        ("show {{.x}}", "", "show ''"),
        ("show {{.x}}", "it's", "show 'it'\\''s'"),
        ("show a{{.x}}b", "$y", "show a'$$y'b"),
        ("show '{{.x}}'", "it's", "show 'it'\\''s'"),
        ("show \"{{.x}}\"", "a\"`$\\", "show \"a\\\"\\`\\$$\\\\\""),
        ("show $'{{.x}}'", "it's\\", "show $'it\\'s\\\\'"),
        ("show {{.x}}>f", "2", "show '2'>f"),
        ("show {{.x}}", "esac", "show 'esac'"),
        ("cat <<E\n{{.x}}\nE\n", "$a `b` \\ \"c\"", "cat <<E\n\\$$a \\`b\\` \\\\ \"c\"\nE\n"),
        ("cat <<'E'\n{{.x}}\nE\n", "`b` \\ \"c\"", "cat <<'E'\n`b` \\ \"c\"\nE\n"),
        ("show # {{.x}}", "a b", "show # a b"),
        ("show \"$(date \"{{.x}}\")\"", "a $b", "show \"$(date \"a \\$b\")\""),
        ("case {{.x}} in {{.x}}) a;; esac", "a", "case 'a' in 'a') a;; esac"),
        ("[[ {{.x}} == {{.x}}* ]]", "a", "[[ 'a' == 'a'* ]]"),
        ("for i in {{.x}}; do show \"$i\"; done", "a b", "for i in 'a b'; do show \"$i\"; done"),
    ];
    for (text, value, expected) in cases {
        assert_eq!(shell(text, value).unwrap(), expected, "{text} with {value:?}");
    }
}

#[test]
fn text_that_is_read_a_second_time_takes_safe_words_only() {
    let cases = [
        "eval show {{.x}}",
        "eval \"show '{{.x}}'\"",
        "sh -c 'show {{.x}}'",
        "sudo bash -c \"show {{.x}}\"",
        "nsenter -t 1 -m -- sh -c 'show {{.x}}'",
        "chroot /host /bin/sh -c 'show {{.x}}'",
        "timeout 5 nohup sh -ec 'show {{.x}}'",
        "ssh root@host 'show {{.x}}'",
        "ssh root@{{.x}} uptime",
        "su - root -c 'show {{.x}}'",
        "echo {{.x}} | xargs show",
        "echo {{.x}} | sh",
        "{ echo {{.x}}; } | bash -s",
        "show | xargs -n1 show {{.x}}",
        "awk '/{{.x}}/' f",
        "awk -v x={{.x}} '{print x}' f",
        "sed -i s/a/{{.x}}/ f",
        "jq '.a == \"{{.x}}\"' f",
        "python3 -c 'print(\"{{.x}}\")'",
        "perl -e 'print \"{{.x}}\"'",
        "find / -name f -exec show {{.x}} \\;",
        "env -S 'show {{.x}}'",
        "trap 'show {{.x}}' EXIT",
        "alias a={{.x}}",
        "printf \"{{.x}}\\n\"",
        "kubectl patch node n -p '{\"metadata\":{\"labels\":{\"a\":\"{{.x}}\"}}}'",
        "kubectl apply -f - <<E\nname: {{.x}}\nE\n",
        "cat <<E | kubectl apply -f -\nname: {{.x}}\nE\n",
        "cat > /tmp/a.sh <<E\nshow {{.x}}\nE\n",
        "cat > /tmp/a <<E\nshow {{.x}}\nE\nsh /tmp/a",
        "echo show {{.x}} > /tmp/a; . /tmp/a",
        "echo show {{.x}} | tee /tmp/a; chmod +x /tmp/a; /tmp/a",
        "curl -d '{\"text\": \"{{.x}}\"}' http://x",
        "kubectl exec p -- sh -c 'show {{.x}}'",
        "show `date {{.x}}`",
        "show ${a:-{{.x}}}",
        "show \"${a%{{.x}}}\"",
        "$RUN show {{.x}}",
        "read {{.x}}",
        "unset {{.x}}",
        "export {{.x}}",
        "test -v {{.x}}",
        "v={{.x}}; eval \"show $v\"",
        "v={{.x}}; w=$v; sh -c \"show $w\"",
        "run() { eval \"$1\"; }; run {{.x}}",
        "echo {{.x}} | while read -r l; do eval $l; done",
        "v={{.x}}; ssh host \"show ${v}\"",
        "v={{.x}}; show ${!v}",
        "a=([k]={{.x}})",
        "echo -e {{.x}}",
        "echo \"{{workflow.parameters.a}}\" {{.x}}",
        "show $\"{{.x}}\"",
        "show \"unclosed {{.x}}",
        "make V={{.x}}",
    ];
    for text in cases {
        let flaw = shell(text, "a b").expect_err(text);
        assert!(flaw.to_string().contains("only a safe word"), "{text}: {flaw}");
        assert!(flaw.to_string().contains("env"), "{text}: {flaw}");
        let filled = shell(text, "node-1.x").unwrap();
        assert_eq!(filled, text.replace("{{.x}}", "node-1.x"), "{text}");
    }
}

#[test]
fn arithmetic_takes_digits_only() {
    let cases = [
        "show $(( {{.x}} + 1 ))",
        "show \"$((a+{{.x}}))\"",
        "(( {{.x}} > 1 ))",
        "let a={{.x}}",
        "declare -i a; a={{.x}}",
        "[[ $a -gt {{.x}} ]]",
        "show ${a:{{.x}}}",
        "show ${a[{{.x}}]}",
        "a[{{.x}}]=b",
        "v={{.x}}; [[ $v -eq 1 ]]",
        "v={{.x}}; show $((v + 1))",
        "v={{.x}}; (( v++ ))",
        "show 2>&{{.x}}",
    ];
    for text in cases {
        for bad in ["a", "a[$(touch canary)]", "1+1", "010", ""] {
            let flaw = shell(text, bad).expect_err(text);
            assert!(flaw.to_string().contains("only a decimal number"), "{text}: {flaw}");
        }
        let filled = shell(text, "7").unwrap();
        assert_eq!(filled.replace('\'', ""), text.replace("{{.x}}", "7"), "{text}");
    }
}

#[test]
fn a_value_never_decides_which_program_runs() {
    let cases = [
        "{{.x}}",
        "{{.x}} a",
        "\"{{.x}}\" a",
        "a=b {{.x}}",
        "true && {{.x}}",
        "if {{.x}}; then a; fi",
        "sudo {{.x}}",
        "exec {{.x}}",
        "sudo -u root {{.x}}",
        "nsenter -t 1 -m {{.x}}",
        "env A=b {{.x}}",
        "show $({{.x}})",
        "{{.x}}() { a; }",
        "function {{.x}} { a; }",
        "for {{.x}} in a; do b; done",
        "{{.x}}=a",
        ". {{.x}}",
        "sh {{.x}}",
        "kubectl apply -f {{.x}}",
        "kubectl exec p -- {{.x}}",
        "PATH={{.x}}:$PATH",
        "export LD_PRELOAD={{.x}}",
        "PS4={{.x}}; set -x",
        "v={{.x}}; $v a",
        "show $a{{.x}}",
        "show \"$a{{.x}}\"",
        "show ${{.x}}",
        "show ${{`{`}}{{.x}}}",
        "show \\{{.x}}",
        "show \"\\{{.x}}\"",
        "cat <<{{.x}}\na\n{{.x}}\n",
        "printf -v {{.x}} a",
    ];
    for text in cases {
        for value in ["reboot", "a b", "7"] {
            let flaw = shell(text, value).expect_err(text);
            assert!(flaw.to_string().contains("no value can stand here"), "{text} with {value}: {flaw}");
        }
    }
}

#[test]
fn a_dash_that_begins_a_word_is_refused() {
    for text in
        ["show {{.x}}", "show '{{.x}}'", "show \"{{.x}}\"", "show \"\"{{.x}}", "show $a\"{{.x}}\"", "v={{.x}}; show $v"]
    {
        let flaw = shell(text, "-lx").expect_err(text);
        assert!(flaw.to_string().contains("begins with '-'"), "{text}: {flaw}");
    }
    for text in ["show a{{.x}}", "show \"a {{.x}}\"", "show {{.y}}{{.x}}", "cat <<E\n{{.x}}\nE\n", "show # {{.x}}"] {
        assert!(shell(text, "-lx").is_ok(), "{text}");
    }
    let argument = |item: &str| render(&container(&["kubectl", "cordon", item], &[]), &[("x", "-lx"), ("y", "")]);
    assert!(argument("{{.x}}").is_err());
    assert!(argument("{{.y}}{{.x}}").is_err());
    assert!(argument("--selector={{.x}}").is_ok());
}

#[test]
fn a_here_document_ends_where_the_template_ends_it() {
    let text = "cat <<E\n{{.x}}\nE\n";
    assert!(shell(text, "a\nE\nb").unwrap_err().to_string().contains("ends the here-document"));
    assert!(shell(text, "E").is_err());
    assert!(shell(text, "a\n E\nb").is_ok());
    assert!(shell("cat <<EOF\nE{{.x}}\nEOF\n", "OF").is_err());
    assert!(shell("cat <<-E\n\t{{.x}}\n\tE\n", "a\n\tE").is_err());
    assert!(shell("cat <<-E\n\t{{.x}}\n\tE\n", "\ta").unwrap_err().to_string().contains("tab"));
    assert!(shell("cat <<-E\n\t{{.x}}\n\tE\n", "a\tb").is_ok());
    assert!(shell("cat <<'E'\n{{.x}}\nE\n", "E").is_err());
    assert!(shell("show # {{.x}}", "a\nreboot").unwrap_err().to_string().contains("newline"));
}

#[test]
fn dollars_are_doubled_for_kubelet_but_not_in_a_source() {
    let template = workflow(
        "templates:
- name: a
  container:
    image: i
    command: [kubectl, annotate, 'note={{.x}}']
    env:
    - {name: NOTE, value: 'a {{.x}}'}
    lifecycle:
      preStop: {exec: {command: [echo, '{{.x}}']}}
- name: b
  script:
    image: i
    command: [sh]
    source: echo '{{.x}}'",
    );
    let object = render(&template, &[("x", "5$ $(A) $$")]).unwrap();
    let at = |pointer: &str| object.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    assert_eq!(at("/spec/templates/0/container/command/2"), "note=5$$ $$(A) $$$$");
    assert_eq!(at("/spec/templates/0/container/env/0/value"), "a 5$$ $$(A) $$$$");
    assert_eq!(at("/spec/templates/0/container/lifecycle/preStop/exec/command/1"), "5$ $(A) $$");
    // Written so that no reader on the way, kubelet included, finds $$ or $( in it.
    assert_eq!(at("/spec/templates/1/script/source"), "echo '5$ $''(A) $''$'");
}

#[test]
fn braces_and_nul_never_come_from_a_value() {
    let cases = [
        ("a: '{{.x}}'", "{{workflow.name}}"),
        ("a: '{{.x}}'", "}}"),
        ("a: 'b {{`{`}}{{.x}}'", "{c"),
        ("a: '{{.x}}}'", "}"),
        ("a: '{{`{`}}{{.x}}'", "{=c"),
    ];
    for (spec, value) in cases {
        let message = refused(spec, value);
        assert!(message.contains("Argo would read as a tag"), "{spec} with {value}: {message}");
    }
    let split = render(&workflow("a: 'b{{.x}}{{.y}}c'"), &[("x", "{"), ("y", "{")]);
    assert!(split.is_err());
    let empty = render(&workflow("a: 'b{{`{`}}{{.x}}{c'"), &[("x", "")]);
    assert!(empty.is_err(), "an empty value brings the template's braces together");
    assert!(spec_of("a: '{{.x}}'", "{a} }{ {").is_ok());
    assert!(refused("a: '{{.x}}'", "a\0b").contains("NUL"));
}

#[test]
fn a_value_does_not_lead_out_of_a_folder() {
    let cases = [
        "volumes: [{name: a, hostPath: {path: '{{.x}}'}}]",
        "volumes: [{name: a, hostPath: {path: '/var/log/{{.x}}'}}]",
        "templates: [{container: {image: i, command: [cat, '/var/log/{{.x}}']}}]",
        "templates: [{container: {image: i, command: [sh, -c, 'cat /var/log/{{.x}}']}}]",
        "templates: [{container: {image: i, command: [sh, -c, 'rm -r {{.x}}']}}]",
        "templates: [{container: {image: i, command: [sh, -c, 'echo a > {{.x}}']}}]",
        "templates: [{container: {image: i, volumeMounts: [{name: a, subPath: '{{.x}}'}]}}]",
    ];
    for spec in cases {
        for value in ["..", "a/../../b", "a/.."] {
            let message = refused(spec, value);
            assert!(message.contains("`..` segment"), "{spec} with {value}: {message}");
        }
        assert!(spec_of(spec, "a..b").is_ok(), "{spec}");
    }
}

#[test]
fn second_readers_outside_of_shells_take_safe_words_too() {
    let cases = [
        "podSpecPatch: '{\"hostname\": \"{{.x}}\"}'",
        "templates: [{resource: {action: create, manifest: 'name: {{.x}}'}}]",
        "templates: [{steps: [[{name: a, template: b, when: '{{.x}} == a'}]]}]",
        "templates: [{retryStrategy: {expression: \"asInt(a) > 1 && b != '{{.x}}'\"}}]",
        "templates: [{http: {url: 'http://a', body: 'text={{.x}}'}}]",
        "templates: [{steps: [[{name: a, template: b, withParam: '[\"{{.x}}\"]'}]]}]",
        "templates: [{dag: {tasks: [{name: a, template: b, depends: 'c && {{.x}}'}]}}]",
        "templates: [{resource: {action: get, successCondition: 'a == {{.x}}'}}]",
        "templates: [{inputs: {artifacts: [{name: a, path: /a, raw: {data: 'echo {{.x}}'}}]}}]",
        "arguments: {parameters: [{name: a, value: \"{{`{{=a == '`}}{{.x}}{{`'}}`}}\"}]}",
        "arguments: {parameters: [{name: a, value: '{{`{{inputs.parameters.`}}{{.x}}{{`}}`}}'}]}",
        "templates: [{script: {image: i, command: [python3], source: \"print('{{.x}}')\"}}]",
        "templates: [{container: {image: i, args: ['{{.x}}']}}]",
        "templates: [{script: {image: i, command: [zsh], source: 'echo {{.x}}'}}]",
    ];
    for spec in cases {
        let message = refused(spec, "a b");
        assert!(message.contains("only a safe word"), "{spec}: {message}");
        assert!(spec_of(spec, "a-1").is_ok(), "{spec}: {:?}", spec_of(spec, "a-1"));
    }
    for (spec, value) in [
        ("podSpecPatch: 'a: {{.x}}'", "hostNetwork:"),
        ("podSpecPatch: '{{.x}}: true'", "hostNetwork"),
        ("podSpecPatch: '{\"{{.x}}\":true}'", "hostNetwork"),
        ("templates: [{retryStrategy: {expression: 'a == {{.x}}'}}]", "lastRetry.exitCode"),
        ("templates: [{script: {image: i, command: [python3], source: 'print({{.x}})'}}]", "exit"),
        ("templates: [{resource: {action: '{{.x}}'}}]", "delete"),
        ("templates: [{container: {image: i, command: [a], env: [{name: BASH_ENV, value: '{{.x}}'}]}}]", "a"),
        ("templates: [{container: {image: i, command: [a], env: [{name: '{{.x}}', value: a}]}}]", "LD_PRELOAD"),
        ("templates: [{container: {image: i, command: 'sh -c {{.x}}'}}]", "a"),
    ] {
        assert!(spec_of(spec, value).is_err(), "{spec} with {value}");
    }
}

#[test]
fn what_argo_pastes_into_code_is_a_safe_word() {
    let object = |tag: &str, rest: &str| {
        workflow(&format!(
            "{rest}\ntemplates:\n- name: a\n  container: {{image: i, command: [sh, -c, 'echo \"{tag}\"']}}"
        ))
    };
    let parameter = "arguments: {parameters: [{name: a, value: '{{.x}}'}]}";
    let with = |template: &str, value: &str| render(template, &[("x", value)]);
    let pasting = object("{{workflow.parameters.a}}", parameter);
    let flaw = with(&pasting, "$(reboot)").unwrap_err();
    assert_eq!(flaw.field.as_deref(), Some("spec.arguments.parameters[0].value"));
    assert!(flaw.to_string().contains("{{workflow.parameters.a}}"), "{flaw}");
    assert!(with(&pasting, "node-1").is_ok());
    for (tag, rest) in [
        ("{{workflow.labels.a}}", "workflowMetadata: {labels: {a: '{{.x}}'}}"),
        ("{{workflow.annotations.a}}", "workflowMetadata: {annotations: {a: '{{.x}}'}}"),
        ("{{=workflow.parameters.a}}", parameter),
        ("{{inputs.parameters.a}}", parameter),
        ("{{workflow.status}}", parameter),
        ("{{item}}", "x: {withItems: [a, '{{.x}}']}"),
        (
            "{{item}}",
            "x: {withItems: ['{{workflow.parameters.a}}']}\narguments: {parameters: [{name: a, value: '{{.x}}'}]}",
        ),
        (
            "{{item}}",
            "x: {withParam: '{{steps.a.outputs.result}}'}\narguments: {parameters: [{name: a, value: '{{.x}}'}]}",
        ),
    ] {
        let template = object(tag, rest);
        assert!(with(&template, "a b").is_err(), "{tag} with {rest}");
        assert!(with(&template, "a-b").is_ok(), "{tag} with {rest}");
    }
    for (tag, rest) in [
        ("{{workflow.name}} {{pod.name}} {{retries}}", parameter),
        ("{{item}}", "x: {withItems: [a, b]}\narguments: {parameters: [{name: a, value: '{{.x}}'}]}"),
        ("no tag", parameter),
    ] {
        let template = object(tag, rest);
        assert!(with(&template, "a b $(reboot)").is_ok(), "{tag}");
    }
}

#[test]
fn what_argo_pastes_into_an_argument_keeps_to_the_rules_of_arguments() {
    let template = workflow(
        "arguments: {parameters: [{name: a, value: '{{.x}}'}]}
templates:
- name: a
  container: {image: i, command: [kubectl, cordon, '{{workflow.parameters.a}}']}",
    );
    let with = |value: &str| render(&template, &[("x", value)]);
    assert!(with("--all").unwrap_err().to_string().contains("option"));
    assert!(with("$(TOKEN)").unwrap_err().to_string().contains("kubelet"));
    assert!(with("a b; c").is_ok());
}

#[test]
fn a_program_without_shell_gets_the_value_as_it_is() {
    let object = render(&container(&["kubectl", "annotate", "node"], &["note={{.x}}"]), &[("x", "a 'b' \"c\" `d`; e")]);
    let args = object.unwrap();
    assert_eq!(args.pointer("/spec/templates/0/container/args/0").unwrap(), "note=a 'b' \"c\" `d`; e");
}

#[test]
fn the_parts_of_a_job_are_read_as_those_of_a_workflow() {
    let template = "apiVersion: batch/v1
kind: Job
metadata: {namespace: monitoring}
spec:
  backoffLimit: {{.n}}
  template:
    spec:
      initContainers:
      - {name: a, image: i, command: [sh, -c, 'show {{.x}}']}
      containers:
      - name: b
        image: i
        command: [sh, -c]
        args: ['show {{.x}}']
        livenessProbe: {exec: {command: [sh, -c, 'show {{.x}}']}}
      hostPID: {{.b}}
";
    let object = render(template, &[("x", "a b"), ("n", "3"), ("b", "true")]).unwrap();
    let spec = object.pointer("/spec/template/spec").unwrap();
    assert_eq!(spec["initContainers"][0]["command"][2], "show 'a b'");
    assert_eq!(spec["containers"][0]["args"][0], "show 'a b'");
    assert_eq!(spec["containers"][0]["livenessProbe"]["exec"]["command"][2], "show 'a b'");
    assert_eq!(spec["hostPID"], true);
    assert_eq!(object["spec"]["backoffLimit"], 3);
}

#[test]
fn a_flaw_names_place_field_and_parameter() {
    let flaw = render(&script(&["bash"], "a\neval {{.x}}"), &[("x", "a b")]).unwrap_err();
    assert_eq!(flaw.field.as_deref(), Some("spec.templates[0].script.source"));
    assert_eq!(flaw.parameter.as_deref(), Some("x"));
    assert_eq!(flaw.line, Some(9));
    let message = flaw.to_string();
    assert!(message.contains("it holds ' '") && message.contains("eval reads"), "{message}");
}

#[test]
fn what_kubelet_pastes_into_a_command_keeps_to_the_rules_of_its_place() {
    let object = |item: &str, value: &str, env: &str| {
        let template = workflow(&format!(
            "arguments: {{parameters: [{{name: a, value: '{{{{.x}}}}'}}]}}
templates:
- name: a
  container:
    image: i
    command: {item}
    env: {env}"
        ));
        render(&template, &[("x", value)])
    };
    let own = "[{name: NOTE, value: 'a {{.x}}'}, {name: OTHER, value: b}]";
    let chained = "[{name: A, value: '{{.x}}'}, {name: NOTE, value: '$(A)'}]";
    let tagged = "[{name: NOTE, value: '{{workflow.parameters.a}}'}]";
    let field = "[{name: NOTE, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['a']\"}}}]";
    for env in [own, chained, tagged, field] {
        let pasting = "[sh, -c, 'echo $(NOTE)']";
        let flaw = object(pasting, "$(reboot)", env).expect_err(env).to_string();
        assert!(flaw.contains("only a safe word"), "{env}: {flaw}");
        assert!(object(pasting, "node1", env).is_ok(), "{env}");
        for harmless in ["[sh, -c, 'echo \"$NOTE\"']", "[sh, -c, 'echo $$(NOTE)']", "[echo, '$(NOTE)']"] {
            if env != field && env != tagged || !harmless.contains("(NOTE)']") {
                assert!(object(harmless, "a b", env).is_ok(), "{env} with {harmless}");
            }
        }
    }
    let whole = "[{name: NOTE, value: '{{.x}}'}]";
    assert!(object("[kubectl, cordon, '$(NOTE)']", "--all", whole).is_err());
    assert!(object("[kubectl, cordon, '$(NOTE)']", "a b", whole).is_ok());
}

#[test]
fn shells_that_differ_about_a_script_all_see_no_code() {
    let sh = |text: &str, value: &str| render(&container(&["sh", "-c"], &[text]), &[("x", value)]);
    // dash ends the command at &, and has no [[.
    assert!(sh("echo a &> f {{.x}}", "reboot").is_err());
    assert!(sh("[[ a == b || {{.x}} == c ]]", "reboot").is_err());
    assert!(sh("[[ {{.x}} == c ]]", "node1").is_ok());
    assert!(sh("[[ {{.x}} == c ]]", "a b").is_err());
    assert!(sh("show $'{{.x}}'", "it's").is_err());
    for text in ["show $\\\n{{.x}}", "show \"$a\\\n{{.x}}\"", "cat <\\\n<E\n{{.x}}\nE\n"] {
        assert!(sh(text, "a b").is_err(), "{text}");
    }
    assert!(sh("show $\\\n{{.x}}", "HOME").is_err());
}

#[test]
fn a_value_never_names_a_variable() {
    for text in ["LD_{{.x}}=a show", "export LD_{{.x}}=a", "env A=b LD_{{.x}}=a show", "local a{{.x}}=b", "a[{{.x}}]=b"]
    {
        assert!(shell(text, "PRELOAD").is_err(), "{text}");
    }
    assert!(shell("kubectl label node n {{.x}}=a", "key").is_ok());
}

#[test]
fn what_scripts_commonly_do_is_rendered() {
    let cases = [
        "retry() { for i in 1 2 3; do \"$@\" && return; sleep 1; done; }; retry kubectl cordon {{.x}}",
        "set -euo pipefail\nkubectl drain {{.x}} --ignore-daemonsets --timeout=60s\n",
        "echo \"[WARN] draining: {{.x}}\" | tee -a /tmp/log",
        "NODE={{.x}}\nif kubectl get node \"$NODE\" | grep -q Ready; then echo \"$NODE is ready\"; fi",
        "kubectl get pods -A --field-selector spec.nodeName={{.x}} -o name | while read -r p; do kubectl delete \"$p\"; done",
        "i=0; while [ $i -lt 5 ]; do i=$((i+1)); kubectl uncordon {{.x}} && break; done",
        "nsenter -t 1 -m -u -i -n -- systemctl restart {{.x}}",
        "ssh -o BatchMode=yes root@{{.x}} 'sync; echo 3 > /proc/sys/vm/drop_caches'",
        "kubectl get node {{.x}} -o jsonpath='{.status.nodeInfo.kernelVersion}' | awk -F. '{print $1}'",
        "kubectl patch node {{.x}} -p '{\"spec\":{\"unschedulable\":true}}'",
    ];
    for text in cases {
        assert_eq!(shell(text, "node-1").as_deref(), Ok(text.replace("{{.x}}", "node-1").as_str()), "{text}");
    }
}

#[test]
fn a_script_is_read_as_it_is_when_kubelet_has_expanded_it() {
    // To the shell the first is an escaped dollar and text, not a command substitution.
    let text = "show \"\\$$(show {{.x}})\"";
    assert_eq!(shell(text, "a'b").as_deref(), Ok("show \"\\$$(show a'b)\""));
    let source = |value: &str| render(&script(&["bash"], text), &[("x", value)]);
    assert!(source("a'b").is_err(), "kubelet may or may not expand a source");
    assert!(source("a.b").is_ok());
    let env = |item: &str, env: &str, value: &str| {
        let template =
            workflow(&format!("templates:\n- name: a\n  container: {{image: i, command: [sh, -c, '{item}'], {env}}}"));
        render(&template, &[("x", value)])
    };
    // What a variable holds could change the quotes around the value.
    for variables in ["env: [{name: Q, value: b}]", "envFrom: [{configMapRef: {name: c}}]"] {
        assert!(env("show $(Q) {{.x}}", variables, "a b").is_err(), "{variables}");
        assert!(env("show $(Q) {{.x}}", variables, "a").is_ok(), "{variables}");
        assert!(env("show $(date -u) {{.x}}", variables, "a b").is_ok(), "{variables}");
    }
}

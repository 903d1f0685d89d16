//! What becomes of scalars and of the object around them.

use serde_json::json;

use super::{refused, spec_of, workflow};
use crate::render::testing::{render, script};

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

//! What Argo and kubelet paste or expand on the way to a program.

use super::{shell, workflow};
use crate::render::testing::{render, script};

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
    let patching = template.replace("cordon, '", "patch, node, n, -p, '");
    assert!(render(&patching, &[("x", "{\"spec\": 1}")]).is_err(), "kubectl reads a patch as JSON");
    assert!(render(&patching, &[("x", "a-b")]).is_ok());
    assert!(with("--all").unwrap_err().to_string().contains("option"));
    assert!(with("$(TOKEN)").unwrap_err().to_string().contains("kubelet"));
    assert!(with("a b; c").is_ok());
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

//! What is not run is refused by the name of its field, and no input makes the interpreter panic.

use std::time::Duration;

use serde_json::json;

use super::{BACKOFF, at, workflow};
use crate::agent::argo::advance::{Past, advance};
use crate::agent::argo::pod_view::Pods;
use crate::agent::argo::read;

#[test]
fn what_is_not_run_is_refused_by_name() {
    let template = |body: &str| format!("{{entrypoint: a, templates: [{{name: a, {body}}}]}}");
    let container = "container: {image: i, command: [x]}";
    let steps = |step: &str| template(&format!("steps: [[{{name: s, template: a, {step}}}]]"));
    let cases = [
        (template("suspend: {}"), "the sandbox does not run spec.templates[0].suspend"),
        (template("http: {url: x}"), "the sandbox does not run spec.templates[0].http"),
        (template("resource: {action: get}"), "the sandbox does not run spec.templates[0].resource"),
        (template("containerSet: {containers: []}"), "the sandbox does not run spec.templates[0].containerSet"),
        (template("plugin: {x: {}}"), "the sandbox does not run spec.templates[0].plugin"),
        (template("data: {}"), "the sandbox does not run spec.templates[0].data"),
        (template(&format!("{container}, memoize: {{key: x}}")), "the sandbox does not run spec.templates[0].memoize"),
        (
            template(&format!("{container}, synchronization: {{mutex: {{name: m}}}}")),
            "the sandbox does not run spec.templates[0].synchronization",
        ),
        (
            template(&format!("{container}, sidecars: [{{name: x}}]")),
            "the sandbox does not run spec.templates[0].sidecars",
        ),
        (
            template(&format!("{container}, inputs: {{artifacts: [{{name: x}}]}}")),
            "the sandbox does not run spec.templates[0].inputs.artifacts",
        ),
        (
            template(&format!("{container}, outputs: {{parameters: [{{name: x, valueFrom: {{path: /tmp/x}}}}]}}")),
            "the sandbox does not run spec.templates[0].outputs.parameters[0].valueFrom.path (use outputs.result, what the script prints)",
        ),
        (
            steps("templateRef: {name: x, template: y}"),
            "the sandbox does not run spec.templates[0].steps[0][0].templateRef",
        ),
        (steps("hooks: {exit: {template: a}}"), "the sandbox does not run spec.templates[0].steps[0][0].hooks"),
        (steps("withSequence: {count: 3}"), "the sandbox does not run spec.templates[0].steps[0][0].withSequence"),
        (
            template("container: {image: i, args: ['{{=1+1}}']}"),
            "the sandbox does not evaluate expressions: spec.templates[0].container.args[0] holds {{=...}}; use plain tags",
        ),
        (
            template(&format!("{container}, retryStrategy: {{expression: 'true'}}")),
            "the sandbox does not run spec.templates[0].retryStrategy.expression",
        ),
        (
            template(&format!("{container}, retryStrategy: {{limit: many}}")),
            "spec.templates[0].retryStrategy.limit is \"many\"; expected a whole number, at least 0",
        ),
        ("{suspend: true, entrypoint: a}".into(), "the sandbox does not run spec.suspend"),
        ("{hooks: {x: {}}, entrypoint: a}".into(), "the sandbox does not run spec.hooks"),
        ("{workflowTemplateRef: {name: x}}".into(), "the sandbox does not run spec.workflowTemplateRef"),
        ("{podSpecPatch: x, entrypoint: a}".into(), "the sandbox does not run spec.podSpecPatch"),
        ("{}".into(), "spec.entrypoint is missing; expected the name of a template"),
        ("{entrypoint: b, templates: []}".into(), "spec.entrypoint is \"b\"; expected the name of a template: "),
        (
            template("metadata: {}"),
            "spec.templates[0]: its body is missing; expected exactly one of container, script, steps and dag",
        ),
        (
            template(&format!("{container}, steps: []")),
            "spec.templates[0] is a template with both container and steps; expected exactly one of container, script, steps and dag",
        ),
        (
            template("dag: {tasks: [{name: x, template: a, dependencies: [z]}, {name: z, template: a, depends: x}]}"),
            "spec.templates[0].dag.tasks is tasks that wait for each other: x, z; expected an order",
        ),
        (
            template("dag: {tasks: [{name: x, template: a, dependencies: [z]}]}"),
            "spec.templates[0].dag.tasks[0] is a task that waits for \"z\"; expected a task of the same dag",
        ),
        (template("steps: [{name: x, template: a}]"), "spec.templates[0].steps[0] is an object; expected a list"),
        (
            template("steps: [[{name: x, template: b}]]"),
            "spec.templates[0]: the template of \"x\" is \"b\"; expected the name of a template: a",
        ),
        (
            template("steps: [[{name: x, template: a}], [{name: x, template: a}]]"),
            "spec.templates[0].steps is two entries named \"x\"; expected names that differ",
        ),
        (
            "{entrypoint: a, arguments: {parameters: [{name: x}]}}".into(),
            "spec.arguments.parameters[0].value is missing; expected a value, or a default",
        ),
    ];
    for (spec, want) in cases {
        let found = read::workflow(&workflow(&spec))
            .map(|_| "it was accepted".to_owned())
            .unwrap_or_else(|flaw| flaw.to_string());
        assert_eq!(found, want, "{spec}");
    }
}

#[test]
fn a_finished_workflow_is_kept_as_long_as_its_ttl_says() {
    let ttl = |spec: &str| read::ttl_of(&workflow(spec));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let old = ttl("{ttlSecondsAfterFinished: 60, suspend: true}");
    assert_eq!((old.after(true), old.after(false)), (seconds(60), seconds(60)), "also of a workflow that is not run");
    let strategy = ttl("{ttlStrategy: {secondsAfterSuccess: 1, secondsAfterCompletion: 3}}");
    assert_eq!((strategy.after(true), strategy.after(false)), (seconds(1), seconds(3)));
    assert_eq!(ttl("{}").after(true), None);
}

proptest::proptest! {
    #[test]
    fn no_spec_makes_reading_or_advancing_panic(
        keys in proptest::collection::vec("(entrypoint|templates|arguments|onExit|retryStrategy|ttlStrategy|steps|dag|name|container|a|\\{\\{item\\}\\})", 0..12),
        shape in proptest::collection::vec(0..6u8, 0..12),
    ) {
        let mut value = json!("a");
        for (key, shape) in keys.iter().zip(&shape) {
            value = match shape {
                0 => json!([value]),
                1 => json!({ key.as_str(): value }),
                2 => json!({ key.as_str(): value, "name": "a", "entrypoint": "a" }),
                3 => json!({ "templates": [value, {"name": "a", "container": {"image": "i"}}], "entrypoint": "a" }),
                4 => json!({ "tasks": [value], "name": "a", "template": "a" }),
                _ => json!({ "name": "a", "steps": [[value]], "template": "a" }),
            };
        }
        let mut object = workflow("{}");
        object.data = json!({ "spec": value });
        if let Ok(read) = read::workflow(&object) {
            advance(&read, &Past::default(), &Pods::new(), at(0), BACKOFF);
        }
    }
}

//! What a Workflow runs, in which order, and as which pods.

use serde_json::json;

use super::{as_told, play, played, workflow};
use crate::agent::argo::node::{Kind, Phase};

#[test]
fn a_container_runs_as_the_pod_that_argo_would_make() {
    let played = play(
        &workflow(
            "
entrypoint: start
serviceAccountName: aegis-workflow
ttlSecondsAfterFinished: 60
arguments: {parameters: [{name: node, value: dev1}, {name: greeting, value: 'from {{workflow.name}}'}]}
podMetadata: {labels: {app: sop}}
tolerations: [{operator: Exists}]
templates:
- name: start
  metadata: {annotations: {on: '{{workflow.parameters.node}}'}}
  nodeSelector: {kubernetes.io/hostname: '{{workflow.parameters.node}}'}
  activeDeadlineSeconds: 90
  retryStrategy: {limit: 1}
  container:
    image: bitnami/kubectl:latest
    command: [/bin/bash, -c, 'kubectl cordon {{workflow.parameters.node}} # {{workflow.parameters.greeting}} {{retries}} {{pod.name}}']
",
        ),
        60,
        &as_told(),
    );
    assert_eq!(played.ended(), (Phase::Succeeded, None));
    let name = "w-start-724911797";
    let script = format!("kubectl cordon dev1 # from w 0 {name}");
    assert_eq!(
        played.pods,
        [json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "ops",
                "labels": {"app": "sop", "workflows.argoproj.io/workflow": "w", "workflows.argoproj.io/completed": "false"},
                "annotations": {"on": "dev1", "kubectl.kubernetes.io/default-container": "main",
                    "workflows.argoproj.io/node-name": "w(0)", "workflows.argoproj.io/node-id": "w-724911797"},
                "ownerReferences": [{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "w", "uid": "u1",
                    "controller": true, "blockOwnerDeletion": true}],
            },
            "spec": {
                "serviceAccountName": "aegis-workflow", "tolerations": [{"operator": "Exists"}],
                "nodeSelector": {"kubernetes.io/hostname": "dev1"}, "activeDeadlineSeconds": 90, "restartPolicy": "Never",
                "containers": [{"image": "bitnami/kubectl:latest", "command": ["/bin/bash", "-c", script], "name": "main"}],
            },
        })]
    );
}

#[test]
fn status_is_written_in_argos_words() {
    let played = played(
        "{entrypoint: do, templates: [".replace("{entrypoint: do, templates: [", "entrypoint: do\ntemplates:").as_str(),
    );
    let patch = played.last.patch("u1");
    assert_eq!(
        patch,
        json!({
            "metadata": {"uid": "u1", "labels": {"workflows.argoproj.io/phase": "Succeeded", "workflows.argoproj.io/completed": "true"}},
            "status": {
                "phase": "Succeeded", "message": null, "progress": "1/1",
                "startedAt": "1970-01-01T00:16:40Z", "finishedAt": "1970-01-01T00:16:40Z",
                "conditions": [{"type": "PodRunning", "status": "False"}, {"type": "Completed", "status": "True"}],
                "nodes": {"w": {
                    "id": "w", "name": "w", "displayName": "w", "type": "Pod", "templateName": "do", "phase": "Succeeded",
                    "startedAt": "1970-01-01T00:16:40Z", "finishedAt": "1970-01-01T00:16:40Z",
                    "inputs": {"parameters": [{"name": "what", "value": "ok"}]},
                    "outputs": {"result": "", "exitCode": "0"}, "hostNodeName": "n1",
                }},
            },
        })
    );
}

#[test]
fn a_script_is_handed_to_its_command_as_a_file() {
    let object = workflow(
        "
entrypoint: s
templates:
- name: s
  script: {image: bash, command: [bash, -e], source: 'echo {{workflow.name}} $HOME'}
",
    );
    let played = play(&object, 60, &as_told());
    let container = played.pods[0].pointer("/spec/containers/0").unwrap();
    assert_eq!(container["command"], json!(["bash", "-e", "/argo/staging/script"]));
    assert_eq!(
        container["env"],
        json!([{"name": "ARGO_TEMPLATE", "value": "{\"script\":{\"source\":\"echo w $HOME\"}}"}])
    );
    assert_eq!(container.get("source"), None);
}

#[test]
fn steps_run_group_by_group_and_pass_results_on() {
    let played = played(
        "
entrypoint: main
templates:
- name: main
  outputs: {parameters: [{name: seen, valueFrom: {parameter: '{{steps.flip.outputs.result}}'}}]}
  steps:
  - - {name: flip, template: do, arguments: {parameters: [{name: what, value: print heads}]}}
    - {name: other, template: do}
  - - {name: won, template: do, when: '{{steps.flip.outputs.result}} == heads', arguments: {parameters: [{name: what, value: 'use {{steps.flip.outputs.result}} {{steps.other.status}}'}]}}
    - {name: lost, template: do, when: '{{steps.flip.outputs.result}} == tails'}
",
    );
    assert_eq!(played.ended(), (Phase::Succeeded, None));
    assert_eq!(played.rounds, [vec!["sh -c print heads", "sh -c ok"], vec!["sh -c use heads Succeeded"]]);
    assert_eq!(played.message_of("lost"), Some("when 'heads == tails' evaluated false"));
    assert_eq!(played.phase_of("lost"), Some(Phase::Skipped));
    assert_eq!(played.last.nodes["w"].outputs.parameters[0].value, "heads");
    assert_eq!(played.last.progress(), "3/3", "what was skipped is no pod");
    let tree: Vec<_> = played.last.nodes["w"].children.iter().map(|id| &played.last.nodes[id]).collect();
    assert_eq!(tree.len(), 1);
    assert_eq!((tree[0].kind, tree[0].children.len()), (Kind::StepGroup, 2));
    let second = &played.last.nodes[&played.last.nodes[&tree[0].children[0]].children[0]];
    assert_eq!(second.display_name, "[1]", "the second group follows the steps of the first");
}

#[test]
fn how_steps_end() {
    let cases = [
        (
            "a failed step ends the steps after its group",
            "
  - - {name: bad, template: do, arguments: {parameters: [{name: what, value: exit 1}]}}
    - {name: good, template: do}
  - - {name: never, template: do}",
            Phase::Failed,
            Some("child 'w-3591872549' failed"),
            2,
        ),
        (
            "continueOn.failed goes on",
            "
  - - {name: bad, template: do, continueOn: {failed: true}, arguments: {parameters: [{name: what, value: exit 1}]}}
  - - {name: then, template: do, when: '{{steps.bad.status}} == Failed && {{steps.bad.exitCode}} == 1'}",
            Phase::Succeeded,
            None,
            2,
        ),
        (
            "a condition that cannot be read is an error of its step",
            "
  - - {name: bad, template: do, when: heads}",
            Phase::Failed,
            Some("child 'w-3591872549' failed"),
            0,
        ),
        (
            "a tag that nothing fills",
            "
  - - {name: bad, template: do, arguments: {parameters: [{name: what, value: '{{steps.other.outputs.result}}'}]}}",
            Phase::Failed,
            Some("child 'w-3591872549' failed"),
            0,
        ),
        (
            "an input that nobody gives",
            "
  - - {name: bad, template: needs}",
            Phase::Failed,
            Some("child 'w-3591872549' failed"),
            0,
        ),
    ];
    for (why, steps, phase, message, pods) in cases {
        let played = played(&format!(
            "
entrypoint: main
templates:
- name: needs
  inputs: {{parameters: [{{name: x}}]}}
  container: {{image: i, command: ['{{{{inputs.parameters.x}}}}']}}
- name: main
  steps:{steps}
"
        ));
        assert_eq!(played.ended(), (phase, message), "{why}");
        assert_eq!(played.pods.len(), pods, "{why}");
    }
}

#[test]
fn a_call_is_repeated_over_items() {
    let played = played(
        "
entrypoint: main
arguments: {parameters: [{name: nodes, value: '[{\"name\": \"n1\", \"zone\": 1}, {\"name\": \"n2\", \"zone\": 2}]'}]}
templates:
- name: main
  steps:
  - - {name: list, template: do, withItems: [a, 7, '{{workflow.name}}'], arguments: {parameters: [{name: what, value: 'print {{item}}'}]}}
  - - {name: each, template: do, withParam: '{{workflow.parameters.nodes}}', when: '{{item.zone}} > 1', arguments: {parameters: [{name: what, value: 'cordon {{item.name}} {{item}}'}]}}
    - {name: seen, template: do, arguments: {parameters: [{name: what, value: 'saw {{steps.list.outputs.result}}'}]}}
  - - {name: none, template: do, withItems: []}
",
    );
    assert_eq!(played.ended(), (Phase::Succeeded, None));
    assert_eq!(
        played.rounds,
        [
            vec!["sh -c print a", "sh -c print 7", "sh -c print w"],
            vec!["sh -c cordon n2 {\"name\":\"n2\",\"zone\":2}", "sh -c saw [\"a\",7,\"w\"]"],
        ]
    );
    assert_eq!(played.phase_of("each(0:name:n1,zone:1)"), Some(Phase::Skipped));
}

#[test]
fn items_that_are_no_list_end_the_step_in_error() {
    let played = played(
        "
entrypoint: main
templates:
- name: main
  steps:
  - - {name: each, template: do, withParam: 'not json'}
",
    );
    let (phase, message) = played.ended();
    assert_eq!(phase, Phase::Error);
    assert!(message.unwrap().contains("withParam value could not be parsed as a JSON list: not json"), "{message:?}");
}

#[test]
fn how_a_dag_runs_and_ends() {
    let task = |name: &str, what: &str, rest: &str| {
        format!(
            "\n    - {{name: {name}, template: do, arguments: {{parameters: [{{name: what, value: '{what}'}}]}}{rest}}}"
        )
    };
    let cases = [
        (
            "a diamond",
            "",
            [
                task("a", "print 1", ""),
                task("b", "b {{tasks.a.outputs.result}}", ", dependencies: [a]"),
                task("c", "c", ", dependencies: [a]"),
                task("d", "d", ", depends: b && c"),
            ]
            .concat(),
            vec![vec!["print 1"], vec!["b 1", "c"], vec!["d"]],
            (Phase::Succeeded, None),
        ),
        (
            "what depends on a failure is left out",
            "",
            [
                task("a", "exit 1", ""),
                task("b", "b", ", dependencies: [a]"),
                task("c", "c", ", depends: b.Skipped || b.Succeeded"),
            ]
            .concat(),
            vec![vec!["exit 1"]],
            (Phase::Failed, None),
        ),
        (
            "a failure that somebody waits for is handled",
            "",
            [task("a", "exit 1", ""), task("mend", "mend", ", depends: a.Failed")].concat(),
            vec![vec!["exit 1"], vec!["mend"]],
            (Phase::Succeeded, None),
        ),
        (
            "failFast starts nothing after a failure",
            "",
            [task("a", "exit 1", ""), task("b", "b", ""), task("c", "c", ", dependencies: [b]")].concat(),
            vec![vec!["exit 1", "b"]],
            (Phase::Failed, None),
        ),
        (
            "without it the other branch goes on",
            "failFast: false",
            [task("a", "exit 1", ""), task("b", "b", ""), task("c", "c", ", dependencies: [b]")].concat(),
            vec![vec!["exit 1", "b"], vec!["c"]],
            (Phase::Failed, None),
        ),
        (
            "continueOn.failed counts as success",
            "",
            [task("a", "exit 1", ", continueOn: {failed: true}"), task("b", "b", ", dependencies: [a]")].concat(),
            vec![vec!["exit 1"], vec!["b"]],
            (Phase::Succeeded, None),
        ),
        (
            "a target leaves out what it does not need",
            "target: b",
            [task("a", "a", ""), task("b", "b", ", dependencies: [a]"), task("c", "c", "")].concat(),
            vec![vec!["a"], vec!["b"]],
            (Phase::Succeeded, None),
        ),
        (
            "a condition skips and the rest goes on",
            "",
            [task("a", "a", ", when: 'x == y'"), task("b", "b", ", dependencies: [a]")].concat(),
            vec![vec!["b"]],
            (Phase::Succeeded, None),
        ),
        (
            "items of a task stand together",
            "",
            [
                task("a", "print {{item}}", ", withItems: [1, 2]"),
                task("b", "b {{tasks.a.outputs.result}}", ", depends: a.AnySucceeded"),
            ]
            .concat(),
            vec![vec!["print 1", "print 2"], vec!["b [1,2]"]],
            (Phase::Succeeded, None),
        ),
        (
            "all items failed",
            "",
            [task("a", "exit {{item}}", ", withItems: [1, 2]"), task("b", "b", ", depends: a.AllFailed")].concat(),
            vec![vec!["exit 1", "exit 2"], vec!["b"]],
            (Phase::Succeeded, None),
        ),
    ];
    for (why, options, tasks, rounds, ended) in cases {
        let played = played(&format!(
            "\nentrypoint: main\ntemplates:\n- name: main\n  dag:\n    tasks:{tasks}\n    {options}\n"
        ));
        let rounds: Vec<Vec<String>> =
            rounds.iter().map(|round| round.iter().map(|told| format!("sh -c {told}")).collect()).collect();
        assert_eq!(played.rounds, rounds, "{why}");
        assert_eq!(played.ended(), ended, "{why}");
    }
}

#[test]
fn an_omitted_task_says_so() {
    let played = played(
        "
entrypoint: main
templates:
- name: main
  dag:
    tasks:
    - {name: a, template: do, arguments: {parameters: [{name: what, value: exit 2}]}}
    - {name: b, template: do, dependencies: [a]}
",
    );
    assert_eq!(played.phase_of("b"), Some(Phase::Omitted));
    assert_eq!(played.message_of("b"), Some("omitted: depends condition not met"));
    assert_eq!(played.message_of("a"), Some("Error (exit code 2)"));
}

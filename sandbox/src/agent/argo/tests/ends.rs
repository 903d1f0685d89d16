//! How Workflows end: attempts, exit handlers, deadlines, stops and limits.

use serde_json::{Value, json};

use super::{BACKOFF, Ends, Played, as_told, at, exits, ok, play, played, prints, told, workflow};
use crate::agent::argo::advance::{Past, advance};
use crate::agent::argo::node::Phase;
use crate::agent::argo::pod_view::{PodView, Pods};
use crate::agent::argo::read;

fn retried(strategy: &str, ends: impl Fn(usize) -> PodView + 'static) -> Played {
    let object = workflow(&format!(
        "
entrypoint: start
templates:
- name: start
  retryStrategy: {strategy}
  container: {{image: i, command: [run, '{{{{retries}}}}']}}
"
    ));
    let ends = move |pod: &Value| ends(told(pod).trim_start_matches("run ").parse().unwrap());
    play(&object, 3_600, &Ends(Box::new(ends)))
}

#[test]
fn attempts_follow_until_one_succeeds_or_none_is_left() {
    let second = retried("{limit: 2}", |number| if number == 1 { prints("x") } else { exits(1) });
    assert_eq!(second.ended(), (Phase::Succeeded, None));
    assert_eq!(second.told(), ["run 0", "run 1"]);
    assert_eq!(second.last.nodes["w"].outputs.result.as_deref(), Some("x"));
    assert_eq!(second.last.nodes["w"].children.len(), 2);

    let none = retried("{limit: '1'}", |_| exits(4));
    assert_eq!(none.ended(), (Phase::Failed, Some("No more retries left")));
    assert_eq!(none.told(), ["run 0", "run 1"]);

    let gone = retried("{limit: 3}", |_| PodView::Gone);
    assert_eq!(gone.ended(), (Phase::Error, Some("pod deleted")), "OnFailure does not retry an error");
    assert_eq!(gone.told().len(), 1);

    let gone = retried("{limit: 1, retryPolicy: Always}", |_| PodView::Gone);
    assert_eq!(gone.ended(), (Phase::Error, Some("No more retries left")));

    let waits = retried("{limit: 2, backoff: {duration: 10, factor: 3}}", |_| exits(1));
    assert_eq!(waits.ended().0, Phase::Failed);
    let lasted = waits.last.finished.unwrap().duration_since(waits.last.started);
    assert_eq!(lasted.as_secs(), 10 + 30, "it waited before each attempt");
}

#[test]
fn a_refused_pod_is_an_error_of_its_node() {
    let object = workflow("{entrypoint: a, templates: [{name: a, container: {image: i, command: [x]}}]}");
    let workflow = read::workflow(&object).unwrap();
    let pods = Pods::from([("w".to_owned(), PodView::Refused { message: "pods \"w\" is forbidden".into() })]);
    let next = advance(&workflow, &Past::default(), &pods, at(0), BACKOFF);
    assert_eq!((next.phase, next.message.as_deref()), (Phase::Error, Some("pods \"w\" is forbidden")));
    assert!(next.orders.is_empty());
}

#[test]
fn the_exit_handler_runs_whatever_happened() {
    let spec = |what: &str, exit: &str| {
        format!(
            "
entrypoint: main
onExit: bye
arguments: {{parameters: [{{name: what, value: '{what}'}}]}}
templates:
- name: main
  steps: [[{{name: a, template: do, arguments: {{parameters: [{{name: what, value: '{what}'}}]}}}}]]
- name: bye
  container: {{image: i, command: [sh, -c], args: ['{exit}']}}
"
        )
    };
    let good = played(&spec("ok", "bye {{workflow.status}}"));
    assert_eq!(good.told(), ["sh -c ok", "sh -c bye Succeeded"]);
    assert_eq!(good.ended(), (Phase::Succeeded, None));
    assert_eq!(good.pods[1].pointer("/metadata/labels/workflows.argoproj.io~1on-exit"), Some(&json!("true")));

    let bad = played(&spec("exit 1", "bye {{workflow.status}}"));
    assert_eq!(bad.told(), ["sh -c exit 1", "sh -c bye Failed"]);
    assert_eq!(bad.ended().0, Phase::Failed);
    assert_eq!(bad.phase_of("w.onExit"), Some(Phase::Succeeded));

    let failing = played(&spec("ok", "exit 9"));
    assert_eq!(
        failing.ended(),
        (Phase::Failed, Some("Error (exit code 9)")),
        "a failed exit handler fails the workflow"
    );

    let tells = played(&spec("exit 1", "{{workflow.failures}}"));
    assert!(
        tells.told()[1].contains("\"displayName\":\"a\",\"message\":\"Error (exit code 1)\""),
        "{:?}",
        tells.told()
    );
}

#[test]
fn a_deadline_ends_what_runs_and_leaves_the_exit_handler() {
    let played = played(
        "
entrypoint: main
onExit: do
activeDeadlineSeconds: 30
templates:
- name: main
  steps:
  - - {name: a, template: do, arguments: {parameters: [{name: what, value: hang}]}}
  - - {name: b, template: do}
",
    );
    assert_eq!(played.ended(), (Phase::Failed, Some("Step exceeded its deadline")));
    assert_eq!(played.told(), ["sh -c hang", "sh -c ok"], "the second is the exit handler");
    assert_eq!(played.last.finished.unwrap(), at(30));
    assert_eq!(played.phase_of("w.onExit"), Some(Phase::Succeeded));
}

#[test]
fn a_timeout_ends_one_pod_and_the_retry_goes_on() {
    let object = workflow(
        "
entrypoint: start
templates:
- name: start
  timeout: 20s
  retryStrategy: {limit: 1}
  container: {image: i, command: ['{{retries}}']}
",
    );
    let ends = Ends(Box::new(|pod| {
        if told(pod) == "0" { PodView::Pending { message: Some("Unschedulable: no node".into()) } } else { ok() }
    }));
    let played = play(&object, 60, &ends);
    assert_eq!(played.ended(), (Phase::Succeeded, None));
    assert_eq!(played.message_of("w(0)"), Some("Step exceeded its deadline"));
}

#[test]
fn a_shutdown_ends_the_workflow() {
    let spec = |shutdown: &str| {
        format!(
            "
entrypoint: do
onExit: bye
shutdown: {shutdown}
templates:
- name: bye
  container: {{image: i, command: [bye]}}
"
        )
    };
    let stopped = played(&spec("Stop"));
    assert_eq!(stopped.ended(), (Phase::Failed, Some("Stopped with strategy 'Stop'")));
    assert_eq!(stopped.told(), ["bye"], "only the exit handler runs");
    let terminated = played(&spec("Terminate"));
    assert_eq!(terminated.ended(), (Phase::Failed, Some("Stopped with strategy 'Terminate'")));
    assert!(terminated.told().is_empty());
    assert_eq!(terminated.message_of("w"), Some("workflow shutdown with strategy:  Terminate"));
}

#[test]
fn parallelism_is_kept() {
    let spec = |of_workflow: &str, of_template: &str| {
        format!(
            "
entrypoint: main
{of_workflow}
templates:
- name: main
  {of_template}
  steps: [[{{name: a, template: do, withItems: [1, 2, 3, 4, 5]}}]]
"
        )
    };
    for (why, of_workflow, of_template, want) in [
        ("no limit", "", "", vec![5]),
        ("the workflow's", "parallelism: 2", "", vec![2, 2, 1]),
        ("the template's", "", "parallelism: 3", vec![3, 2]),
    ] {
        let played = played(&spec(of_workflow, of_template));
        assert_eq!(played.ended(), (Phase::Succeeded, None), "{why}");
        assert_eq!(played.rounds.iter().map(Vec::len).collect::<Vec<_>>(), want, "{why}");
    }
}

#[test]
fn templates_nest_and_one_that_calls_itself_for_ever_ends() {
    let nested = played(
        "
entrypoint: outer
templates:
- name: outer
  inputs: {parameters: [{name: about, value: '{{workflow.labels.team}}/{{workflow.annotations.why}}/{{workflow.creationTimestamp}}'}]}
  steps: [[{name: in, template: inner, arguments: {parameters: [{name: what, value: '{{inputs.parameters.about}}'}]}}]]
- name: inner
  inputs: {parameters: [{name: what}]}
  dag: {tasks: [{name: leaf, template: do, arguments: {parameters: [{name: what, value: '{{inputs.parameters.what}} {{workflow.namespace}} {{workflow.uid}}'}]}}]}
",
    );
    assert_eq!(nested.ended(), (Phase::Succeeded, None));
    assert_eq!(nested.told(), ["sh -c sre/test/2026-01-02T03:04:05Z ops u1"]);

    let endless = "
entrypoint: again
templates:
- name: again
  steps: [[{name: a, template: again}, {name: b, template: again}]]
";
    let object = workflow(endless);
    // The stack of a runtime's worker.
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let ended = thread.spawn(move || play(&object, 60, &as_told()).ended().0).unwrap().join().unwrap();
    assert_eq!(ended, Phase::Failed);
}

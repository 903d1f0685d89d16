//! The loop from a webhook's body to a true status, judged by what stands in the cluster afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use aegis_crds::alert::AlertOpsStatus;
use aegis_crds::{AegisAlertOpsRule, AegisGuard};
use aegis_sandbox::agent::{SimulatorOptions, Writes};
use aegis_sandbox::{Action, Match, Options, Rule, Verb, When};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use common::mirror::Mirror;
use common::objects::{self, seed_alert, seed_resolved, seed_rule, seed_template};
use common::{COMPONENT, Cluster, Controller, NAMESPACE, options, reads, settings, until};

async fn seeded() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cluster
}

fn slowly() -> SimulatorOptions {
    SimulatorOptions {
        start_delay: Duration::from_millis(300),
        run_time: Duration::from_millis(300),
        ..SimulatorOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_recorded_is_in_force() {
    let cluster = Cluster::start().await;
    let controller = Controller::start(&cluster).await;
    let rules = Mirror::start(cluster.rules());
    cluster.apply(seed_template()).await;
    cluster.apply(seed_rule()).await;
    // Told by a watch: the alert comes as soon after that as anybody can send it.
    let recorded = |rule: &AegisAlertOpsRule| rule.status.as_ref()?.status.clone().filter(|word| word == "Recorded");
    rules.until("the rule is recorded", |seen| recorded(seen.now.get("nodehasemergencyevent")?)).await;
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Pending").await;
    let writes = cluster.sandbox.requests().matching(&Match::any().writes().resource("aegisalerts"));
    assert_eq!(writes.len(), 2, "stored, then told that it acts, and nothing in between: {writes:#?}");
    controller.stop().await;
}

/// The whole cost of an alert that a rule matches, whose Workflow is seen in every phase, and succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_becomes_a_workflow_and_a_true_status_in_eight_writes_and_three_reads() {
    let cluster = seeded().await;
    let controller = Controller::start(&cluster).await;
    let guards: Api<AegisGuard> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    until("rule, template and policy are recorded", async || {
        let rule = cluster.rules().get("nodehasemergencyevent").await.unwrap();
        let template = cluster.templates().get("nodehasemergencyevent").await.unwrap();
        let guard = guards.get_opt("aegis").await.unwrap().and_then(|guard| guard.status);
        let words = [
            rule.status.and_then(|status| status.status),
            template.status.and_then(|status| status.status),
            guard.and_then(|status| status.status),
        ];
        if words.iter().all(|word| word.as_deref() == Some("Recorded")) { Ok(()) } else { Err(words) }
    })
    .await;
    let log = cluster.sandbox.requests();
    log.reset();
    let ours = || Match::any().component(COMPONENT);

    let _simulator = cluster.simulate(slowly());
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Succeeded").await;
    let workflow = until("the finalizer is released", async || {
        let workflow = cluster.all_workflows().await.remove(0);
        if workflow.finalizers().is_empty() { Ok(workflow) } else { Err(workflow.metadata) }
    })
    .await;

    let status = alert.status.as_ref().unwrap();
    assert_eq!(status.count, Some(1));
    assert_eq!(status.actions.len(), 1);
    let action = &status.actions[0];
    assert_eq!(action.name, workflow.name_any());
    assert!(action.name.starts_with(&alert.name_any()));
    assert_eq!(action.uid, workflow.uid());
    assert_eq!(action.status, Some(AlertOpsStatus::Succeeded));
    assert_eq!(action.rule, "monitoring/nodehasemergencyevent");
    assert_eq!(status.rule.as_ref().unwrap().name, "nodehasemergencyevent");
    assert_eq!(workflow.data["spec"]["templates"][0]["container"]["command"][2], "kubectl cordon dev1\n");
    assert_eq!(workflow.owner_references()[0].uid, alert.uid().unwrap());

    let writes = |resource: &str| log.matching(&ours().writes().resource(resource)).len();
    assert_eq!(writes("aegisalerts"), 4, "{:#?}", log.matching(&ours().writes().resource("aegisalerts")));
    assert_eq!(writes("workflows"), 2, "{:#?}", log.matching(&ours().writes().resource("workflows")));
    assert_eq!(writes("aegisguards"), 2, "{:#?}", log.matching(&ours().writes().resource("aegisguards")));
    assert_eq!(writes("nodes"), 0, "the node is as it was");
    let mut reads: Vec<_> = [Verb::Get, Verb::List]
        .into_iter()
        .flat_map(|verb| log.matching(&ours().verb(verb)))
        .filter(|entry| entry.request.resource != "leases")
        .map(|entry| entry.request.resource)
        .collect();
    reads.sort();
    assert_eq!(reads, ["aegisalerts", "nodes", "nodes"], "alert and node right before, the node right after");
    let told = until("both Events are told", async || {
        let events = [cluster.events_on("AegisAlert").await, cluster.events_on("Node").await];
        if events.iter().all(|events| !events.is_empty()) { Ok(events) } else { Err(events) }
    })
    .await;
    assert_eq!(told.each_ref().map(|events| events.len()), [1, 1], "{told:?}");
    assert_eq!(told[0][0].0, "ActionSucceeded");
    assert_eq!(told[1][0].0, "ActionStarted");
    assert_eq!(log.count(&ours().resource("events")), 2);
    let page = reqwest::get(format!("{}/metrics", controller.url())).await.unwrap().text().await.unwrap();
    for stage in ["Stored", "Triggered", "Running", "Done"] {
        let line = format!("aegis_alert_stage_seconds_count{{stage=\"{stage}\"}} 1");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }

    until("the ending is counted", async || {
        let rule = cluster.rules().get("nodehasemergencyevent").await.unwrap().status.unwrap().trigger_status;
        let template = cluster.templates().get("nodehasemergencyevent").await.unwrap().status.unwrap().execute_status;
        let counted = [rule, template].map(|tally| tally.and_then(|tally| tally.succeeded));
        if counted == [Some(1), Some(1)] { Ok(()) } else { Err(counted) }
    })
    .await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_every_word_in_its_order() {
    use futures::{StreamExt, TryStreamExt};
    let cluster = seeded().await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(slowly());
    let parameters = kube::api::WatchParams::default();
    let alerts = cluster.alerts();
    let mut watch = alerts.watch(&parameters, "0").await.unwrap().boxed();
    controller.send("/default/alert", seed_alert()).await;
    let mut words: Vec<(String, String)> = Vec::new();
    while words.last().is_none_or(|(_, ops)| ops != "Succeeded") {
        let event = tokio::time::timeout(common::PATIENCE, watch.try_next()).await.expect("in time").unwrap().unwrap();
        if let kube::api::WatchEvent::Added(alert) | kube::api::WatchEvent::Modified(alert) = event {
            words.push(reads(&alert));
        }
    }
    words.dedup();
    let words: Vec<String> = words.into_iter().map(|(trigger, ops)| format!("{trigger} {ops}")).collect();
    assert_eq!(words, [" ", "Triggered Pending", "Triggered Running", "Triggered Succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_jumps_to_its_end_costs_fewer_writes() {
    let cluster = seeded().await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions { writes: Writes::Ending, ..SimulatorOptions::default() });
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    let status = Match::any().component(COMPONENT).verb(Verb::Patch).resource("aegisalerts");
    assert!(cluster.sandbox.requests().count(&status) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_workflow_is_told_with_its_message() {
    let cluster = seeded().await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions { failing: 1.0, ..slowly() });
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Failed").await;
    let action = &alert.status.as_ref().unwrap().actions[0];
    assert_eq!(action.reason.as_deref(), Some("WorkflowFailed"));
    assert_eq!(action.message.as_deref(), Some("Error (exit code 1)"));
    until("both the alert and the node are told", async || {
        let events = [cluster.events_on("AegisAlert").await, cluster.events_on("Node").await].concat();
        let failed = events.iter().filter(|(reason, _)| reason == "ActionFailed").count();
        if failed == 2 { Ok(()) } else { Err(events) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_serves_where_a_template_holds_one() {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(objects::template("nodehasemergencyevent", objects::JOB_MANIFEST)).await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(slowly());
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Succeeded").await;
    assert_eq!(alert.status.unwrap().actions[0].kind, "Job");
    assert_eq!(cluster.all_workflows().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_or_template_that_appears_late_still_acts() {
    let cluster = Cluster::start().await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("RuleNotFound", "").await;
    cluster.apply(seed_rule()).await;
    cluster.alert_reads("TemplateNotFound", "").await;
    cluster
        .apply(objects::template("nodehasemergencyevent", "apiVersion: argoproj.io/v1alpha1\nkind: Work{{.nod"))
        .await;
    cluster.alert_reads("TemplateInvalid", "").await;
    let template = until("the template says what is wrong with it", async || {
        let template = cluster.templates().get("nodehasemergencyevent").await.unwrap();
        let status = template.status.clone().unwrap_or_default();
        if status.status.as_deref() == Some("Invalid") { Ok(template) } else { Err(status) }
    })
    .await;
    let valid = template.status.unwrap().conditions.remove(0);
    assert_eq!((valid.type_.as_str(), valid.status.as_str()), ("Valid", "False"));
    let message = valid.message.unwrap();
    assert!(message.contains("spec.manifest") && message.contains("line 2"), "{message}");
    assert_eq!(cluster.all_workflows().await, []);

    cluster.apply(seed_template()).await;
    let alert = cluster.alert_reads("Triggered", "Succeeded").await;
    assert_eq!(cluster.all_workflows().await.len(), 1);
    assert_eq!(alert.status.unwrap().verdict, None, "what stood in the way is over");
    let template = cluster.templates().get("nodehasemergencyevent").await.unwrap();
    assert_eq!(template.status.unwrap().observed_generation, template.metadata.generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_is_told_on_itself_and_on_the_alert_and_others_go_on() {
    let cluster = seeded().await;
    let mut broken = objects::rule("broken", "(NodeDown", "nodehasemergencyevent");
    broken["spec"]["alertConditions"] =
        json!([{"type": "NodeDown", "status": "Firing"}, {"type": "(x", "status": "Firing"}]);
    cluster.apply(broken).await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    controller.send("/default/alert", objects::alert("NodeDown", "Firing", "f1")).await;
    cluster.alert_reads("RuleErrorFound", "").await;
    let rule = until("the rule says so", async || {
        let rule = cluster.rules().get("broken").await.unwrap();
        rule.status.clone().filter(|status| status.status.is_some()).ok_or(rule)
    })
    .await;
    assert_eq!(rule.status.as_deref(), Some("Invalid"));
    assert!(rule.conditions[0].message.as_deref().unwrap().contains("spec.alertConditions[1].type"));
    cluster.apply(objects::rule("broken", "NodeDown", "nodehasemergencyevent")).await;
    cluster.alert_reads("Triggered", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn argo_installed_late_still_runs_what_waits_for_it() {
    let cluster = Cluster::with(Options { argo: false, ..options() }).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("TriggerFailed", "").await;
    assert_eq!(alert.status.unwrap().verdict.unwrap().reason, "ExecutorMissing");
    cluster.install(workflow_definition()).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    cluster.alert_reads("Triggered", "Succeeded").await;
    assert_eq!(cluster.all_workflows().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_deleted_early_ends_its_alert_and_is_not_made_again() {
    let cluster = seeded().await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Pending").await;
    let name = cluster.all_workflows().await[0].name_any();
    cluster.workflows().delete(&name, &DeleteParams::default()).await.unwrap();
    let alert = cluster.alert_reads("Triggered", "Failed").await;
    assert_eq!(alert.status.unwrap().actions[0].reason.as_deref(), Some("WorkflowDeleted"));
    until("the Workflow is let go", async || {
        let left = cluster.all_workflows().await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    controller.send("/default/alert", seed_alert()).await;
    assert_eq!(common::settled(&cluster, async || cluster.all_workflows().await.len()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_during_creation_is_told_once_and_tried_again() {
    let cluster = seeded().await;
    let creates = Match::any().component(COMPONENT).verb(Verb::Create).resource("workflows");
    for code in [500, 503, 403] {
        let fault = cluster.sandbox.faults().add(Rule::new(creates.clone(), Action::Status(code, None)).times(3));
        let controller = Controller::start(&cluster).await;
        let _simulator = cluster.simulate(SimulatorOptions::default());
        controller.send("/default/alert", objects::alert_of(usize::from(code))).await;
        until("it acts in the end", async || {
            let alerts = cluster.all_alerts().await;
            let done = alerts.iter().filter(|alert| reads(alert).1 == "Succeeded").count();
            if done == alerts.len() && done > 0 { Ok(()) } else { Err(alerts) }
        })
        .await;
        assert_eq!(fault.hits(), 3, "{code} is tried again");
        controller.stop().await;
    }
    assert_eq!(cluster.all_workflows().await.len(), 3);
    let writes =
        cluster.sandbox.requests().matching(&Match::any().component(COMPONENT).resource("aegisalerts").writes());
    // For each alert: its creation, the trouble, and at most Pending, Running and Succeeded.
    assert!(writes.len() <= 3 * 5, "three failures are told once: {writes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_answer_was_lost_meets_its_own_work() {
    let cluster = seeded().await;
    let creates = Match::any().component(COMPONENT).verb(Verb::Create).resource("workflows");
    cluster.sandbox.faults().add(Rule::new(creates, Action::Reset).when(When::After).times(1));
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    assert_eq!(cluster.all_workflows().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_write_whose_answer_was_lost_is_counted_all_the_same() {
    let cluster = seeded().await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Pending").await;
    let status = Match::any().component(COMPONENT).verb(Verb::Patch).resource("aegisalerts");
    cluster.sandbox.faults().add(Rule::new(status, Action::Reset).when(When::After).times(1));
    let name = cluster.all_workflows().await[0].name_any();
    cluster.set_phase(&name, "Succeeded", "").await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    until("the ending is counted once", async || {
        let template = cluster.templates().get("nodehasemergencyevent").await.unwrap();
        match template.status.unwrap_or_default().execute_status.and_then(|tally| tally.succeeded) {
            Some(1) => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_resolved_before_its_action_is_withdrawn() {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("TemplateNotFound", "").await;
    controller.send("/default/alert", seed_resolved()).await;
    cluster.alert_reads("Withdrawn", "").await;
    cluster.apply(seed_template()).await;
    assert_eq!(common::settled(&cluster, async || cluster.all_workflows().await.len()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_on_a_node_that_opted_out_waits_until_it_opts_in() {
    use k8s_openapi::api::core::v1::Node;
    let cluster = seeded().await;
    let nodes: kube::Api<Node> = kube::Api::all(cluster.client.clone());
    let label = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"aegis.io/disable": value}}}));
    nodes.patch("dev1", &PatchParams::default(), &label(json!("true"))).await.unwrap();
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Held", "").await;
    assert_eq!(alert.status.unwrap().verdict.unwrap().reason, "OptedOut");
    nodes.patch("dev1", &PatchParams::default(), &label(Value::Null)).await.unwrap();
    cluster.alert_reads("Triggered", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_an_earlier_version_acted_on_does_not_act_again() {
    let cluster = seeded().await;
    let old = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
        "metadata": {"name": "default-nodehasemergencyevent-9njt4", "namespace": "monitoring"},
        "spec": {
            "source": "Default", "type": "NodeHasEmergencyEvent", "status": "Firing",
            "involvedObject": {"kind": "Node", "name": "dev1"}, "detials": {"node": "dev1"},
        },
    });
    let alerts = cluster.alerts();
    alerts.create(&PostParams::default(), &serde_json::from_value(old).unwrap()).await.unwrap();
    let status = json!({"status": {
        "status": "Firing", "count": 1, "startTime": "2022-02-11T22:00:00Z",
        "opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": "Succeeded", "total": 1, "succeeded": 1},
        "conditions": [{"type": "Complete", "status": "True"}],
    }});
    let old = "default-nodehasemergencyevent-9njt4";
    alerts.patch_status(old, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let controller = Controller::start(&cluster).await;
    // A new alert shows that the controller has begun to act.
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "another")).await;
    let workflows = until("the new alert acts", async || {
        let workflows = cluster.all_workflows().await;
        if workflows.is_empty() { Err(()) } else { Ok(workflows) }
    })
    .await;
    assert_eq!(workflows.len(), 1);
    assert!(!workflows[0].name_any().starts_with(old));
    let stored = alerts.get(old).await.unwrap();
    assert_eq!(serde_json::to_value(stored.status).unwrap(), status["status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_at_once_make_no_second_action() {
    let cluster = seeded().await;
    let leader = |lease: &str| {
        let mut settings = settings();
        settings.lease.name = lease.to_owned();
        settings
    };
    let one = Controller::with(&cluster, leader("one")).await;
    let other = Controller::with(&cluster, leader("other")).await;
    let _simulator = cluster.simulate(slowly());
    for number in 0..20 {
        let body = objects::alert_of(number);
        let taker = if number % 2 == 0 { &one } else { &other };
        taker.send("/default/alert", body).await;
    }
    until("all have succeeded", async || {
        let alerts = cluster.all_alerts().await;
        let words: Vec<_> = alerts.iter().map(reads).collect();
        if words.len() == 20 && words.iter().all(|(_, ops)| ops == "Succeeded") { Ok(()) } else { Err(words) }
    })
    .await;
    assert_eq!(cluster.all_workflows().await.len(), 20);
    let alerts = cluster.all_alerts().await;
    assert!(alerts.iter().all(|alert| alert.status.as_ref().unwrap().actions.len() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_stopped_dead_is_followed_by_one_that_finishes_its_work() {
    let cluster = seeded().await;
    let creates = Match::any().verb(Verb::Create).resource("workflows");
    let stop = cluster.sandbox.faults().stop_at_match(COMPONENT, creates, 1, When::After);
    let first = Controller::start(&cluster).await;
    controller_sends_seed(&first).await;
    stop.reached().await;
    first.kill().await;
    stop.resume();
    let _second = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    cluster.alert_reads("Triggered", "Succeeded").await;
    assert_eq!(cluster.all_workflows().await.len(), 1);
}

async fn controller_sends_seed(controller: &Controller) {
    controller.send("/default/alert", seed_alert()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_gives_the_lease_to_the_next_at_once() {
    let cluster = seeded().await;
    let mut slow = settings();
    // Whoever had to wait for the lease to run out would fail this test.
    slow.lease.duration = Duration::from_secs(600);
    let first = Controller::with(&cluster, slow.clone()).await;
    controller_sends_seed(&first).await;
    cluster.alert_reads("Triggered", "Pending").await;
    first.stop().await;
    let second = Controller::with(&cluster, slow).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    cluster.alert_reads("Triggered", "Succeeded").await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_workflow_that_holds_the_name_is_left_alone() {
    let cluster = Cluster::start().await;
    let controller = Controller::start(&cluster).await;
    controller_sends_seed(&controller).await;
    let alert = cluster.alert_reads("RuleNotFound", "").await;
    let phase = aegis_crds::alert::AlertStatus::Firing;
    let taken = aegis_crds::names::action(&alert.name_any(), &alert.uid().unwrap(), phase, 1, 0);
    cluster
        .apply(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": taken, "namespace": "monitoring"}, "spec": {"entrypoint": "theirs"},
        }))
        .await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let alert = cluster.alert_reads("Triggered", "Pending").await;
    let action = alert.status.unwrap().actions.remove(0);
    assert_eq!(action.salt, 1);
    assert_ne!(action.name, taken);
    cluster.set_phase(&action.name, "Succeeded", "").await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    let theirs = cluster.workflows().get(&taken).await.unwrap();
    assert_eq!(theirs.data["spec"]["entrypoint"], "theirs");
    until("the collision is told", async || {
        let events = cluster.events_on("AegisAlert").await;
        if events.iter().any(|(reason, _)| reason == "NameTaken") { Ok(()) } else { Err(events) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_deleted_with_its_workflow_when_its_time_is_over() {
    let cluster = seeded().await;
    let mut settings = settings();
    settings.alert.ttl_after_success = Duration::from_secs(1);
    let controller = Controller::with(&cluster, settings).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    controller_sends_seed(&controller).await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    controller.send("/default/alert", seed_resolved()).await;
    until("alert and Workflow are gone", async || {
        let left = (cluster.all_alerts().await.len(), cluster.all_workflows().await.len());
        if left == (0, 0) { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_whose_alert_was_deleted_is_let_go() {
    let cluster = seeded().await;
    let controller = Controller::start(&cluster).await;
    controller_sends_seed(&controller).await;
    let alert = cluster.alert_reads("Triggered", "Pending").await;
    cluster.alerts().delete(&alert.name_any(), &DeleteParams::default()).await.unwrap();
    until("the Workflow is gone with it", async || {
        let left = cluster.all_workflows().await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_read_is_told_and_does_not_hold_up_others() {
    let mut options = options();
    let rules = options.crds.iter_mut().find(|crd| crd["spec"]["names"]["kind"] == "AegisAlertOpsRule").unwrap();
    // As an older definition would have it, which checks nothing.
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    rules["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = open;
    let cluster = Cluster::with(options).await;
    let mut odd = objects::rule("odd", "NodeHasEmergencyEvent", "t");
    odd["spec"]["priority"] = json!("high");
    cluster.apply(odd).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    controller_sends_seed(&controller).await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    until("the odd rule is told", async || {
        let events = cluster.events_on("AegisAlertOpsRule").await;
        if events.iter().any(|(reason, _)| reason == "Unreadable") { Ok(()) } else { Err(events) }
    })
    .await;
}

/// Argo's definition as its minimal manifests have it: any spec, status not a subresource.
fn workflow_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "workflows.argoproj.io"},
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced",
            "names": {"kind": "Workflow", "listKind": "WorkflowList", "plural": "workflows", "singular": "workflow"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

//! What holds for every history and every snapshot.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::cluster::Cluster;
use super::*;
use crate::guard::Book;

/// Something that happens to an alert or to those who look after it.
#[derive(Clone, Debug)]
enum Event {
    Wait(i64),
    Argo(&'static str),
    DeleteWorkflows,
    Hear,
    Resolve,
    /// The rule is there or not, and asks for a repeat or not.
    Rules {
        firing: bool,
        resolved: bool,
        repeat: bool,
        verified: bool,
    },
    OptOut(bool),
    /// A driver looks at what was true so many seconds ago and stops dead after so many requests.
    Look {
        lag: i64,
        budget: usize,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (1..20_i64).prop_map(Event::Wait),
        1 => prop_oneof![Just(40), Just(700), Just(4000), Just(100_000)].prop_map(Event::Wait),
        2 => prop_oneof![Just("Running"), Just("Succeeded"), Just("Failed")].prop_map(Event::Argo),
        1 => Just(Event::DeleteWorkflows),
        2 => Just(Event::Hear),
        1 => Just(Event::Resolve),
        1 => (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(firing, resolved, repeat, verified)| Event::Rules { firing, resolved, repeat, verified }),
        1 => any::<bool>().prop_map(Event::OptOut),
        8 => (0..25_i64, prop_oneof![0..4_usize, Just(100)]).prop_map(|(lag, budget)| Event::Look { lag, budget }),
    ];
    proptest::collection::vec(event, 1..40)
}

fn with_rules(scene: Scene, firing: bool, resolved: bool, repeat: bool, verified: bool) -> Scene {
    let cordon = if firing { drain() } else { rule("cordon").firing("Other") };
    let scene = scene.template(template("check"));
    let cordon = if verified { cordon.with(json!({"verification": {"template": "check"}})) } else { cordon };
    let scene = scene.rule(if repeat { cordon.repeat("1m", 3) } else { cordon });
    scene.rule(rule("uncordon").resolved(if resolved { "NodeDown" } else { "Other" }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_history_makes_two_actions_for_one_phase_and_attempt(
        events in events(), squatted in any::<bool>(), booked in any::<bool>(),
    ) {
        let mut scene = with_rules(seen(alert("NodeDown")), true, true, true, true);
        if booked {
            scene = scene.book(Book::default());
        }
        let mut cluster = Cluster::of(&scene);
        if squatted {
            cluster.squat();
        }
        let mut now = 1;
        let mut past: VecDeque<(i64, Snapshot)> = VecDeque::new();
        for event in events {
            if cluster.gone {
                break;
            }
            match event {
                Event::Wait(seconds) => now += seconds,
                Event::Argo(phase) => cluster.argo(phase),
                Event::DeleteWorkflows => cluster.delete_workflows(at(now)),
                Event::Hear => cluster.change(|alert| alert.heard(now)),
                Event::Resolve => cluster.change(|alert| alert.resolved(now)),
                Event::Rules { firing, resolved, repeat, verified } => {
                    scene = with_rules(scene, firing, resolved, repeat, verified);
                }
                Event::OptOut(out) => {
                    scene = if out { scene.opted_out("n1") } else { scene.nodes(&[]) };
                }
                Event::Look { lag, budget } => {
                    let old = past.iter().rev().find(|(time, _)| *time <= now - lag && *time > now - 25);
                    let view = old.map_or_else(|| cluster.look(&scene), |(_, view)| view.clone());
                    cluster.run(view, at(now), budget);
                }
            }
            past.push_back((now, cluster.look(&scene)));
        }
        let mut distinct = cluster.made.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), cluster.made.len(), "{:?}", cluster.made);

        // Left in peace, it comes to an end: every action is told, and none is waited for.
        cluster.argo("Succeeded");
        for wait in [0, 60, 400, 400, 400] {
            now += wait;
            if !cluster.gone {
                cluster.run(cluster.look(&scene), at(now), 100);
                cluster.argo("Succeeded");
            }
        }
        if !cluster.gone {
            let last = plan(&cluster.look(&scene), at(now));
            let waits = matches!(last.decision, Decision::Follow(_) | Decision::Look(_) | Decision::Start(_));
            prop_assert!(!waits && last.steps.is_empty(), "{:?}", last);
            let records = cluster.alert().status.clone().unwrap_or_default().actions;
            let told = records.iter().filter(|record| record.uid.is_some() && record.completion_time.is_some()).count();
            prop_assert_eq!(told, cluster.made.len());
        }
    }

    #[test]
    fn whatever_is_seen_the_plan_is_sound_and_telling_it_twice_changes_nothing(scene in any_scene(), now in 0..400_000_i64) {
        let plan = scene.plan(at(now));
        let creates: Vec<&Remedy> = plan
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Create(remedy) => Some(remedy.as_ref()),
                _ => None,
            })
            .collect();
        prop_assert!(creates.len() <= 1);
        if let [remedy] = creates.as_slice() {
            prop_assert!(matches!(plan.steps.last(), Some(Step::Create(_))), "it comes last");
            prop_assert!(plan.judgement.refusal().is_none());
            let place = (remedy.phase, remedy.attempt);
            let recorded = scene.status().actions;
            prop_assert!(!recorded.iter().any(|known| known.uid.is_some() && (known.phase, known.attempt) == place));
            prop_assert!(recorded.iter().all(|known| known.uid.is_none() || known.completion_time.is_some()));
            let seen = scene.seen.actions.iter().filter(|action| action.is_of("alert-uid"));
            let seen = seen.filter_map(|action| action.identity.as_ref());
            prop_assert!(!seen.into_iter().any(|identity| (identity.phase, identity.attempt) == place));
            prop_assert!(!scene.seen.alert.metadata.labels.iter().flatten().any(|(key, _)| key == "aegis.io/test"));
        }
        if let Some(look) = plan.steps.iter().find(|step| matches!(step, Step::Look(_))) {
            prop_assert_eq!(std::slice::from_ref(look), plan.steps.as_slice(), "a look is always alone");
        }
        prop_assert!(plan.next_look.is_none_or(|next| next > at(now)), "to look again at once is to spin");
        // Telling comes to rest after a few writes, and then nothing is left to tell.
        let mut told = scene.clone();
        for _ in 0..4 {
            let Some(patch) = status_patch(&told.plan(at(now))) else { break };
            told = told.edit(|seen| apply(std::sync::Arc::make_mut(&mut seen.alert), &patch));
        }
        prop_assert_eq!(status_patch(&told.plan(at(now))), None);
        explain(&scene.seen, at(now)).to_string();
    }
}

fn any_record() -> impl Strategy<Value = serde_json::Value> {
    let ended = prop_oneof![Just(None), (0..4000_i64).prop_map(Some)];
    let status = prop_oneof![Just("Pending"), Just("Running"), Just("Succeeded"), Just("Failed")];
    (any::<bool>(), 1..3_i32, 0..2_i32, any::<bool>(), ended, status).prop_map(
        |(firing, attempt, salt, made, ended, status)| {
            let phase = if firing { AlertStatus::Firing } else { AlertStatus::Resolved };
            let name = aegis_crds::names::action("default-nodedown-x", "alert-uid", phase, attempt, salt);
            json!({
                "phase": phase, "attempt": attempt, "kind": "Workflow", "name": name, "salt": salt,
                "uid": made.then(|| format!("uid-of-{name}")), "rule": "monitoring/cordon",
                "template": "monitoring/cordon", "status": made.then_some(status), "startTime": made.then(|| at(1)),
                "completionTime": ended.filter(|_| made).map(at),
            })
        },
    )
}

fn any_action() -> impl Strategy<Value = ActionBuilder> {
    let argo =
        prop_oneof![Just(""), Just("Pending"), Just("Running"), Just("Succeeded"), Just("Failed"), Just("Error")];
    let marks = (any::<bool>(), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2));
    (any::<bool>(), 1..3_i32, 0..2_i32, argo, marks).prop_map(
        |(firing, attempt, salt, argo, (deleted, kept, whole, legacy))| {
            let phase = if firing { AlertStatus::Firing } else { AlertStatus::Resolved };
            let action = workflow().phase(phase).attempt(attempt).salt(salt).argo(argo);
            let action = if deleted { action.deleted() } else { action };
            let action = if kept { action } else { action.released() };
            let action = if legacy { action.legacy() } else { action };
            if whole { action.whole("said") } else { action }
        },
    )
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let rules = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let phase = prop_oneof![Just(None), Just(Some("Firing")), Just(Some("Resolved"))];
    let word = prop_oneof![
        Just(None),
        Just(Some(("Held", "OptedOut"))),
        Just(Some(("RuleNotFound", "NoRule"))),
        Just(Some(("Withdrawn", "Duplicate"))),
        Just(Some(("TemplateInvalid", "Nonsense"))),
    ];
    let records = proptest::collection::vec(any_record(), 0..3);
    let actions = proptest::collection::vec(any_action(), 0..3);
    let sibling = prop_oneof![Just(None), (-10..10_i64, any::<bool>(), any_action()).prop_map(Some)];
    let marks = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (rules, phase, word, records, actions, sibling, marks).prop_map(
        |(
            (firing, resolved, repeat, out, dry),
            phase,
            word,
            records,
            actions,
            sibling,
            (test, legacy, superseded, known),
        )| {
            let mut status = json!({"status": phase, "actions": records, "lastTime": phase.map(|_| at(50))});
            if let Some((trigger, reason)) = word {
                status["opsStatus"] = json!({"triggerStatus": trigger});
                status["verdict"] = json!({"reason": reason});
            }
            if superseded && phase == Some("Resolved") {
                status["supersededBy"] = json!("next");
            }
            let mut alert = alert("NodeDown").with(status);
            if test {
                alert = alert.label("aegis.io/test", "true");
            }
            if legacy {
                alert = alert.edit(|alert| alert.spec.fingerprint = None);
            }
            let mut scene = with_rules(seen(alert), firing, resolved, repeat, known).settings(|all| all.dry_run = dry);
            if out {
                scene = scene.opted_out("n1");
            }
            for action in actions {
                scene = scene.action(action);
            }
            if let Some((created, over, action)) = sibling {
                let other = super::alert("NodeDown").named("other").created(created);
                scene = scene.sibling(if over { other.resolved(created + 5) } else { other }, &[action]);
            }
            scene.edit(|seen| seen.siblings_confirmed = known)
        },
    )
}

//! The plan as people read it.

use super::*;

#[test]
fn a_plan_tells_the_rule_the_gates_the_steps_and_the_object() {
    let scene = seen(alert("NodeDown"))
        .rule(drain())
        .rule(rule("node").firing("Node"))
        .rule(rule("disk").firing("Disk"))
        .rule(rule("undo").resolved("NodeDown"));
    insta::assert_snapshot!(explain(&scene.seen, at(1)));
}

#[test]
fn a_plan_that_holds_back_shows_what_it_would_have_done() {
    let scene = seen(alert("NodeDown").label("aegis.io/test", "true")).rule(drain());
    insta::assert_snapshot!(explain(&scene.seen, at(1)));
}

#[test]
fn a_plan_for_scripts_has_the_same_parts() {
    let json = serde_json::to_value(explain(&seen(alert("NodeDown")).seen, at(1))).unwrap();
    assert_eq!(json["decision"]["kind"], "Hold");
    assert_eq!(json["decision"]["reason"], "NoRule");
    assert_eq!((&json["alert"], &json["phase"]), (&json!("monitoring/default-nodedown-x"), &json!("Firing")));
}

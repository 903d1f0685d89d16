//! Incident identity over whole histories: what senders really do, repeats, losses and doubles included, against a
//! small model of the cluster. How many actions a history should lead to follows from how it was made up, and from
//! nothing that the engine says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod sender;
mod world;

use proptest::prelude::*;
use sender::{Episode, History, Sender};
use world::{Key, World};

/// Plays a history and compares what came of it with what a person would expect of it.
fn play(history: &History) -> Result<(), TestCaseError> {
    let mut world = World::new(history.action_lasts, history.reconciler_waits);
    for delivery in &history.deliveries {
        world.deliver(delivery);
    }
    world.advance(world.now() + HOURS_2);
    for (key, expected) in &history.expected {
        let acted = world.actions.iter().filter(|action| action.key == *key).count();
        prop_assert_eq!(acted, *expected, "actions for {:?}\n{}", key, world.story());
        let stored = world.ever_stored.iter().filter(|stored| stored.key == *key && !stored.withdrawn).count();
        prop_assert_eq!(stored, *expected, "alerts for {:?}\n{}", key, world.story());
    }
    prop_assert_eq!(world.waiting(), Vec::<String>::new(), "nothing waits for ever\n{}", world.story());
    let reports = history.deliveries.iter().filter(|delivery| delivery.is_firing()).count();
    prop_assert_eq!(world.counted(), reports as i64, "every report is counted once\n{}", world.story());
    Ok(())
}

const HOURS_2: i64 = 7_200_000;

fn episodes() -> impl Strategy<Value = Vec<Episode>> {
    prop::collection::vec(Episode::any(), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn an_alertmanagers_incidents_are_acted_on_once_each(
        episodes in episodes(),
        action_lasts in 1_000_i64..60_000,
        reconciler_waits in 0_i64..3_000,
        types_sharing_the_fingerprint in 1_usize..3,
    ) {
        let sender = Sender::with_starts_at(types_sharing_the_fingerprint);
        play(&sender.history(&episodes, action_lasts, reconciler_waits))?;
    }

    #[test]
    fn so_are_those_of_a_script_that_sends_no_startsat(
        episodes in episodes(),
        action_lasts in 1_000_i64..60_000,
        reconciler_waits in 0_i64..3_000,
        types_sharing_the_fingerprint in 1_usize..3,
    ) {
        let sender = Sender::without_starts_at(types_sharing_the_fingerprint);
        play(&sender.history(&episodes, action_lasts, reconciler_waits))?;
    }

    #[test]
    fn no_report_makes_the_decision_go_round_or_leaves_an_alert_waiting(
        deliveries in sender::anything(),
        action_lasts in 1_000_i64..600_000,
        reconciler_waits in 0_i64..3_000,
    ) {
        let mut world = World::new(action_lasts, reconciler_waits);
        for delivery in &deliveries {
            world.deliver(delivery);
        }
        world.advance(world.now() + HOURS_2);
        prop_assert_eq!(world.waiting(), Vec::<String>::new(), "{}", world.story());
        let reports = deliveries.iter().filter(|delivery| delivery.is_firing()).count();
        prop_assert_eq!(world.counted(), reports as i64, "{}", world.story());
    }
}

#[test]
fn the_model_notices_an_incident_that_is_acted_on_twice() {
    let mut history = Sender::with_starts_at(1).history(&[Episode::plain()], 1_000, 0);
    play(&history).unwrap();
    let key = Key::of_type(0);
    history.expected.insert(key, 2);
    play(&history).unwrap_err();
}

//! What the agent promises holds when the API server errs, is slow, loses answers and breaks watches.

use std::time::Duration;

use aegis_sandbox::agent::{AgentOptions, Scenario, Scene};
use aegis_sandbox::{Match, Odds, Options, Sandbox, WatchBreak};

use crate::{World, name_of};

const STEPS: &str = "
entrypoint: main
templates:
- name: main
  steps:
  - - {name: a, template: run, withItems: [1, 2]}
  - - {name: b, template: run}
- name: run
  retryStrategy: {limit: 1}
  container: {image: i, command: [x]}
";

#[tokio::test]
async fn every_workflow_ends_once_and_right_whatever_goes_wrong_on_the_way() {
    for seed in [1, 2] {
        let sandbox = Sandbox::start(Options { nodes: vec!["dev1".into()], ..Options::default() }).await.unwrap();
        let mut world = World { sandbox, agent: None };
        let options = AgentOptions {
            scenario: Scenario::of([Scene::any().exits(1).times(1)]),
            longest_backoff: Duration::from_millis(50),
            ..AgentOptions::default()
        };
        world.start_agent(options).await;
        let odds = Odds {
            components: vec!["agent".into()],
            delay: 0.1,
            longest_delay: Duration::from_millis(20),
            refuse: 0.1,
            fail_after_commit: 0.05,
            lose_answer: 0.05,
            break_watch: 0.0,
        };
        let faults = world.sandbox.faults().clone();
        faults.random(seed, odds);
        let breaking = tokio::spawn(async move {
            for how in [WatchBreak::Cut, WatchBreak::End, WatchBreak::Expire].into_iter().cycle() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                faults.break_watches(&Match::any().component("agent"), how);
            }
        });
        for number in 0..5 {
            world.submit(&format!("w{number}"), STEPS).await;
        }
        let mut failed = 0;
        for number in 0..5 {
            let name = format!("w{number}");
            assert_eq!(world.ended(&name).await.0, "Succeeded", "seed {seed}");
            let pods = world.pods_of(&name).await;
            failed += pods.len() - 3;
            assert!(pods.iter().all(|pod| !name_of(pod).is_empty()));
        }
        breaking.abort();
        assert_eq!(failed, 1, "seed {seed}: one container failed, so one attempt was repeated");
    }
}

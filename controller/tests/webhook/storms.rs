//! Much at once, and much going wrong: what was acknowledged is stored, and stored once.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_crds::alert::AlertStatus;
use aegis_sandbox::{Match, Odds, When};
use futures::future::join_all;

use crate::world::{Builder, firing, over, since, status};

#[tokio::test]
async fn many_incidents_on_three_replicas_at_once_are_as_many_alerts() {
    let world = Builder::default().replicas(3).start().await;
    let posts = (0..300).map(|number| world.send_until_taken(number % 3, firing(&format!("f{}", number / 3))));
    let names: BTreeSet<String> = join_all(posts).await.into_iter().collect();
    assert_eq!((names.len(), world.stored().await.len()), (100, 100));
}

#[tokio::test]
async fn under_random_trouble_each_incident_is_one_alert_and_each_200_is_true() {
    for seed in [1, 2, 3] {
        let world = Builder::default().replicas(3).start().await;
        world.sandbox.faults().random(
            seed,
            Odds {
                components: ["aegis0", "aegis1", "aegis2"].map(String::from).to_vec(),
                delay: 0.2,
                longest_delay: Duration::from_millis(30),
                refuse: 0.1,
                fail_after_commit: 0.05,
                lose_answer: 0.05,
                break_watch: 0.3,
            },
        );
        let posts = (0..90).map(|number| {
            let body = firing(&format!("f{}", number / 3));
            let body = if number / 3 % 2 == 0 { body } else { since(body, "2026-11-22T11:43:28.416923757Z") };
            world.send_until_taken(number % 3, body)
        });
        let names = join_all(posts).await;
        world.sandbox.faults().clear();
        let stored: Vec<String> = world.stored().await.into_iter().map(|alert| alert.metadata.name.unwrap()).collect();
        assert_eq!(stored.len(), 30, "with seed {seed}");
        assert!(names.iter().all(|name| stored.contains(name)), "with seed {seed}");
    }
}

#[tokio::test]
async fn a_replica_that_dies_at_any_of_its_writes_loses_nothing_and_doubles_nothing() {
    for (n, when) in (1..=3).flat_map(|n| [(n, When::Before), (n, When::After)]) {
        let world = Builder::default().replicas(2).start().await;
        let writes = Match::any().resource("aegisalerts").writes();
        let stop = world.sandbox.faults().stop_at_match("aegis0", writes, n, when);
        let mut replica = 0;
        for body in [firing("f"), firing("f"), over("f")] {
            let died = tokio::select! {
                answer = world.post_to(replica, "/alert", body.to_string()) => {
                    assert_eq!(answer.code, 200);
                    false
                }
                () = stop.reached(), if replica == 0 => true,
            };
            if died {
                replica = 1;
                world.send_until_taken(replica, body).await;
            }
        }
        assert!(stop.is_reached(), "it dies at write {n}");
        let alert = world.only().await;
        assert_eq!(status(&alert).status, Some(AlertStatus::Resolved), "{n} {when:?}");
        // Whoever does not hear that it was counted says it again.
        assert!(matches!(status(&alert).count, Some(2 | 3)), "{n} {when:?}: {:?}", status(&alert).count);
    }
}

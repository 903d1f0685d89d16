//! How long an idle system takes from a webhook's request to the Workflow that a watcher sees.

use std::time::{Duration, Instant};

use aegis_sandbox::agent::SimulatorOptions;
use futures::TryStreamExt;
use kube::api::{WatchEvent, WatchParams};

use crate::bodies::bodies;
use crate::common::{Controller, PATIENCE};
use crate::figures::Figure;

const ALERTS: usize = 40;

/// One alert after the other, each when the one before has ended.
pub async fn measure() -> Vec<Figure> {
    let cluster = crate::seeded().await;
    let controller = Controller::start(&cluster).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let url = format!("{}/alertmanager/alert", controller.url());
    let client = reqwest::Client::new();
    let workflows = cluster.workflows();
    let mut watch = std::pin::pin!(workflows.watch(&WatchParams::default(), "0").await.unwrap());
    let (mut answered, mut seen) = (Vec::new(), Vec::new());
    for body in bodies("idle", ALERTS, 1) {
        let begun = Instant::now();
        let post = tokio::spawn({
            let request = client.post(&url).body(body);
            async move {
                assert_eq!(request.send().await.unwrap().status(), 200);
                begun.elapsed()
            }
        });
        loop {
            let event = tokio::time::timeout(PATIENCE, watch.try_next()).await.expect("in time").unwrap().unwrap();
            if let WatchEvent::Added(_) = event {
                break;
            }
        }
        seen.push(begun.elapsed());
        answered.push(post.await.unwrap());
        // Its status and its Events are written before the next one comes.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    controller.stop().await;
    vec![
        figure("one alert, from its body to the answer", answered),
        figure("one alert, from its body to the Workflow", seen),
    ]
}

fn figure(name: &str, mut times: Vec<Duration>) -> Figure {
    times.sort();
    let milliseconds = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    Figure::new(name, milliseconds(50), "ms").note(format!("90 % within {:.1} ms", milliseconds(90)))
}

//! The plugin's list of a hundred alerts beside kubectl's own, each as a person has it: from the start of kubectl to its
//! end. And what the plugin takes where nothing is to be waited for, and where a shell waits for it.

use anyhow::ensure;

use super::figures::{Figure, Target};
use super::times::{Times, number};
use crate::aegis::Aegis;
use crate::audit;
use crate::cluster::Cluster;
use crate::lists::Lists;

const ALERTS: usize = 100;
const ROUNDS: usize = 50;
/// What stands for the namespace of the alerts.
const NAMESPACE: &str = "(namespace)";
/// The plugin by itself: what it is asked, and the milliseconds that it may take.
const PLUGIN: [(&str, &[&str], f64); 3] = [
    ("kubectl-aegis --help", &["--help"], 50.0),
    ("kubectl-aegis version --client", &["version", "--client"], 50.0),
    ("completing the names of the alerts", &["__complete", "-n", NAMESPACE, "get", "alerts", ""], 300.0),
];

pub(super) async fn measure(cluster: &Cluster) -> anyhow::Result<Vec<Figure>> {
    let aegis = Aegis::install(cluster, "bench-lists").await?;
    let lists = Lists::store(cluster, aegis.namespace(), ALERTS).await?;
    // kubectl keeps what it learns of the API server for the next time.
    lists.by_kubectl().await?;
    lists.by_the_plugin().await?;
    let (mut kubectl, mut plugin) = (Vec::new(), Vec::new());
    let mark = audit::mark(cluster)?;
    // In turn, so that what else the machine does meets both.
    for _ in 0..ROUNDS {
        kubectl.push(lists.by_kubectl().await?.took);
        plugin.push(lists.by_the_plugin().await?.took);
    }
    let both = lists.requests_since(mark).await?;
    let mark = audit::mark(cluster)?;
    lists.by_the_plugin().await?;
    let requests = lists.requests_since(mark).await?;
    let mut waits = Vec::new();
    for (name, words, most) in PLUGIN {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let words: Vec<&str> =
                words.iter().map(|word| if *word == NAMESPACE { aegis.namespace() } else { word }).collect();
            let (took, told) = lists.of_the_plugin(&words).await?;
            ensure!(!told.trim().is_empty(), "{words:?} says nothing");
            times.push(took);
        }
        let times = Times::of(times);
        let note = format!("the median of {ROUNDS}, 90 % within {:.0} ms", times.percentile(90));
        waits.push(Figure::new(name, times.median(), "ms").target(Target::AtMost(most)).note(note));
    }
    aegis.delete().await?;
    let (kubectl, plugin) = (Times::of(kubectl), Times::of(plugin));
    let each = number(both) / number(2 * ROUNDS);
    let mut figures = vec![
        Figure::new(
            format!("kubectl aegis get alerts, {ALERTS} of them"),
            plugin.median() / kubectl.median(),
            "x kubectl get",
        )
        .target(Target::AtMost(1.0))
        .note(format!(
            "medians of {ROUNDS} in turn: {:.0} ms and {:.0} ms, 90 % within {:.0} ms and {:.0} ms",
            plugin.median(),
            kubectl.median(),
            plugin.percentile(90),
            kubectl.percentile(90)
        )),
        Figure::new("its requests", number(requests), "")
            .target(Target::AtMost(2.0))
            .note(format!("by the audit log; {each:.2} for each list of either")),
    ];
    figures.extend(waits);
    Ok(figures)
}

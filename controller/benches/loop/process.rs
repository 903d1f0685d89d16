//! The binary as a process of its own: how soon it is ready, how much memory it holds, how large it is.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Match, Verb, WatchBreak};
use futures::{StreamExt, stream};
use kube::ResourceExt;

use crate::bodies::bodies;
use crate::common::{Cluster, reads};
use crate::figures::{Figure, Target};
use crate::proc::{self, Memory};

const ALERTS: usize = 10_000;
/// Memory is read when nothing has happened for so long.
const SETTLED: Duration = Duration::from_secs(10);

/// A controller that runs as administrators run it, against the sandbox.
struct Running {
    child: Child,
    address: String,
    ready_after: Duration,
}

impl Drop for Running {
    /// For the end of a benchmark that fails; [`Running::stop`] is how it ends otherwise.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Ends it as a cluster does, so that the next one need not wait for its Lease to run out.
    async fn stop(mut self) {
        let id = self.child.id().to_string();
        let signalled = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(signalled.success(), "the controller ended by itself");
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the controller does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Measures the binary that is given, or the one that Cargo built beside the benchmark.
pub async fn measure(binary: Option<&Path>) -> Vec<Figure> {
    let binary = binary.unwrap_or(Path::new(env!("CARGO_BIN_EXE_aegis-controller")));
    let cluster = crate::seeded().await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.sandbox.kubeconfig()).unwrap();

    let mut starts: Vec<Duration> = Vec::new();
    for _ in 0..5 {
        let running = start(binary, &kubeconfig).await;
        starts.push(running.ready_after);
        running.stop().await;
    }
    starts.sort();
    let running = start(binary, &kubeconfig).await;
    tokio::time::sleep(SETTLED).await;
    let idle = running.memory();
    let before = running.processor_time();
    work_off(&cluster, &running).await;
    let worked = running.processor_time() - before;
    until_released(&cluster).await;
    tokio::time::sleep(SETTLED).await;
    let full = running.memory();
    let relisted = relist(&cluster, &running).await;
    running.stop().await;
    let again = start(binary, &kubeconfig).await;
    tokio::time::sleep(SETTLED).await;
    let restarted = again.memory();
    let ready_again = again.ready_after;
    again.stop().await;

    let size = std::fs::metadata(binary).unwrap().len();
    let linked = if asks_for_a_loader(binary) { "dynamically linked" } else { "static" };
    let alerts = u32::try_from(ALERTS).unwrap();
    let mib = |bytes: u64| Figure::new("", bytes as f64 / f64::from(1 << 20), "MiB");
    let named = |figure: Figure, name: String| Figure { name, ..figure };
    vec![
        Figure::new("from start to ready", starts[starts.len() / 2].as_secs_f64() * 1e3, "ms")
            .target(Target::AtMost(1000.0))
            .note(format!("slowest of {}: {:.0} ms", starts.len(), starts[starts.len() - 1].as_secs_f64() * 1e3)),
        named(mib(idle.resident), "memory, idle".to_owned())
            .target(Target::AtMost(20.0))
            .note("resident, with what it maps of its binary"),
        named(mib(full.resident), format!("memory with {ALERTS} alerts and their Workflows"))
            .target(Target::AtMost(60.0))
            .note(format!(
                "after they all came in a burst and ended; at most {:.1} MiB while they did",
                full.peak as f64 / f64::from(1 << 20)
            )),
        named(mib(relisted.peak), format!("memory at most while {ALERTS} alerts and Workflows are listed again"))
            .target(Target::AtMost(90.0))
            .note(format!("{:.1} MiB afterwards", relisted.resident as f64 / f64::from(1 << 20))),
        named(mib(restarted.resident), format!("memory, started with {ALERTS} alerts there")).note(format!(
            "ready after {:.0} ms; at most {:.1} MiB",
            ready_again.as_secs_f64() * 1e3,
            restarted.peak as f64 / f64::from(1 << 20)
        )),
        Figure::new("processor time for each of these alerts", worked.as_secs_f64() * 1e6 / f64::from(alerts), "us")
            .note("of the controller alone, until they had succeeded"),
        named(mib(size), "binary, stripped".to_owned()).target(Target::AtMost(15.0)).note(linked),
    ]
}

async fn start(binary: &Path, kubeconfig: &Path) -> Running {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let begun = Instant::now();
    let child = Command::new(binary)
        .env_clear()
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--http.listen", &address])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("could not start {}: {error}", binary.display()));
    let mut running = Running { child, address, ready_after: Duration::ZERO };
    let client = reqwest::Client::new();
    let url = format!("http://{}/readyz", running.address);
    loop {
        if client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the controller does not become ready");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.ready_after = begun.elapsed();
    running
}

/// Sends all alerts and returns when each has succeeded.
async fn work_off(cluster: &Cluster, running: &Running) {
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let url = format!("http://{}/alertmanager/alert", running.address);
    let client = reqwest::Client::new();
    let post = |body: String| {
        let (client, url) = (&client, &url);
        async move {
            // A sender sends again what could not be taken.
            while client.post(url).body(body.clone()).send().await.unwrap().status() == 503 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    stream::iter(bodies("node", ALERTS, 50)).map(post).buffer_unordered(4).collect::<Vec<()>>().await;
    let alerts = Match::any().writes().resource("aegisalerts");
    crate::quiet(&cluster.sandbox, &alerts, Duration::from_secs(2)).await;
    let stored = cluster.all_alerts().await;
    let succeeded = stored.iter().filter(|alert| reads(alert) == ("Triggered".into(), "Succeeded".into())).count();
    assert_eq!((stored.len(), succeeded), (ALERTS, ALERTS), "every alert succeeds once");
}

/// Ends every watch as one ends whose history is gone, which has everything listed again, and tells the memory since then.
async fn relist(cluster: &Cluster, running: &Running) -> Memory {
    let log = cluster.sandbox.requests();
    let lists = ["aegisalerts", "workflows"].map(|resource| Match::any().verb(Verb::List).resource(resource));
    let before = lists.each_ref().map(|list| log.succeeded(list));
    running.forget_peak();
    cluster.sandbox.compact();
    cluster.sandbox.faults().break_watches(&Match::any().verb(Verb::Watch), WatchBreak::Expire);
    let begun = Instant::now();
    while lists.iter().zip(before).any(|(list, before)| log.succeeded(list) == before) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is listed again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(SETTLED).await;
    running.memory()
}

/// Waits until no Workflow is held by its finalizer, which is a while after its end.
async fn until_released(cluster: &Cluster) {
    let begun = Instant::now();
    while cluster.all_workflows().await.iter().any(|workflow| !workflow.finalizers().is_empty()) {
        assert!(begun.elapsed() < Duration::from_secs(180), "some Workflows are not released");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

impl Running {
    fn memory(&self) -> Memory {
        Memory::of(self.child.id())
    }

    /// Has the peak counted from now on.
    fn forget_peak(&self) {
        // Where that cannot be done the peak is that of the whole run, which is no less.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5");
    }

    fn processor_time(&self) -> Duration {
        proc::processor_time(self.child.id())
    }
}

/// Whether an ELF file names a program that must load it, as all do that are not static.
fn asks_for_a_loader(binary: &Path) -> bool {
    const INTERPRETER: u64 = 3;
    let file = std::fs::read(binary).unwrap();
    let number = |at: usize, bytes: usize| {
        file.get(at..at + bytes)
            .unwrap_or_default()
            .iter()
            .rev()
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let place = |at: usize, bytes: usize| usize::try_from(number(at, bytes)).unwrap();
    if file.get(..5) != Some(b"\x7fELF\x02") {
        return true;
    }
    let (headers, size, count) = (place(32, 8), place(54, 2), place(56, 2));
    (0..count).any(|header| number(headers + header * size, 4) == INTERPRETER)
}

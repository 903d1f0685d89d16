//! A cluster for tests and controllers that can be stopped dead: the sandbox lives in the test's own runtime, every
//! controller in one of its own, so that dropping that runtime ends it between any two of its requests.
#![allow(dead_code, reason = "each test file uses what it needs")]

pub mod mirror;
pub mod objects;

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use aegis_controller::clock::Clock;
use aegis_controller::{Metrics, Settings};
use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisGuard, AegisOpsTemplate};
use aegis_sandbox::agent::{Simulator, SimulatorOptions};
use aegis_sandbox::{Match, Options, Sandbox};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use mirror::Mirror;

/// The namespace that everything is in.
pub const NAMESPACE: &str = "monitoring";
/// The component under which a controller's requests are counted.
pub const COMPONENT: &str = "aegis-controller";
/// How many threads a controller has.
const WORKERS: usize = 2;
/// The longest that anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox with our definitions and a node dev1.
pub struct Cluster {
    pub sandbox: Sandbox,
    pub client: Client,
}

impl Cluster {
    /// With Argo's definition.
    pub async fn start() -> Self {
        Self::with(options()).await
    }

    /// As the options say.
    pub async fn with(options: Options) -> Self {
        let cluster = Self::bare(options).await;
        cluster.lift_limits().await;
        cluster
    }

    /// With Argo's definition, and no policy that anybody wrote.
    pub async fn unguarded() -> Self {
        Self::bare(options()).await
    }

    async fn bare(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let client = sandbox.client_as("test");
        Self { sandbox, client }
    }

    /// Tests that are not about budgets have none to run into; those that are write a policy of their own.
    async fn lift_limits(&self) {
        self.allow(1_000).await;
    }

    /// Writes a policy that lets so many actions be under way at once, and holds nothing else back.
    async fn allow(&self, places: u32) {
        let most = json!({
            "budgets": {"unfinished": places, "unfinishedPerRule": places, "nodesOut": {"percent": 100}},
            "breaker": {"actions": 100_000, "within": "1m"},
            "retries": {"wait": "1ms", "longestWait": "1ms", "attempts": 100},
        });
        let guard = AegisGuard::new("aegis", serde_json::from_value(most).unwrap());
        match self.guards().create(&PostParams::default(), &guard).await {
            Ok(_) => {}
            // A cluster of an earlier version.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// With a policy as for a large cluster: so many actions may be under way at once.
    pub async fn with_places(places: u32) -> Self {
        let cluster = Self::bare(options()).await;
        cluster.allow(places).await;
        cluster
    }

    pub fn guards(&self) -> Api<AegisGuard> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Ends Workflows and Jobs as a cluster would.
    pub fn simulate(&self, options: SimulatorOptions) -> Simulator {
        Simulator::start(self.sandbox.client_as("simulator"), options)
    }

    pub fn alerts(&self) -> Api<AegisAlert> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn rules(&self) -> Api<AegisAlertOpsRule> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn templates(&self) -> Api<AegisOpsTemplate> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn workflows(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow");
        Api::namespaced_with(self.client.clone(), NAMESPACE, &ApiResource::from_gvk_with_plural(&kind, "workflows"))
    }

    /// Creates an object of any kind that the seed's users write, or replaces its spec.
    pub async fn apply(&self, object: Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (group, version) = text("/apiVersion").split_once('/').map(|(g, v)| (g.to_owned(), v.to_owned())).unwrap();
        let kind = GroupVersionKind::gvk(&group, &version, &text("/kind"));
        let plural = format!("{}s", text("/kind").to_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let name = text("/metadata/name");
        if api.get_opt(&name).await.unwrap().is_some() {
            let spec = json!({"spec": object["spec"]});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(spec)).await.unwrap();
        } else {
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        }
    }

    /// Installs a CustomResourceDefinition.
    pub async fn install(&self, definition: Value) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &serde_json::from_value(definition).unwrap()).await.unwrap();
    }

    /// Every alert that is stored.
    pub async fn all_alerts(&self) -> Vec<AegisAlert> {
        self.alerts().list(&ListParams::default()).await.unwrap().items
    }

    /// Every Workflow; none if the kind does not exist.
    pub async fn all_workflows(&self) -> Vec<DynamicObject> {
        match self.workflows().list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// How many Workflows were ever made, by a mirror that has followed them from the beginning.
    pub async fn workflows_ever(&self, mirror: &Mirror<DynamicObject>) -> usize {
        // Whatever was made before this one has been seen when this one is.
        let last = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": "last", "namespace": NAMESPACE}, "spec": {"entrypoint": "none"},
        });
        self.apply(last).await;
        mirror.until("the last Workflow is seen", |seen| seen.now.get("last").map(|_| ())).await;
        mirror.seen().ever.len() - 1
    }

    /// The one alert, once it is stored and looks like that.
    pub async fn alert_that(&self, what: &str, looks: impl Fn(&AegisAlert) -> bool) -> AegisAlert {
        until(what, async || {
            let alerts = self.all_alerts().await;
            assert!(alerts.len() <= 1, "{what}: there are {} alerts", alerts.len());
            let shown = alerts.first().map(describe);
            alerts.into_iter().next().filter(&looks).ok_or(shown)
        })
        .await
    }

    /// The one alert once its triggerStatus and alertOpsStatus read so, as `kubectl get` shows them.
    pub async fn alert_reads(&self, trigger: &str, ops: &str) -> AegisAlert {
        self.alert_that(&format!("{trigger} {ops}"), |alert| reads(alert) == (trigger.into(), ops.into())).await
    }

    /// Events on objects of that kind, as reason and message.
    pub async fn events_on(&self, kind: &str) -> Vec<(String, String)> {
        let all: Api<Event> = Api::all(self.client.clone());
        let events = all.list(&ListParams::default()).await.unwrap().items;
        let of = events.into_iter().filter(|event| event.involved_object.kind.as_deref() == Some(kind));
        of.map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default())).collect()
    }

    /// Sets Argo's phase on a Workflow as its controller does. False if there is no such Workflow any more.
    pub async fn set_phase(&self, name: &str, phase: &str, message: &str) -> bool {
        let patch = json!({
            "metadata": {"labels": {"workflows.argoproj.io/phase": phase}},
            "status": {"phase": phase, "message": message},
        });
        match self.workflows().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 404 => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A sandbox's options: our definitions, Argo's, and the node dev1.
pub fn options() -> Options {
    // They are derived from the types, which takes longer than anything else in a small test.
    static CRDS: LazyLock<Vec<Value>> =
        LazyLock::new(|| aegis_crds::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect());
    Options { crds: CRDS.clone(), nodes: vec!["dev1".into()], ..Options::default() }
}

/// triggerStatus and alertOpsStatus as words; empty if not set.
pub fn reads(alert: &AegisAlert) -> (String, String) {
    let word = |field: &str| {
        let status = serde_json::to_value(&alert.status).unwrap();
        status.pointer(&format!("/opsStatus/{field}")).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    (word("triggerStatus"), word("alertOpsStatus"))
}

fn describe(alert: &AegisAlert) -> Value {
    json!({"name": alert.name_any(), "status": alert.status})
}

/// Settings for tests: no port but loopback's, and times that a test can wait for.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.lease.duration = Duration::from_secs(3);
    settings.lease.renew_deadline = Duration::from_millis(2500);
    settings.lease.retry_period = Duration::from_millis(300);
    settings.grace_period = Duration::from_secs(10);
    settings
}

/// A controller in a runtime of its own.
pub struct Controller {
    address: SocketAddr,
    metrics: Metrics,
    runtime: Option<Runtime>,
    shutdown: Option<oneshot::Sender<()>>,
    ended: Option<tokio::task::JoinHandle<Result<(), aegis_controller::Error>>>,
}

impl Controller {
    /// Starts one and waits until its webhooks are ready. Its clock is the cluster's as it stands then.
    pub async fn start(cluster: &Cluster) -> Self {
        Self::with(cluster, settings()).await
    }

    /// With other settings.
    pub async fn with(cluster: &Cluster, settings: Settings) -> Self {
        let controller = Self::without_waiting(cluster, settings);
        controller.until_ready().await;
        controller
    }

    /// Starts one that may not become ready, because the API server is to fail it.
    pub fn without_waiting(cluster: &Cluster, settings: Settings) -> Self {
        Self::named(COMPONENT, cluster, settings)
    }

    /// Starts one whose requests are counted and disturbed under a name of its own.
    pub fn named(component: &'static str, cluster: &Cluster, settings: Settings) -> Self {
        install_provider();
        show_log();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let url = cluster.sandbox.url();
        let clock = Clock::ahead_by(cluster.sandbox.ahead());
        let (shutdown, stopped) = oneshot::channel::<()>();
        let metrics = Metrics::new();
        let counting = metrics.clone();
        let ended = runtime.spawn(async move {
            // A client of its own: one that was made in another runtime would outlive this one.
            let mut config = kube::Config::new(url.parse().unwrap());
            // As the sandbox's own clients: nobody's certificate is checked.
            config.root_cert = Some(Vec::new());
            let agent = axum::http::HeaderValue::from_static(component);
            config.headers.push((axum::http::header::USER_AGENT, agent));
            let client = aegis_controller::client::build(config, &counting).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let controller = aegis_controller::Controller { settings, client, metrics: counting, clock };
            let stop = async {
                let _ = stopped.await;
            };
            controller.run_on(listener, stop).await
        });
        Self { address, metrics, runtime: Some(runtime), shutdown: Some(shutdown), ended: Some(ended) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many of its requests about that resource may have been carried out without a word of it: no answer came, or
    /// one that a server may give after it has done what was asked.
    pub fn in_doubt(&self, resource: &str) -> usize {
        let page = self.metrics.text().unwrap();
        let lines = page.lines().filter(|line| line.starts_with("aegis_api_requests_total{"));
        let of = lines.filter(|line| line.contains(&format!("resource=\"{resource}\"")));
        let doubtful = of.filter(|line| line.contains("code=\"0\"") || line.contains("code=\"5"));
        doubtful.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    /// Waits until its caches are filled.
    pub async fn until_ready(&self) {
        let url = format!("{}/readyz", self.url());
        let client = http();
        until("the controller is ready", async || match client.get(&url).send().await {
            Ok(answer) if answer.status() == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// POSTs a body to a webhook: the status code and the answer.
    pub async fn post(&self, path: &str, body: impl ToString) -> (u16, String) {
        let answer = http().post(format!("{}{path}", self.url())).body(body.to_string()).send().await.unwrap();
        let code = answer.status().as_u16();
        (code, answer.text().await.unwrap())
    }

    /// POSTs a body that must be taken.
    pub async fn send(&self, path: &str, body: impl ToString) {
        let (code, answer) = self.post(path, body).await;
        assert_eq!(code, 200, "{answer}");
    }

    /// Suspends it as a machine is suspended: none of its tasks goes on, none of its timers is heard, until what is
    /// returned is dropped.
    pub async fn suspend(&self) -> Suspended {
        let runtime = self.runtime.as_ref().unwrap();
        let (begun, mut begins) = tokio::sync::mpsc::channel(WORKERS);
        let threads = (0..WORKERS).map(|_| {
            let (resume, resumed) = std::sync::mpsc::channel::<()>();
            let begun = begun.clone();
            runtime.spawn(async move {
                begun.try_send(()).unwrap();
                // Blocks the thread, and not only the task. An error says that the suspension is over.
                let _ = resumed.recv();
            });
            resume
        });
        let threads = threads.collect();
        for _ in 0..WORKERS {
            tokio::time::timeout(PATIENCE, begins.recv()).await.expect("every thread is suspended").unwrap();
        }
        Suspended { _threads: threads }
    }

    /// Stops it as SIGTERM does, and waits for its end.
    pub async fn stop(mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
        let ended = self.ended.take().unwrap();
        let result = tokio::time::timeout(PATIENCE, ended).await.expect("it stops in time");
        result.expect("it does not panic").expect("it stops without an error");
        self.kill().await;
    }

    /// Stops it dead, wherever it is.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take();
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    }
}

/// A controller that stands still.
pub struct Suspended {
    _threads: Vec<std::sync::mpsc::Sender<()>>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Asks until the answer is what is waited for; fails with the last answer that was not.
pub async fn until<T, W: std::fmt::Debug>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, W>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) if tokio::time::Instant::now() > deadline => panic!("waited in vain for {what}; last: {last:#?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What is seen once the controllers have written nothing for a while: for what should not happen.
pub async fn settled<T>(cluster: &Cluster, mut look: impl AsyncFnMut() -> T) -> T {
    const QUIET: u32 = 5;
    let writes = || cluster.sandbox.requests().count(&Match::any().component(COMPONENT).writes());
    let mut quiet = 0;
    while quiet < QUIET {
        let before = writes();
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Leases are renewed for ever; that alone is no sign of work.
        quiet = if writes() - before <= 2 { quiet + 1 } else { 0 };
    }
    look().await
}

/// Shows the controllers' log while somebody looks for a fault: AEGIS_TEST_LOG=debug cargo test ...
fn show_log() {
    if let Ok(level) = std::env::var("AEGIS_TEST_LOG") {
        // An error says that it is shown already.
        let _ = tracing_subscriber::fmt().with_env_filter(level).with_test_writer().try_init();
    }
}

/// A client for plain HTTP; it does not read the machine's certificates, which takes long.
pub fn http() -> reqwest::Client {
    install_provider();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

fn install_provider() {
    // An error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

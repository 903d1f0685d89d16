//! Aegis in the cluster: installed as its guide says, and its controllers as processes that scenarios can kill, under
//! the ServiceAccount and the roles that it ships with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aegis_crds::AegisAlert;
use aegis_crds::names::{MANAGED_BY, MANAGED_BY_LABEL};
use anyhow::{Context as _, bail, ensure};
use futures::{TryStreamExt as _, stream};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::audit::{self, Request};
use crate::cluster::Cluster;
use crate::machine::Running;
use crate::metrics::Metrics;
use crate::simulated;
use crate::wait::until;

/// An installation in one namespace.
pub struct Aegis<'a> {
    cluster: &'a Cluster,
    namespace: String,
    /// When the namespace was made.
    since: audit::Mark,
}

impl<'a> Aegis<'a> {
    /// Installs definitions and roles in a fresh namespace. What an earlier scenario left there is cleared away.
    pub async fn install(cluster: &'a Cluster, namespace: &str) -> anyhow::Result<Self> {
        let definitions = repository("manifest/install").display().to_string();
        cluster.kubectl(&["apply", "-f", &definitions]).await?;
        cluster.kubectl(&["wait", "--for=condition=Established", "-f", &definitions]).await?;
        let aegis = Self::fresh(cluster, namespace).await?;
        for file in ["controller-role.yaml", "workflow-role.yaml", "user-roles.yaml"] {
            let text = fs::read_to_string(repository("manifest/deploy").join(file))?;
            // The bindings for the whole cluster name the namespace themselves.
            let text = text.replace("namespace: monitoring", &format!("namespace: {namespace}"));
            cluster.apply(namespace, &text).await?;
        }
        cluster.apply(namespace, include_str!("scenarios/data/guard.yaml")).await?;
        Ok(aegis)
    }

    /// A fresh namespace in which the scenario installs what it wants to.
    pub async fn fresh(cluster: &'a Cluster, namespace: &str) -> anyhow::Result<Self> {
        let aegis = Self { cluster, namespace: namespace.to_owned(), since: audit::mark(cluster)? };
        aegis.clear().await?;
        // A scenario that failed may have left the node cordoned, and nodes of its own.
        cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
        simulated::clear(cluster).await?;
        cluster.make_namespace(namespace).await?;
        Ok(aegis)
    }

    /// The cluster that it is installed in.
    pub fn cluster(&self) -> &Cluster {
        self.cluster
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Starts a controller that listens at that port of the node, and waits until it is ready.
    pub async fn start(&self, port: u16, flags: &[&str]) -> anyhow::Result<Controller> {
        self.start_through(&self.cluster.server(), port, flags).await
    }

    /// As [`Aegis::start`], with a controller that finds the API server there.
    pub async fn start_through(&self, server: &str, port: u16, flags: &[&str]) -> anyhow::Result<Controller> {
        let mut controller = self.begin(server, port, flags).await?;
        controller.until_ready().await?;
        Ok(controller)
    }

    /// As [`Aegis::start`], without waiting.
    pub async fn launch(&self, port: u16, flags: &[&str]) -> anyhow::Result<Controller> {
        self.begin(&self.cluster.server(), port, flags).await
    }

    async fn begin(&self, server: &str, port: u16, flags: &[&str]) -> anyhow::Result<Controller> {
        let program = program()?;
        let address = SocketAddr::from((self.cluster.machine.network().node(), port));
        let name = format!("aegis-{}-{port}", self.namespace);
        let kubeconfig = self.cluster.kubeconfig_of_account(&name, &self.namespace, "aegis", server).await?;
        let mut command = self.cluster.machine.command(program)?;
        command.arg("--kubeconfig").arg(kubeconfig);
        command.args(["--alert.publish-namespace", &self.namespace, "--lease.identity", &name]);
        command.args(["--http.listen", &address.to_string()]).args(flags);
        let since = Instant::now();
        Ok(Controller {
            address,
            name: name.clone(),
            since,
            running: self.cluster.machine.start(&name, command)?.bound(),
        })
    }

    /// Lets the name aegis.NAMESPACE, as senders are configured with it, lead to a controller that runs as a process:
    /// through a Service, kube-proxy, and the machine's list of hosts in the place of a DNS.
    pub async fn publish(&self, controller: &Controller) -> anyhow::Result<()> {
        let (address, port) = (controller.address.ip(), controller.address.port());
        let objects = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {
                    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "aegis"},
                    "spec": {"ports": [{"name": "http", "port": 8080}]},
                },
                {
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                    "metadata": {"name": "aegis", "labels": {"kubernetes.io/service-name": "aegis"}},
                    "addressType": "IPv4", "endpoints": [{"addresses": [address]}],
                    "ports": [{"name": "http", "port": port}],
                },
            ],
        });
        self.cluster.apply(&self.namespace, &objects.to_string()).await?;
        self.name_is_known().await
    }

    /// Lets the name aegis.NAMESPACE lead to its Service in the machine, by its list of hosts in the place of a DNS.
    pub async fn name_is_known(&self) -> anyhow::Result<()> {
        let words = ["get", "service", "aegis", "-n", &self.namespace, "-o", "jsonpath={.spec.clusterIP}"];
        let service = self.cluster.kubectl(&words).await?;
        let line = format!("echo '{service} aegis.{}' >> /etc/hosts", self.namespace);
        self.cluster.machine.run("sh", ["-c", &line]).await?;
        until("the Service leads to the controller", || async {
            reqwest::get(format!("http://{service}:8080/readyz")).await?.error_for_status()?;
            Ok(Some(()))
        })
        .await
    }

    /// The alerts.
    pub fn alerts(&self) -> Api<AegisAlert> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// The Workflows, whatever made them.
    pub fn workflows(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client.clone(), &self.namespace, &workflow())
    }

    /// The one alert of a type.
    pub async fn alert(&self, type_: &str) -> anyhow::Result<AegisAlert> {
        let found = self.alerts().list(&ListParams::default().labels(&format!("alert-type={type_}"))).await?;
        let names: Vec<String> = found.items.iter().map(|alert| alert.name_any()).collect();
        ensure!(names.len() == 1, "expected one alert of type {type_}, found {names:?}");
        found.items.into_iter().next().context("there is one")
    }

    /// Waits until the one alert of a type shows these [`words`].
    pub async fn until_alert(&self, type_: &str, trigger: &str, ops: &str) -> anyhow::Result<AegisAlert> {
        until(&format!("the alert {type_} shows {trigger} {ops}"), || async {
            let alert = self.alert(type_).await?;
            let status = serde_json::to_value(&alert.status)?;
            ensure!(words(&status) == (trigger, ops), "its status is {status}");
            Ok(Some(alert.clone()))
        })
        .await
    }

    /// What the controllers' Lease says.
    pub async fn lease(&self) -> anyhow::Result<LeaseSpec> {
        let leases: Api<Lease> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        leases.get("aegis-controller").await?.spec.context("the Lease says nothing")
    }

    /// The one alert of a fingerprint.
    pub async fn stored(&self, fingerprint: &str) -> anyhow::Result<AegisAlert> {
        let found = self.alerts().list(&ListParams::default().labels(&format!("fingerprint={fingerprint}"))).await?;
        let names: Vec<String> = found.items.iter().map(|alert| alert.name_any()).collect();
        ensure!(names.len() == 1, "expected one alert of fingerprint {fingerprint}, found {names:?}");
        found.items.into_iter().next().context("there is one")
    }

    /// Waits until the one alert of a fingerprint says that its one Workflow has succeeded, which must be true.
    pub async fn until_repaired(&self, fingerprint: &str) -> anyhow::Result<AegisAlert> {
        let alert = until(&format!("{fingerprint} is repaired"), || async {
            let alert = self.stored(fingerprint).await?;
            let status = serde_json::to_value(&alert.status)?;
            ensure!(words(&status) == ("Triggered", "Succeeded"), "its status is {status}");
            Ok(Some(alert))
        })
        .await?;
        let actions: Vec<&str> =
            alert.status.iter().flat_map(|status| &status.actions).map(|action| action.name.as_str()).collect();
        let [action] = actions.as_slice() else { bail!("{fingerprint} tells of these actions: {actions:?}") };
        let workflow = self.workflows().get(action).await?;
        let phase = workflow.data.pointer("/status/phase").and_then(Value::as_str);
        ensure!(phase == Some("Succeeded"), "{action} is {phase:?}, and its alert says Succeeded");
        Ok(alert)
    }

    /// The audit log shows one Workflow for each alert that is stored, and no other that the controllers made.
    pub async fn one_workflow_each(&self, incidents: usize) -> anyhow::Result<()> {
        let made = self.workflows_made()?;
        let alerts = self.alerts().list(&ListParams::default()).await?.items;
        let want: BTreeMap<String, usize> = alerts.iter().map(|alert| (alert.name_any(), 1)).collect();
        ensure!(alerts.len() == incidents, "{} alerts are stored for {incidents} incidents", alerts.len());
        ensure!(made == want, "the API server accepted these creations of Workflows: {made:#?}");
        Ok(())
    }

    /// How many Workflows the controllers have made for each alert since the namespace was made, by the audit log.
    pub fn workflows_made(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let account = format!("system:serviceaccount:{}:aegis", self.namespace);
        let mut made: BTreeMap<String, usize> = BTreeMap::new();
        let requests = audit::since(self.cluster, self.since)?;
        let about = |verbs: &[&str]| {
            let is_of = |request: &&Request| verbs.iter().any(|verb| request.is(verb, "workflows", &self.namespace));
            let of = requests.iter().filter(|request| request.is_success()).filter(is_of);
            of.filter_map(Request::name).collect::<BTreeSet<&str>>()
        };
        let (mut told, changed) = (about(&["create"]), about(&["update", "patch"]));
        for request in requests.iter().filter(|request| request.is("create", "workflows", &self.namespace)) {
            // A controller that is killed hears no answer, and its Workflow is there.
            let in_silence =
                request.is_given_up() && request.name().is_some_and(|name| changed.contains(name) && told.insert(name));
            if request.user() == account && (request.is_success() || in_silence) {
                let name = request.name().context("a creation without a name")?;
                // The alert's name, and 9 characters of the Workflow's own.
                let alert = name.get(..name.len().saturating_sub(9)).unwrap_or_default();
                *made.entry(alert.to_owned()).or_default() += 1;
            }
        }
        Ok(made)
    }

    /// Takes the installation away as the guide says, while a controller still runs that can let go of what it holds.
    pub async fn uninstall(self, mut controller: Controller) -> anyhow::Result<()> {
        self.let_go().await?;
        controller.running.stop().await?;
        self.delete().await
    }

    /// Deletes the alerts and waits until the controller that runs has let go of what it holds.
    pub async fn let_go(&self) -> anyhow::Result<()> {
        self.cluster.kubectl(&["delete", "aegisalert", "--all", "-n", &self.namespace]).await?;
        let held = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
        until("nothing is left that the controller holds", || async {
            let words = ["get", "workflows.argoproj.io,jobs", "-n", &self.namespace, "-l", &held, "-o", "name"];
            let left = self.cluster.kubectl(&words).await?;
            ensure!(left.trim().is_empty(), "{} are left", left.trim());
            Ok(Some(()))
        })
        .await
    }

    /// Deletes the namespace, in which nothing may be held any more.
    pub async fn delete(self) -> anyhow::Result<()> {
        self.cluster.delete_namespace(&self.namespace).await
    }

    /// Removes the namespace by force: without a controller its Workflows keep their finalizers.
    async fn clear(&self) -> anyhow::Result<()> {
        release_all(self.cluster, Some(&self.namespace)).await?;
        self.cluster.delete_namespace(&self.namespace).await
    }
}

/// Takes the finalizers off what controllers hold that are no more, in one namespace or in all: whoever deletes it, its
/// namespace or its definition would wait for them for ever.
pub async fn release_all(cluster: &Cluster, namespace: Option<&str>) -> anyhow::Result<()> {
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let jobs = ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", "Job"));
    for resource in [workflow(), jobs] {
        let of = |namespace: &str| Api::namespaced_with(cluster.client.clone(), namespace, &resource);
        let there: Api<DynamicObject> = namespace.map_or_else(|| Api::all_with(cluster.client.clone(), &resource), &of);
        let held = there.list_metadata(&ours).await?.items.into_iter().filter(|object| !object.finalizers().is_empty());
        stream::iter(held.map(Ok::<_, kube::Error>))
            .try_for_each_concurrent(16, |object| {
                let (api, release): (Api<DynamicObject>, _) = (of(&object.namespace().unwrap_or_default()), &release);
                async move { api.patch_metadata(&object.name_any(), &PatchParams::default(), release).await.map(drop) }
            })
            .await?;
    }
    Ok(())
}

/// A controller that runs as a process. Dropping it kills it.
pub struct Controller {
    address: SocketAddr,
    name: String,
    /// When it was started.
    pub since: Instant,
    /// The process.
    pub running: Running,
}

impl Controller {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::read(&self.url("/metrics")).await
    }

    /// Where a path of it is reached.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What its Lease says while it leads, but for a word behind it that differs each time.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it says that it is ready.
    pub async fn until_ready(&mut self) -> anyhow::Result<()> {
        let ready = self.url("/readyz");
        self.running.until_answers(&ready).await
    }

    /// Posts an alert in the custom format; returns the code and the text of the answer.
    pub async fn post(&self, alert: &Value) -> anyhow::Result<(u16, String)> {
        let answer = reqwest::Client::new().post(self.url("/default/alert")).body(alert.to_string()).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Posts an alert in the custom format, which must be taken.
    pub async fn send(&self, alert: &Value) -> anyhow::Result<()> {
        let (code, answer) = self.post(alert).await?;
        ensure!(code == 200, "the webhook answered {code}: {answer}");
        Ok(())
    }
}

/// The controller that is started: from the folder of static binaries that AEGIS_BINARIES names, else the one that was
/// built beside this program.
pub fn program() -> anyhow::Result<PathBuf> {
    built("aegis-controller")
}

/// The plugin, from the same place.
pub fn plugin() -> anyhow::Result<PathBuf> {
    built("kubectl-aegis")
}

fn built(name: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("AEGIS_BINARIES").filter(|folder| !folder.is_empty()) {
        let program = std::path::absolute(Path::new(&folder).join(name))?;
        ensure!(program.is_file(), "{} is missing, where AEGIS_BINARIES says that it is", program.display());
        return Ok(program);
    }
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(program.is_file(), "{} is missing: `cargo build -p {name}` makes it", program.display());
    Ok(program)
}

/// A firing alert about a node, in the custom format.
pub fn node_alert(type_: &str, fingerprint: &str, node: &str) -> Value {
    json!({
        "type": type_, "status": "Firing", "fingerprint": fingerprint,
        "involvedObject": {"kind": "Node", "name": node}, "details": {"node": node},
    })
}

/// What a status says in two words: triggerStatus and alertOpsStatus.
pub fn words(status: &Value) -> (&str, &str) {
    let word = |path: &str| status.pointer(path).and_then(Value::as_str).unwrap_or("");
    (word("/opsStatus/triggerStatus"), word("/opsStatus/alertOpsStatus"))
}

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}

fn workflow() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"))
}

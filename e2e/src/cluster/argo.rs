//! Argo Workflows: its definitions, and its controller for all namespaces, as a process or, for a while, in a pod.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::{Cluster, Setup, images};
use crate::machine::{Machine, Running};
use crate::parts::{self, Part};
use crate::wait::until;

/// Where Argo's own settings stand.
const NAMESPACE: &str = "argo";
const HEALTH_PORT: u16 = 6060;
/// The process.
const NAME: &str = "argo";

/// The image of the executor, named as Argo names it.
pub(super) fn executor_image(argo: &Part) -> String {
    format!("quay.io/argoproj/argoexec:v{}", argo.version())
}

/// Installs and starts it, and waits until it says that it is well.
pub(super) async fn start(setup: &Setup) -> anyhow::Result<()> {
    let definitions = setup.argo.kept("crds").display().to_string();
    setup.kubectl(&["apply", "--server-side", "-k", &definitions]).await?;
    setup.kubectl(&["wait", "--for=condition=Established", "crd", "--all"]).await?;
    setup.kubectl(&["create", "namespace", NAMESPACE]).await?;
    setup.kubectl(&["create", "configmap", "workflow-controller-configmap", "-n", NAMESPACE]).await?;
    let running = launch(&setup.machine, &setup.argo, &setup.admin)?;
    well(&setup.machine, running).await
}

fn launch(machine: &Machine, argo: &Part, admin: &Path) -> anyhow::Result<Running> {
    let mut controller = machine.command(argo.program("workflow-controller"))?;
    controller.env("LEADER_ELECTION_IDENTITY", "aegis-e2e").env("LEADER_ELECTION_DISABLE", "true");
    controller.arg("--kubeconfig").arg(admin).args(["--namespace", NAMESPACE]).args(executor(argo));
    machine.start(NAME, controller)
}

fn executor(argo: &Part) -> [String; 4] {
    ["--executor-image", &executor_image(argo), "--executor-image-pull-policy", "IfNotPresent"].map(str::to_owned)
}

async fn well(machine: &Machine, mut running: Running) -> anyhow::Result<()> {
    let health = format!("http://{}:{HEALTH_PORT}/healthz", machine.network().node());
    running.until_answers(&health).await.context("Argo's controller")
}

/// Argo's controller in a pod, as people run it and as they look for it. The process rests meanwhile; it is started again
/// by [`ArgoInPod::end`], or when this is dropped.
pub struct ArgoInPod<'a> {
    cluster: &'a Cluster,
    argo: Part,
    objects: String,
    back: bool,
}

impl Cluster {
    /// Puts a pod in the place of Argo's process, and waits until it runs.
    pub async fn argo_in_a_pod(&self) -> anyhow::Result<ArgoInPod<'_>> {
        let argo = parts::ensure(&parts::ARGO).await?;
        let image = format!("quay.io/argoproj/workflow-controller:v{}", argo.version());
        images::import_program(&self.machine, &image, &argo.program("workflow-controller")).await?;
        self.machine.stop(NAME).await?;
        let objects = objects(&argo, &image).to_string();
        let in_pod = ArgoInPod { cluster: self, argo, objects, back: false };
        self.apply(NAMESPACE, &in_pod.objects).await?;
        self.kubectl(&["rollout", "status", "deployment/workflow-controller", "-n", NAMESPACE, "--timeout=2m"]).await?;
        Ok(in_pod)
    }
}

impl ArgoInPod<'_> {
    /// Takes the pod away and starts the process.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.cluster.kubectl(&["delete", "deployment", "workflow-controller", "-n", NAMESPACE]).await?;
        until("its pod has ended", || async {
            let pods = ["get", "pods", "-n", NAMESPACE, "-l", "app=workflow-controller", "-o", "name"];
            Ok(self.cluster.kubectl(&pods).await?.trim().is_empty().then_some(()))
        })
        .await?;
        self.back = true;
        let running = launch(&self.cluster.machine, &self.argo, &self.cluster.kubeconfig())?;
        well(&self.cluster.machine, running).await
    }
}

impl Drop for ArgoInPod<'_> {
    fn drop(&mut self) {
        if !self.back {
            // Whatever failed or was given up, the next scenario finds Argo as it was.
            let mut kubectl = self.cluster.kubectl_command();
            let delete = ["delete", "deployment", "workflow-controller", "-n", NAMESPACE, "--cascade=foreground"];
            if let Err(error) = kubectl.args(delete).as_std_mut().output() {
                eprintln!("could not take Argo's pod away: {error:#}");
            }
            if let Err(error) = launch(&self.cluster.machine, &self.argo, &self.cluster.kubeconfig()) {
                eprintln!("could not start Argo again: {error:#}");
            }
        }
    }
}

/// As Argo's own manifests have it, with all rights in the place of its roles.
fn objects(argo: &Part, image: &str) -> serde_json::Value {
    let labels = json!({"app": "workflow-controller"});
    let mut args = vec!["--namespace".to_owned(), NAMESPACE.to_owned()];
    args.extend(executor(argo));
    let container = json!({
        "name": "workflow-controller", "image": image, "command": ["workflow-controller"], "args": args,
        "env": [{"name": "LEADER_ELECTION_DISABLE", "value": "true"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": HEALTH_PORT}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "runAsUser": 8737,
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "argo"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "argo"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "argo", "namespace": NAMESPACE}],
        },
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "workflow-controller"},
            "spec": {
                "selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"serviceAccountName": "argo", "containers": [container]},
                },
            },
        },
    ]})
}

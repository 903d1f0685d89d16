//! Argo Workflows: its definitions, and its controller for all namespaces.

use anyhow::Context as _;

use super::Setup;

/// Where Argo's own settings stand.
const NAMESPACE: &str = "argo";
const HEALTH_PORT: u16 = 6060;

/// The image of the executor, named as Argo names it.
pub(super) fn executor_image(setup: &Setup) -> String {
    format!("quay.io/argoproj/argoexec:v{}", setup.argo.version())
}

/// Installs and starts it, and waits until it says that it is well.
pub(super) async fn start(setup: &Setup) -> anyhow::Result<()> {
    let definitions = setup.argo.kept("crds").display().to_string();
    setup.kubectl(&["apply", "--server-side", "-k", &definitions]).await?;
    setup.kubectl(&["wait", "--for=condition=Established", "crd", "--all"]).await?;
    setup.kubectl(&["create", "namespace", NAMESPACE]).await?;
    setup.kubectl(&["create", "configmap", "workflow-controller-configmap", "-n", NAMESPACE]).await?;

    let mut controller = setup.machine.command(setup.argo.program("workflow-controller"))?;
    controller.env("LEADER_ELECTION_IDENTITY", "aegis-e2e").env("LEADER_ELECTION_DISABLE", "true");
    controller.arg("--kubeconfig").arg(&setup.admin).args(["--namespace", NAMESPACE]);
    controller.args(["--executor-image", &executor_image(setup), "--executor-image-pull-policy", "IfNotPresent"]);
    let mut running = setup.machine.start("argo", controller)?;
    let health = format!("http://{}:{HEALTH_PORT}/healthz", setup.machine.network().node());
    running.until_answers(&health).await.context("Argo's controller")
}

//! The control plane: etcd, the API server, the controllers and the scheduler.

use std::fs;
use std::time::Duration;

use kube::Client;
use serde_json::json;
use tokio::process::Command;

use super::pki::Pki;
use super::{Setup, kube_client};
use crate::machine::{Machine, Running};
use crate::parts::Part;
use crate::wait::until;

/// Its process, and the folder with its data.
pub(super) const ETCD: &str = "etcd";

/// Starts etcd and the API server, and waits until it serves.
pub(super) async fn start(setup: &Setup, pki: &Pki) -> anyhow::Result<Client> {
    let mut etcd = etcd(&setup.machine, &setup.etcd)?;
    let mut server = api_server(setup, pki)?;
    let client = kube_client(&setup.admin).await?;
    until("the API server serves", || {
        let ended = etcd.must_run().and_then(|()| server.must_run());
        let client = &client;
        async move {
            if let Err(error) = ended {
                return Ok(Some(Err(error)));
            }
            client.request_text(super::get("/readyz")?).await?;
            Ok(Some(Ok(())))
        }
    })
    .await??;
    Ok(client)
}

/// Starts etcd, on the data that are there.
pub(super) fn etcd(machine: &Machine, part: &Part) -> anyhow::Result<Running> {
    let mut etcd = machine.command(part.program("etcd"))?;
    let (clients, peers) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    etcd.arg(format!("--data-dir={}", machine.folder().join(ETCD).display()));
    etcd.args([format!("--listen-client-urls={clients}"), format!("--advertise-client-urls={clients}")]);
    etcd.args([format!("--listen-peer-urls={peers}"), format!("--initial-advertise-peer-urls={peers}")]);
    etcd.args([format!("--initial-cluster=default={peers}"), "--log-level=warn".into()]);
    machine.start(ETCD, etcd)
}

fn api_server(setup: &Setup, pki: &Pki) -> anyhow::Result<Running> {
    let network = setup.machine.network();
    let hosts = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    pki.server("kube-apiserver", &hosts, &[[127, 0, 0, 1].into(), network.node(), network.api_service()])?;
    pki.client("kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters"))?;
    let policy = setup.state("audit-policy.json");
    fs::write(&policy, audit_policy().to_string())?;

    let mut server = setup.program("kube-apiserver")?;
    server.args([
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        format!("--secure-port={}", super::PORT),
        format!("--advertise-address={}", network.node()),
        format!("--service-cluster-ip-range={}", network.services()),
        format!("--tls-cert-file={}", pki.path("kube-apiserver.crt")),
        format!("--tls-private-key-file={}", pki.path("kube-apiserver.key")),
        format!("--client-ca-file={}", pki.path("ca.crt")),
        // Who stands before the API server; nobody does, but its clients insist on an answer.
        format!("--requestheader-client-ca-file={}", pki.path("ca.crt")),
        "--requestheader-allowed-names=front-proxy".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--allow-privileged=true".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", pki.path("accounts.pub")),
        format!("--service-account-signing-key-file={}", pki.path("accounts.key")),
        // The node's name resolves nowhere.
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--kubelet-client-certificate={}", pki.path("kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki.path("kubelet-client.key")),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", setup.audit_log().display()),
        // One file for the whole life, in megabytes.
        "--audit-log-maxsize=4096".into(),
        // For the policy that keeps the kubelet from pulling images (admission.rs).
        "--feature-gates=MutatingAdmissionPolicy=true".into(),
        "--runtime-config=admissionregistration.k8s.io/v1beta1=true".into(),
    ]);
    setup.machine.start("kube-apiserver", server)
}

/// Who did what to which object: every request once, when it is answered, without bodies.
fn audit_policy() -> serde_json::Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{"level": "Metadata"}],
    })
}

/// How long a node may say nothing before it counts as not ready.
pub const NODE_GRACE: Duration = Duration::from_secs(300);

/// Starts the controllers and the scheduler. They have nothing to wait for: what they do is awaited where it is needed.
pub(super) fn start_controllers(setup: &Setup, pki: &Pki) -> anyhow::Result<()> {
    let mut manager = delegating(setup, pki, "kube-controller-manager")?;
    manager.args([
        "--use-service-account-credentials=true".to_owned(),
        format!("--root-ca-file={}", pki.path("ca.crt")),
        format!("--service-account-private-key-file={}", pki.path("accounts.key")),
        // There is no cloud, and the network gives each pod its address.
        "--controllers=*,-nodeipam,-cloud-node-lifecycle-controller,-node-route-controller,-service-lb-controller"
            .into(),
        // A machine with much to do renews the leases of a thousand simulated nodes late.
        format!("--node-monitor-grace-period={}s", NODE_GRACE.as_secs()),
    ]);
    setup.machine.start("kube-controller-manager", manager)?;
    setup.machine.start("kube-scheduler", delegating(setup, pki, "kube-scheduler")?)?;
    Ok(())
}

/// A component that asks the API server who its own callers are. There is one of each, so none is elected.
fn delegating(setup: &Setup, pki: &Pki, name: &str) -> anyhow::Result<Command> {
    let kubeconfig = pki.kubeconfig(&setup.server(), name, &format!("system:{name}"), None)?.display().to_string();
    let mut command = setup.program(name)?;
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        command.arg(format!("--{flag}={kubeconfig}"));
    }
    command.arg("--leader-elect=false");
    Ok(command)
}

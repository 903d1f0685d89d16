//! The node: containerd, the kubelet and kube-proxy, with a bridge for the pods.

use std::fs;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::json;

use super::Setup;
use super::pki::Pki;
use crate::machine::{NAME, Running};
use crate::needs;
use crate::wait::until;

/// Where containerd listens, in the machine's own /run.
const SOCKET: &str = "unix:///run/containerd/containerd.sock";
/// The image of the container that holds a pod's namespaces.
pub(super) const PAUSE: &str = "docker.io/library/pause:local";

/// Starts containerd and waits until it answers.
pub(super) async fn start_containerd(setup: &Setup) -> anyhow::Result<()> {
    let network = setup.state("cni");
    fs::create_dir_all(&network)?;
    fs::write(network.join("10-pods.conflist"), pod_network(setup).to_string())?;
    let config = setup.state("containerd.toml");
    fs::write(&config, containerd_config(setup)?)?;
    let mut containerd = setup.machine.command("containerd")?;
    containerd.arg("--config").arg(&config);
    let mut running = setup.machine.start("containerd", containerd)?;
    until("containerd answers", || {
        let ended = running.must_run();
        async move {
            match ended {
                Err(error) => Ok(Some(Err(error))),
                Ok(()) => setup.machine.run("ctr", ["version"]).await.map(|_| Some(Ok(()))),
            }
        }
    })
    .await?
}

fn containerd_config(setup: &Setup) -> anyhow::Result<String> {
    let (root, network) = (setup.state("containerd"), setup.state("cni"));
    let plugins = needs::plugins()?;
    Ok(format!(
        r#"version = 2
root = {root:?}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # In a machine with few rights the score cannot be lowered.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {plugins:?}
    conf_dir = {network:?}
"#
    ))
}

fn pod_network(setup: &Setup) -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isGateway": true,
            // A pod may reach itself through its Service.
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": setup.machine.network().pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// Starts the kubelet and kube-proxy, and waits until the node is ready.
pub(super) async fn start(setup: &Setup, pki: &Pki, client: &Client) -> anyhow::Result<()> {
    let mut kubelet = kubelet(setup, pki)?;
    let mut proxy = proxy(setup, pki)?;
    let nodes: Api<Node> = Api::all(client.clone());
    until("the node is ready", || {
        let ended = kubelet.must_run().and_then(|()| proxy.must_run());
        let nodes = &nodes;
        async move {
            if let Err(error) = ended {
                return Ok(Some(Err(error)));
            }
            let conditions = nodes.get_status(NAME).await?.status.and_then(|status| status.conditions);
            let ready = conditions.unwrap_or_default().into_iter().find(|condition| condition.type_ == "Ready");
            let told = ready.as_ref().and_then(|ready| ready.message.clone()).unwrap_or_default();
            ensure!(ready.is_some_and(|ready| ready.status == "True"), "the kubelet says: {told}");
            Ok(Some(Ok(())))
        }
    })
    .await?
}

fn kubelet(setup: &Setup, pki: &Pki) -> anyhow::Result<Running> {
    let kubeconfig =
        pki.kubeconfig(&setup.server(), "kubelet", &format!("system:node:{NAME}"), Some("system:nodes"))?;
    let root = setup.state("kubelet");
    let config = setup.state("kubelet.json");
    let text = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.path("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": SOCKET,
        "volumePluginDir": root.join("plugins"),
        // All containers below one group, which is all that must be removed in the end.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", setup.machine.control_group()),
        "failCgroupV1": false,
        "failSwapOn": false,
        // A full disk is no reason to end a scenario's pods: its own errors say more.
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
    });
    fs::write(&config, text.to_string())?;
    let mut kubelet = setup.program("kubelet")?;
    kubelet.args([
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-dir={}", root.display()),
        format!("--cert-dir={}", root.join("pki").display()),
        format!("--node-ip={}", setup.machine.network().node()),
        format!("--hostname-override={NAME}"),
    ]);
    setup.machine.start("kubelet", kubelet)
}

fn proxy(setup: &Setup, pki: &Pki) -> anyhow::Result<Running> {
    let kubeconfig = pki.kubeconfig(&setup.server(), "kube-proxy", "system:kube-proxy", None)?;
    let config = setup.state("kube-proxy.json");
    let text = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": setup.machine.network().pods(),
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": NAME,
        // The table of connections is the real machine's: its size is left alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    fs::write(&config, text.to_string())?;
    let mut proxy = setup.program("kube-proxy")?;
    proxy.arg(format!("--config={}", config.display()));
    setup.machine.start("kube-proxy", proxy)
}

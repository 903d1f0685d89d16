//! A node: containerd and the kubelet, with a bridge for the pods; and kube-proxy, one for the machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::json;

use super::Setup;
use super::pki::Pki;
use crate::machine::{KERNEL, Machine, NAME, Running};
use crate::needs;
use crate::parts::Part;
use crate::wait::until;

/// The image of the container that holds a pod's namespaces.
pub(super) const PAUSE: &str = "docker.io/library/pause:local";

/// What tells the nodes of one machine apart.
pub(super) struct Place {
    pub(super) name: &'static str,
    /// What stands behind the names of its files, and of its folders in the machine's own /run and /var/log.
    mark: &'static str,
    /// Where its kubelet serves, and tells how it is.
    ports: (u16, u16),
}

/// The node that is always there.
pub(super) const FIRST: Place = Place { name: NAME, mark: "", ports: (10250, 10248) };
/// The node that a scenario may add.
pub(super) const SECOND: Place = Place { name: "node2", mark: "-2", ports: (10260, 10258) };

impl Place {
    fn state(&self, machine: &Machine, name: &str) -> PathBuf {
        machine.folder().join(format!("{name}{}", self.mark))
    }

    /// The name of one of its processes.
    fn process(&self, name: &str) -> String {
        format!("{name}{}", self.mark)
    }

    fn run(&self) -> String {
        format!("/run/containerd{}", self.mark)
    }

    /// Where its containerd listens.
    pub(super) fn socket(&self) -> String {
        format!("{}/containerd.sock", self.run())
    }

    /// The folder with a file for each setting of the kernel, which a container finds in the place of the setting.
    fn kernel(&self, machine: &Machine) -> PathBuf {
        self.state(machine, KERNEL)
    }

    /// The control group above its pods, as the kubelet names it.
    fn control_group(&self, machine: &Machine) -> String {
        match self.mark {
            "" => machine.control_group(),
            _ => format!("{}/{}", machine.control_group(), self.name),
        }
    }
}

/// What stands in the place of a setting of the kernel in a node's containers.
pub(super) fn kernel_file(machine: &Machine, node: &str, setting: &str) -> PathBuf {
    let place = if node == SECOND.name { &SECOND } else { &FIRST };
    place.kernel(machine).join(setting.replace('/', "."))
}

/// Starts containerd and waits until it answers.
pub(super) async fn start_containerd(machine: &Machine, place: &Place) -> anyhow::Result<Running> {
    let network = machine.folder().join("cni");
    fs::create_dir_all(&network)?;
    fs::write(network.join("10-pods.conflist"), pod_network(machine).to_string())?;
    let config = place.state(machine, "containerd.toml");
    let container = place.state(machine, "container.json");
    fs::write(&container, container_defaults(machine, place).await?.to_string())?;
    fs::write(&config, containerd_config(machine, place, &container)?)?;
    let mut containerd = machine.command("containerd")?;
    containerd.arg("--config").arg(&config);
    let mut running = machine.start(&place.process("containerd"), containerd)?;
    let socket = place.socket();
    until("containerd answers", || {
        let ended = running.must_run();
        let socket = &socket;
        async move {
            match ended {
                Err(error) => Ok(Some(Err(error))),
                Ok(()) => machine.run("ctr", ["--address", socket, "version"]).await.map(|_| Some(Ok(()))),
            }
        }
    })
    .await??;
    Ok(running)
}

fn containerd_config(machine: &Machine, place: &Place, container: &Path) -> anyhow::Result<String> {
    let (root, network) = (place.state(machine, "containerd"), machine.folder().join("cni"));
    let (run, socket, plugins) = (place.run(), place.socket(), needs::plugins()?);
    Ok(format!(
        r#"version = 2
root = {root:?}
state = {run:?}
[grpc]
  address = {socket:?}
[debug]
  address = "{run}/debug.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # In a machine with few rights the score cannot be lowered.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    base_runtime_spec = {container:?}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {plugins:?}
    conf_dir = {network:?}
"#
    ))
}

/// What every container begins with: as containerd has it, and with the settings of the kernel covered. A container has
/// a /proc of its own, in which the machine's covers are not; what a procedure with all rights writes there must not
/// reach the real machine either.
async fn container_defaults(machine: &Machine, place: &Place) -> anyhow::Result<serde_json::Value> {
    let settings = place.kernel(machine);
    if !settings.exists() {
        machine.run("cp", ["-r".as_ref(), FIRST.kernel(machine).as_os_str(), settings.as_os_str()]).await?;
    }
    let script = format!(
        "root=$(sed -n 's/.*\"bundle\":\"\\([^\"]*\\)\".*/\\1/p')/rootfs/proc/sys; cd {settings:?} && for own in *; do \
         setting=$root/$(echo \"$own\" | tr . /); [ ! -e \"$setting\" ] || mount --bind \"$own\" \"$setting\"; done"
    );
    let mut defaults: serde_json::Value = serde_json::from_str(&machine.run("ctr", ["oci", "spec"]).await?)?;
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]});
    let defaults_object = defaults.as_object_mut().context("containerd's defaults are no object")?;
    defaults_object.insert("hooks".to_owned(), json!({"createContainer": [hook]}));
    Ok(defaults)
}

fn pod_network(machine: &Machine) -> serde_json::Value {
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
                "ranges": [[{"subnet": machine.network().pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// Starts the kubelet and kube-proxy, and waits until the node is ready.
pub(super) async fn start(setup: &Setup, pki: &Pki, client: &Client) -> anyhow::Result<()> {
    let user = format!("system:node:{NAME}");
    let kubeconfig = pki.kubeconfig(&setup.server(), "kubelet", &user, Some("system:nodes"))?;
    let mut kubelet = start_kubelet(&setup.machine, &setup.kubernetes, &FIRST, &kubeconfig)?;
    let mut proxy = proxy(setup, pki)?;
    ready(client, &FIRST, || kubelet.must_run().and_then(|()| proxy.must_run())).await
}

/// Waits until the node is ready.
pub(super) async fn ready(
    client: &Client,
    place: &Place,
    mut must_run: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    until("the node is ready", || {
        let ended = must_run();
        let nodes = &nodes;
        async move {
            if let Err(error) = ended {
                return Ok(Some(Err(error)));
            }
            let conditions = nodes.get_status(place.name).await?.status.and_then(|status| status.conditions);
            let ready = conditions.unwrap_or_default().into_iter().find(|condition| condition.type_ == "Ready");
            let told = ready.as_ref().and_then(|ready| ready.message.clone()).unwrap_or_default();
            ensure!(ready.is_some_and(|ready| ready.status == "True"), "the kubelet says: {told}");
            Ok(Some(Ok(())))
        }
    })
    .await?
}

/// Starts a kubelet, which talks to the API server as that kubeconfig says.
pub(super) fn start_kubelet(
    machine: &Machine,
    kubernetes: &Part,
    place: &Place,
    kubeconfig: &Path,
) -> anyhow::Result<Running> {
    let root = place.state(machine, "kubelet");
    let config = place.state(machine, "kubelet.json");
    let (port, health) = place.ports;
    let text = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "port": port,
        "healthzPort": health,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": machine.folder().join("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{}", place.socket()),
        "volumePluginDir": root.join("plugins"),
        "podLogsDir": format!("/var/log/pods{}", place.mark),
        // All containers below one group, which is all that must be removed in the end.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", place.control_group(machine)),
        "failCgroupV1": false,
        "failSwapOn": false,
        // A full disk is no reason to end a scenario's pods: its own errors say more.
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
    });
    fs::write(&config, text.to_string())?;
    let mut kubelet = machine.command(kubernetes.program("kubelet"))?;
    kubelet.args([
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-dir={}", root.display()),
        format!("--cert-dir={}", root.join("pki").display()),
        format!("--node-ip={}", machine.network().node()),
        format!("--hostname-override={}", place.name),
    ]);
    machine.start(&place.process("kubelet"), kubelet)
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

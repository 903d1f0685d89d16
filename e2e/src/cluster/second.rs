//! A second node for a scenario that needs one: a kubelet and a containerd of its own in the same machine, which share the
//! network, and so the bridge of the pods and kube-proxy, with the first.

use std::fs;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::DeleteParams;

use super::{Cluster, node};
use crate::machine::Running;
use crate::wait::until_equal;

/// Where a kubelet reads which boot of its node it lives in.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A node that was added. Dropping it kills its kubelet.
pub struct SecondNode {
    kubelet: Running,
    containerd: Running,
}

impl SecondNode {
    /// Its name.
    pub const NAME: &'static str = node::SECOND.name;

    /// Starts it with the first one's images, and waits until it is ready.
    pub async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let (machine, place) = (&cluster.machine, &node::SECOND);
        let mut containerd = node::start_containerd(machine, place).await?.bound();
        let images = machine.folder().join("images-2.tar").display().to_string();
        let copy = format!(
            "ctr -n k8s.io images export {images} $(ctr -n k8s.io images list -q | grep -v '^sha256:') \
             && ctr -a {} -n k8s.io images import {images} && rm {images}",
            place.socket()
        );
        machine.run("sh", ["-c", &copy]).await?;
        machine.make_control_group(place.name)?;
        // As the administrator: what a kubelet may do is not what is shown.
        let mut kubelet = node::start_kubelet(machine, &cluster.kubernetes, place, &cluster.kubeconfig())?.bound();
        node::ready(&cluster.client, place, || containerd.must_run().and_then(|()| kubelet.must_run())).await?;
        Ok(Self { kubelet, containerd })
    }

    /// A restart of it, as far as others can tell: its kubelet ends, and another begins that tells of another boot.
    pub async fn restart(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let (machine, place) = (&cluster.machine, &node::SECOND);
        let boot = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        let file = machine.folder().join("boot_id-2");
        fs::write(&file, format!("{boot}\n"))?;
        self.kubelet.stop().await?;
        machine.run("mount", ["--bind".as_ref(), file.as_os_str(), BOOT.as_ref()]).await?;
        let kubelet = node::start_kubelet(machine, &cluster.kubernetes, place, &cluster.kubeconfig());
        let told = async {
            self.kubelet = kubelet?.bound();
            let nodes: Api<Node> = Api::all(cluster.client.clone());
            until_equal("the node tells of another boot", boot, || async {
                let info = nodes.get_status(Self::NAME).await?.status.and_then(|status| status.node_info);
                Ok(info.unwrap_or_default().boot_id)
            })
            .await
        };
        let told = told.await;
        // It is read once, when a kubelet begins; the first node's is not to read it.
        machine.run("umount", [BOOT]).await?;
        told
    }

    /// Ends it and takes it out of the cluster. Its pods should have ended.
    pub async fn stop(mut self, cluster: &Cluster) -> anyhow::Result<()> {
        self.kubelet.stop().await?;
        self.containerd.stop().await?;
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        nodes.delete(Self::NAME, &DeleteParams::default()).await?;
        Ok(())
    }
}

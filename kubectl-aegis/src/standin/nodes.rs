//! cordon, uncordon and drain.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{Drain, Error, Nodes};
use crate::output;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Cordons or uncordons; a node that already is as wanted is said to be so.
pub(super) async fn set_unschedulable(client: &Client, on: &Nodes, unschedulable: bool) -> Result<(), Error> {
    let api: Api<Node> = Api::all(client.clone());
    let word = if unschedulable { "cordoned" } else { "uncordoned" };
    for node in selected(&api, on).await? {
        let name = node.name_any();
        let now = node.spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
        if now == unschedulable {
            output::line(&format!("node/{name} already {word}"));
            continue;
        }
        // kubectl removes the field when it uncordons.
        let value = if unschedulable { json!(true) } else { json!(null) };
        let patch = json!({"spec": {"unschedulable": value}});
        api.patch(&name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        output::line(&format!("node/{name} {word}"));
    }
    Ok(())
}

/// Cordons the nodes, evicts their pods and waits until they are gone.
pub(super) async fn drain(client: &Client, drain: &Drain) -> Result<(), Error> {
    set_unschedulable(client, &drain.nodes, true).await?;
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::all(client.clone());
    for node in selected(&nodes, &drain.nodes).await? {
        let name = node.name_any();
        let on_node = ListParams::default().fields(&format!("spec.nodeName={name}"));
        let all = pods.list(&on_node).await?.items;
        let leaving: Vec<Pod> = all.into_iter().filter(|pod| fate(pod, drain) != Fate::Stays).collect();
        let refused: Vec<String> = leaving
            .iter()
            .filter_map(|pod| match fate(pod, drain) {
                Fate::Refused(why) => {
                    Some(format!("{}/{} ({why})", pod.namespace().unwrap_or_default(), pod.name_any()))
                }
                Fate::Leaves | Fate::Stays => None,
            })
            .collect();
        if !refused.is_empty() {
            return Err(Error::Usage(format!("unable to drain node \"{name}\": {}", refused.join(", "))));
        }
        let wait = evict_all(client, leaving, drain.grace_period);
        let limit = Duration::from(drain.timeout);
        if limit.is_zero() {
            wait.await?;
        } else {
            tokio::time::timeout(limit, wait)
                .await
                .map_err(|_| Error::Usage(format!("drain did not complete within {}s", limit.as_secs())))??;
        }
        output::line(&format!("node/{name} drained"));
    }
    Ok(())
}

/// The nodes that are named or selected.
async fn selected(api: &Api<Node>, on: &Nodes) -> Result<Vec<Node>, Error> {
    if let Some(selector) = &on.selector {
        if !on.nodes.is_empty() {
            return Err(Error::Usage("name nodes or select them by label, not both".to_owned()));
        }
        return Ok(api.list(&ListParams::default().labels(selector)).await?.items);
    }
    if on.nodes.is_empty() {
        return Err(Error::Usage("name a node, or select nodes with -l".to_owned()));
    }
    let mut nodes = Vec::new();
    for name in &on.nodes {
        let name = match name.split_once('/') {
            Some(("node" | "nodes" | "no", name)) => name,
            Some((other, _)) => return Err(Error::Usage(format!("\"{other}\" is not a node"))),
            None => name,
        };
        nodes.push(api.get(name).await?);
    }
    Ok(nodes)
}

/// What a drain does with a pod.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Leaves,
    Stays,
    Refused(&'static str),
}

fn fate(pod: &Pod, drain: &Drain) -> Fate {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let keeps_data =
        pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).any(|volume| volume.empty_dir.is_some());
    if pod.annotations().contains_key(MIRROR) {
        return Fate::Stays;
    }
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Fate::Leaves;
    }
    match owner.map(|owner| owner.kind.as_str()) {
        Some("DaemonSet") if drain.ignore_daemonsets => Fate::Stays,
        Some("DaemonSet") => Fate::Refused("belongs to a DaemonSet, use --ignore-daemonsets"),
        None if !drain.force => Fate::Refused("no controller would make it again, use --force"),
        _ if keeps_data && !drain.delete_emptydir_data => {
            Fate::Refused("keeps data in an emptyDir, use --delete-emptydir-data")
        }
        _ => Fate::Leaves,
    }
}

/// Evicts the pods and waits until each is gone. A disruption budget that forbids it now is asked again.
async fn evict_all(client: &Client, pods: Vec<Pod>, grace: i64) -> Result<(), Error> {
    const AGAIN: Duration = Duration::from_secs(1);
    for pod in &pods {
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        let (name, eviction) = (pod.name_any(), eviction(pod, grace));
        output::line(&format!("evicting pod {}/{name}", pod.namespace().unwrap_or_default()));
        loop {
            let posted: Result<Value, _> =
                api.create_subresource("eviction", &name, &PostParams::default(), &eviction).await;
            match posted {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if status.code == 404 => break,
                Err(kube::Error::Api(status)) if status.code == 429 => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
    for pod in &pods {
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        while api.get_opt(&pod.name_any()).await?.is_some_and(|found| found.metadata.uid == pod.metadata.uid) {
            tokio::time::sleep(AGAIN).await;
        }
        output::line(&format!("pod/{} evicted", pod.name_any()));
    }
    Ok(())
}

/// With the seconds that the pod gets to end in; a negative number is its own. kube's own `evict` names the options as no
/// API server reads them.
fn eviction(pod: &Pod, grace: i64) -> Eviction {
    let options = DeleteOptions { grace_period_seconds: Some(grace), ..DeleteOptions::default() };
    Eviction {
        metadata: ObjectMeta { name: pod.metadata.name.clone(), namespace: pod.namespace(), ..ObjectMeta::default() },
        delete_options: (grace >= 0).then_some(options),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(extra: serde_json::Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "p", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true}]}});
        for (key, value) in extra.as_object().unwrap() {
            if key == "metadata" {
                for (key, value) in value.as_object().unwrap() {
                    pod["metadata"][key] = value.clone();
                }
            } else {
                pod[key] = value.clone();
            }
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn an_eviction_carries_the_seconds_that_a_pod_gets_to_end_in_as_an_api_server_reads_them() {
        let posted = |grace: i64| json!(eviction(&pod(json!({})), grace));
        assert_eq!(posted(0)["deleteOptions"]["gracePeriodSeconds"], 0);
        assert_eq!(posted(5)["deleteOptions"]["gracePeriodSeconds"], 5);
        assert_eq!(posted(-1).get("deleteOptions"), None, "the pod's own");
        assert_eq!((posted(0)["kind"].as_str(), posted(0)["metadata"]["name"].as_str()), (Some("Eviction"), Some("p")));
    }

    fn flags(words: &str) -> Drain {
        use clap::Parser;
        let line = format!("kubectl drain n1 {words}");
        match super::super::Kubectl::parse_from(line.split_whitespace()).verb {
            super::super::Verb::Drain(drain) => drain,
            _ => panic!("not a drain: {line}"),
        }
    }

    #[test]
    fn a_drain_spares_what_would_be_lost_or_come_back() {
        let owner = |kind: &str| {
            json!({"metadata": {"ownerReferences": [
                {"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "u", "controller": true}]}})
        };
        let bare = json!({"metadata": {"ownerReferences": []}});
        let scratch = json!({"spec": {"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]}});
        let mirror = json!({"metadata": {"annotations": {MIRROR: "x"}}});
        let done = json!({"metadata": {"ownerReferences": []}, "status": {"phase": "Succeeded"}});
        let cases = [
            ("its ReplicaSet makes it again elsewhere", owner("ReplicaSet"), "", "leaves"),
            ("a DaemonSet would put it back at once", owner("DaemonSet"), "", "refused"),
            ("the operator knows of DaemonSets", owner("DaemonSet"), "--ignore-daemonsets", "stays"),
            ("nobody would make it again", bare.clone(), "", "refused"),
            ("the operator accepts that", bare, "--force", "leaves"),
            ("its data would be lost", scratch.clone(), "", "refused"),
            ("the operator accepts that loss", scratch, "--delete-emptydir-data", "leaves"),
            ("the kubelet would put it back", mirror, "--force", "stays"),
            ("it has ended", done, "", "leaves"),
        ];
        for (why, extra, words, want) in cases {
            let got = match fate(&pod(extra), &flags(words)) {
                Fate::Leaves => "leaves",
                Fate::Stays => "stays",
                Fate::Refused(_) => "refused",
            };
            assert_eq!(got, want, "{why}");
        }
    }
}

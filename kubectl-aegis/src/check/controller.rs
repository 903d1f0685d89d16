//! The controller: its Deployment, who leads, and whether one of the first version still runs.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::ask::Asked;
use super::finding::Finding;
use super::world::World;
use crate::install::rollout::{self, Rollout};
use crate::install::shipped::OURS;
use crate::install::survey::is_ours;

const FAMILY: &str = "controller";
/// How far the clocks of this machine and of the leader may lie apart.
const CLOCKS: SignedDuration = SignedDuration::from_secs(30);

/// What was read.
pub(super) struct Seen {
    pub(super) namespace: String,
    pub(super) deployment: Asked<Value>,
    pub(super) pods: Asked<Vec<Value>>,
    pub(super) lease_name: String,
    pub(super) lease: Asked<Value>,
    pub(super) old_pods: Asked<Vec<Value>>,
    /// Whether the controller is reached at an address of its own: then it need not be a Deployment.
    pub(super) elsewhere: bool,
    pub(super) now: Timestamp,
}

pub(super) async fn look(world: &World) -> Seen {
    let lease_name = world.setting("AEGIS_LEASE_NAME").unwrap_or("aegis-controller").to_owned();
    let lease_namespace = world.setting("AEGIS_LEASE_NAMESPACE").unwrap_or(&world.namespace);
    let pods = world.place("v1", "Pod", "pods");
    let mut lease = world.place("coordination.k8s.io/v1", "Lease", "leases");
    lease.namespace = Some(lease_namespace);
    let (pods, old_pods, lease) = futures::join!(
        pods.list(&world.client, OURS),
        pods.list(&world.client, "component=aegis,app.kubernetes.io/name!=aegis"),
        lease.get(&world.client, &lease_name),
    );
    Seen {
        namespace: world.namespace.clone(),
        deployment: world.deployment.clone(),
        pods,
        lease_name,
        lease,
        old_pods,
        elsewhere: world.url.is_some(),
        now: world.now,
    }
}

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let mut findings = vec![deployment(seen), leader(seen)];
    match seen.old_pods.or_unknown(FAMILY, "first version") {
        Ok(pods) => {
            let runs = |pod: &&Value| !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
            if let Some(pod) = pods.into_iter().flatten().find(runs) {
                let name = text(pod, "/metadata/name");
                findings.push(
                    Finding::failed(
                        FAMILY,
                        "first version",
                        format!("pod {name} of its controller still runs: nothing is done"),
                    )
                    .because("two controllers at once would act twice")
                    .mend(format!(
                        "kubectl delete deployment -n {} -l component=aegis,app.kubernetes.io/name!=aegis",
                        seen.namespace
                    )),
                );
            }
        }
        Err(unknown) => findings.push(*unknown),
    }
    findings
}

fn deployment(seen: &Seen) -> Finding {
    const NAME: &str = "Deployment";
    let namespace = &seen.namespace;
    let found = match seen.deployment.or_unknown(FAMILY, NAME) {
        Err(unknown) => return *unknown,
        Ok(None) if seen.elsewhere => {
            return Finding::ok(FAMILY, NAME, "none; the controller is reached at an address of its own");
        }
        Ok(None) => {
            return Finding::failed(FAMILY, NAME, format!("there is no Deployment aegis in {namespace}"))
                .because("Aegis is not installed there, or in another namespace: -n")
                .mend(format!("kubectl aegis install -n {namespace}"))
                .skew();
        }
        Ok(Some(found)) => found,
    };
    if !is_ours(found) {
        return Finding::failed(FAMILY, NAME, format!("the Deployment aegis in {namespace} is another system's"))
            .mend(format!("kubectl delete deployment aegis -n {namespace}, then kubectl aegis install -n {namespace}"))
            .skew();
    }
    if found.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0) {
        return Finding::failed(FAMILY, NAME, "it is scaled to 0: alerts are not taken")
            .mend(format!("kubectl scale deployment aegis -n {namespace} --replicas=2"));
    }
    let (how, stuck) = match rollout::standing(found) {
        Rollout::Done => {
            let count = found.pointer("/status/availableReplicas").and_then(Value::as_u64).unwrap_or_default();
            let image = text(found, "/spec/template/spec/containers/0/image");
            return Finding::ok(FAMILY, NAME, format!("{count} replicas of {image} are ready"));
        }
        Rollout::Waits(how) => (how, String::new()),
        Rollout::Stuck(why) => ("its rollout is stuck".to_owned(), why),
    };
    let pods = seen.pods.known().into_iter().flatten();
    let trouble =
        pods.filter_map(|pod| Some(format!("pod {}: {}", text(pod, "/metadata/name"), rollout::trouble_of(pod)?)));
    let cause: Vec<String> = [stuck].into_iter().filter(|why| !why.is_empty()).chain(trouble.take(2)).collect();
    Finding::failed(FAMILY, NAME, how)
        .because(cause.join("; "))
        .mend(format!("kubectl describe pods -n {namespace} -l {OURS}"))
}

fn leader(seen: &Seen) -> Finding {
    const NAME: &str = "leader";
    let logs = format!("kubectl logs -n {} -l {OURS} --tail=50", seen.namespace);
    let lease = match seen.lease.or_unknown(FAMILY, NAME) {
        Err(unknown) => return *unknown,
        Ok(None) => {
            return Finding::failed(FAMILY, NAME, format!("nobody leads: there is no Lease {}", seen.lease_name))
                .mend(logs);
        }
        Ok(Some(lease)) => lease,
    };
    let holder = text(lease, "/spec/holderIdentity");
    if holder.is_empty() {
        return Finding::failed(FAMILY, NAME, "nobody leads: the Lease was given back").mend(logs);
    }
    let renewed: Option<Timestamp> = text(lease, "/spec/renewTime").parse().ok();
    let lasts = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(15);
    let since = renewed.map(|renewed| seen.now.duration_since(renewed));
    match since {
        Some(since) if since <= SignedDuration::from_secs(lasts) + CLOCKS => {
            Finding::ok(FAMILY, NAME, format!("{holder} leads"))
        }
        Some(since) => {
            let message = format!("nobody leads: {holder} last renewed its Lease {} s ago", since.as_secs());
            Finding::failed(FAMILY, NAME, message).mend(logs)
        }
        None => Finding::failed(FAMILY, NAME, format!("{holder} never renewed its Lease")).mend(logs),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::finding::Status;

    fn well() -> Seen {
        let deployment = json!({
            "metadata": {"generation": 1},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app.kubernetes.io/name": "aegis"}},
                "template": {"spec": {"containers": [{"image": "aegis:1"}]}}},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
        });
        let lease = json!({"spec": {"holderIdentity": "aegis-1", "renewTime": "2026-11-22T12:00:00.000000Z", "leaseDurationSeconds": 15}});
        Seen {
            namespace: "monitoring".into(),
            deployment: Asked::Known(deployment),
            pods: Asked::Known(Vec::new()),
            lease_name: "aegis-controller".into(),
            lease: Asked::Known(lease),
            old_pods: Asked::Known(Vec::new()),
            elsewhere: false,
            now: "2026-11-22T12:00:10Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_controller_that_runs_and_leads_is_fine() {
        let found = judge(&well());
        assert!(found.iter().all(|finding| finding.status == Status::Ok), "{found:?}");
        assert_eq!(found[0].message, "2 replicas of aegis:1 are ready");
    }

    #[test]
    fn each_failure_is_told_with_what_mends_it() {
        let known = |change: &dyn Fn(&mut Value)| {
            let mut value = well().deployment.known().unwrap().clone();
            change(&mut value);
            Asked::Known(value)
        };
        let lease = |spec: Value| Asked::Known(json!({"spec": spec}));
        let pulling = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}});
        let cases = [
            (
                "no Deployment",
                Seen { deployment: Asked::Missing, ..well() },
                "no Deployment aegis",
                "kubectl aegis install -n monitoring",
            ),
            (
                "scaled away",
                Seen { deployment: known(&|one| one["spec"]["replicas"] = json!(0)), ..well() },
                "scaled to 0",
                "kubectl scale",
            ),
            (
                "another's",
                Seen {
                    deployment: known(&|one| one["spec"]["selector"] = json!({"matchLabels": {"component": "aegis"}})),
                    ..well()
                },
                "another system's",
                "kubectl delete deployment aegis",
            ),
            (
                "no image",
                Seen {
                    deployment: known(&|one| one["status"]["availableReplicas"] = json!(0)),
                    pods: Asked::Known(vec![pulling]),
                    ..well()
                },
                "0 of 2 replicas are ready",
                "kubectl describe pods",
            ),
            (
                "no Lease",
                Seen { lease: Asked::Missing, ..well() },
                "there is no Lease aegis-controller",
                "kubectl logs",
            ),
            (
                "given back",
                Seen { lease: lease(json!({"holderIdentity": ""})), ..well() },
                "was given back",
                "kubectl logs",
            ),
            (
                "expired",
                Seen { now: "2026-11-22T12:10:00Z".parse().unwrap(), ..well() },
                "last renewed its Lease 600 s ago",
                "kubectl logs",
            ),
            (
                "the first version's",
                Seen { old_pods: Asked::Known(vec![json!({"metadata": {"name": "old"}})]), ..well() },
                "pod old of its controller still runs",
                "kubectl delete deployment",
            ),
        ];
        for (why, seen, part, remedy) in cases {
            let found = judge(&seen).into_iter().find(|finding| finding.status == Status::Failed);
            let found = found.unwrap_or_else(|| panic!("{why}: nothing failed"));
            assert!(found.message.contains(part), "{why}: {}", found.message);
            assert!(found.remedy.as_ref().unwrap().starts_with(remedy), "{why}: {:?}", found.remedy);
        }
        let found = judge(&Seen { deployment: Asked::Missing, elsewhere: true, ..well() });
        assert_eq!(found[0].status, Status::Ok);
        let found = judge(&Seen { lease: Asked::Denied("get on leases".into()), ..well() });
        assert_eq!((found[1].status, found[1].missing.as_deref()), (Status::Unknown, Some("get on leases")));
    }
}

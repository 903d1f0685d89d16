//! Argo Workflows: is it there, does it run, and will it take the Workflows of this namespace.

use aegis_crds::names::{ARGO_PHASE_LABEL, MANAGED_BY, MANAGED_BY_LABEL, RELEASED_LABEL};
use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use serde_json::Value;

use super::ask::{Asked, Place};
use super::finding::Finding;
use super::world::World;

const FAMILY: &str = "argo";
/// Its controller's pods, as its own manifests and the Helm chart label them.
const PODS: &str = "app=workflow-controller";
/// The check of the account that procedures run as.
pub(super) const ACCOUNT: &str = "ServiceAccount";
const INSTANCE_LABEL: &str = "workflows.argoproj.io/controller-instanceid";
const INSTALL: &str = "kubectl create namespace argo; kubectl apply -n argo --server-side -f \
                       https://github.com/argoproj/argo-workflows/releases/download/v3.7.4/install.yaml";

/// A Workflow that nobody has picked up for so long waits in vain, as the controller has it.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// What was read.
pub(super) struct Seen {
    pub(super) namespace: String,
    pub(super) now: Timestamp,
    /// The metadata of the Workflows that Aegis made there and follows still: what it has let go of says nothing more.
    pub(super) workflows: Asked<Vec<Value>>,
    /// That of one that was taken, followed still or not, if there is one.
    pub(super) taken: Asked<Vec<Value>>,
    /// Whether the API server serves Workflows.
    pub(super) served: Asked<bool>,
    pub(super) pods: Asked<Vec<Value>>,
    /// The configuration of its controller.
    pub(super) configuration: Asked<Value>,
    /// The ServiceAccount that procedures run as.
    pub(super) account: Asked<Value>,
    pub(super) templates: Asked<Vec<Value>>,
}

/// How its controller was started.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    /// The one namespace that it watches; none for all.
    only: Option<String>,
    instance: Option<String>,
    configmap: String,
}

pub(super) async fn look(world: &World) -> Seen {
    let everywhere = Place { version: "v1", kind: "Pod", plural: "pods", namespace: None };
    let served = async {
        let list = world.client.list_api_group_resources("argoproj.io/v1alpha1").await;
        let served = list.map(|list| list.resources.iter().any(|resource| resource.kind == "Workflow"));
        match Asked::of(served, "get on the API's discovery") {
            Asked::Missing => Asked::Known(false),
            served => served,
        }
    };
    let accounts = world.place("v1", "ServiceAccount", "serviceaccounts");
    let templates = world.place("aegis.io/v1alpha1", "AegisOpsTemplate", "aegisopstemplates");
    let workflows = world.place("argoproj.io/v1alpha1", "Workflow", "workflows");
    let ours = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
    let followed = ListParams::default().labels(&format!("{ours},!{RELEASED_LABEL}"));
    let one_taken = ListParams::default().labels(&format!("{ours},{ARGO_PHASE_LABEL}")).limit(1);
    let (served, pods, account, templates, workflows, taken) = futures::join!(
        served,
        everywhere.list(&world.client, PODS),
        accounts.get(&world.client, "aegis-workflow"),
        templates.list(&world.client, ""),
        workflows.list_metadata(&world.client, &followed),
        workflows.list_metadata(&world.client, &one_taken),
    );
    let configuration = match pods.known().and_then(|pods| pods.first()) {
        None => Asked::Missing,
        Some(pod) => {
            let mut maps = world.place("v1", "ConfigMap", "configmaps");
            let namespace = text(pod, "/metadata/namespace").to_owned();
            maps.namespace = Some(&namespace);
            maps.get(&world.client, &arguments(pod).configmap).await
        }
    };
    Seen {
        namespace: world.namespace.clone(),
        now: world.now,
        workflows,
        taken,
        served,
        pods,
        configuration,
        account,
        templates,
    }
}

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let templates = seen.templates.known().map(Vec::as_slice).unwrap_or_default();
    let workflows: Vec<&Value> = templates.iter().filter(|template| is_workflow(template)).collect();
    // Without it only templates that are Jobs work, which may be all that there are.
    let absent = |name: &str, message: String| {
        if workflows.is_empty() {
            Finding::warning(FAMILY, name, format!("{message}; templates that are Jobs work without it"))
        } else {
            Finding::failed(FAMILY, name, format!("{message}, and {} templates are Workflows", workflows.len()))
        }
    };
    let mut findings = Vec::new();
    match seen.served.or_unknown(FAMILY, "definitions") {
        Err(unknown) => findings.push(*unknown),
        Ok(Some(true)) => findings.push(Finding::ok(FAMILY, "definitions", "the API server knows Workflows")),
        Ok(_) => {
            findings.push(absent("definitions", "the API server knows no Workflow".to_owned()).mend(INSTALL));
            findings.push(account(seen));
            return findings;
        }
    }
    match seen.pods.or_unknown(FAMILY, "controller") {
        Err(unknown) => findings.push(*unknown),
        Ok(pods) => {
            let running = pods.into_iter().flatten().find(|pod| is_ready(pod));
            match (running, pods.into_iter().flatten().next()) {
                (Some(pod), _) => findings.extend(takes_ours(pod, seen, &workflows)),
                (None, Some(pod)) => {
                    let (name, namespace) = (text(pod, "/metadata/name"), text(pod, "/metadata/namespace"));
                    findings.push(
                        absent("controller", format!("its controller is not ready: pod {name} in {namespace}"))
                            .because(crate::install::rollout::trouble_of(pod).unwrap_or_default())
                            .mend(format!("kubectl describe pod {name} -n {namespace}")),
                    );
                }
                (None, None) if taken(seen).is_some() => findings.push(Finding::ok(
                    FAMILY,
                    "controller",
                    format!(
                        "no pod of it is to be seen, and it has taken Workflows of Aegis here, such as {}",
                        taken(seen).unwrap_or_default()
                    ),
                )),
                (None, None) => findings
                    .push(absent("controller", format!("no pod of its controller is there ({PODS})")).mend(INSTALL)),
            }
        }
    }
    findings.extend(waiting(seen));
    findings.push(account(seen));
    findings
}

/// A Workflow of Aegis that it has picked up, of those that are there.
fn taken(seen: &Seen) -> Option<&str> {
    let all = seen.taken.known().into_iter().chain(seen.workflows.known()).flatten();
    all.filter(|one| is_taken(one)).map(|one| text(one, "/metadata/name")).next()
}

fn is_taken(workflow: &Value) -> bool {
    workflow.pointer("/metadata/labels").is_some_and(|labels| labels.get(ARGO_PHASE_LABEL).is_some())
}

/// Workflows that nobody picks up, whatever the reason.
fn waiting(seen: &Seen) -> Option<Finding> {
    const NAME: &str = "pick-up";
    let workflows = match seen.workflows.or_unknown(FAMILY, NAME) {
        Err(unknown) => return Some(*unknown),
        Ok(workflows) => workflows?,
    };
    let made = |one: &Value| text(one, "/metadata/creationTimestamp").parse::<Timestamp>().ok();
    let waits = |one: &&Value| !is_taken(one) && made(one).is_some_and(|made| seen.now.duration_since(made) > PATIENCE);
    let waiting: Vec<&Value> = workflows.iter().filter(waits).collect();
    let first = text(waiting.first()?, "/metadata/name");
    Some(
        Finding::failed(
            FAMILY,
            NAME,
            format!("{} Workflows wait that nobody picks up, such as {first}", waiting.len()),
        )
        .because("its controller does not run, watches other namespaces, or takes another instance")
        .mend("kubectl logs -n argo deployment/workflow-controller --tail=50"),
    )
}

/// Whether a controller that runs takes the Workflows that Aegis makes in its namespace.
fn takes_ours(pod: &Value, seen: &Seen, workflows: &[&Value]) -> Vec<Finding> {
    let (name, home) = (text(pod, "/metadata/name"), text(pod, "/metadata/namespace"));
    let image = text(pod, "/spec/containers/0/image");
    let mut findings = vec![Finding::ok(FAMILY, "controller", format!("pod {name} in {home} is ready ({image})"))];
    let arguments = arguments(pod);
    findings.push(match &arguments.only {
        Some(only) if *only != seen.namespace => {
            Finding::failed(FAMILY, "namespace", format!("its controller watches {only} alone, and not {}", seen.namespace))
                .because("it was started with --namespaced or --managed-namespace")
                .mend(format!(
                    "kubectl edit deployment workflow-controller -n {home}: leave --namespaced out, or say --managed-namespace {}",
                    seen.namespace
                ))
        }
        _ => Finding::ok(FAMILY, "namespace", format!("its controller watches {}", seen.namespace)),
    });
    let configured = seen.configuration.known().and_then(instance_of);
    let instance = arguments.instance.or(configured);
    findings.push(match (instance, &seen.configuration) {
        (Some(instance), _) => {
            let manifest = |template: &Value| text(template, "/spec/manifest").to_owned();
            let labelled = |template: &&&Value| {
                let manifest = manifest(template);
                manifest.contains(INSTANCE_LABEL) && manifest.contains(&instance)
            };
            let without: Vec<&str> =
                workflows.iter().filter(|one| !labelled(one)).map(|one| text(one, "/metadata/name")).collect();
            if without.is_empty() {
                Finding::ok(
                    FAMILY,
                    "instance",
                    format!("its controller takes instance {instance}, and all templates are of it"),
                )
            } else {
                Finding::failed(
                    FAMILY,
                    "instance",
                    format!(
                        "its controller takes Workflows of instance {instance} alone, and templates are not of it: {}",
                        without.join(", ")
                    ),
                )
                .because("instanceID is set in its configuration")
                .mend(format!("add to metadata.labels of their manifests {INSTANCE_LABEL}: {instance}"))
            }
        }
        (None, Asked::Denied(right)) => Finding::denied(FAMILY, "instance", right),
        (None, Asked::Trouble(why)) => {
            Finding::unknown(FAMILY, "instance", "its configuration cannot be read").because(why)
        }
        (None, _) => Finding::ok(FAMILY, "instance", "its controller takes Workflows of no instance in particular"),
    });
    findings
}

fn account(seen: &Seen) -> Finding {
    const NAME: &str = ACCOUNT;
    let namespace = &seen.namespace;
    match seen.account.or_unknown(FAMILY, NAME) {
        Err(unknown) => *unknown,
        Ok(Some(_)) => Finding::ok(FAMILY, NAME, "aegis-workflow is there for procedures"),
        Ok(None) => Finding::failed(FAMILY, NAME, format!("there is no ServiceAccount aegis-workflow in {namespace}"))
            .because("procedures run as it, unless their templates name another")
            .mend(format!("kubectl aegis upgrade -n {namespace}")),
    }
}

/// The instance of an Argo configuration: a key of its own, or in the older form a document under "config".
fn instance_of(configmap: &Value) -> Option<String> {
    let data = configmap.get("data")?;
    let inner = data.get("config").and_then(Value::as_str).and_then(|text| serde_saphyr::from_str::<Value>(text).ok());
    let own = data.get("instanceID").and_then(Value::as_str).map(str::to_owned);
    let found = own.or_else(|| inner?.get("instanceID").and_then(Value::as_str).map(str::to_owned));
    found.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn arguments(pod: &Value) -> Arguments {
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .filter_map(|key| pod.pointer(&format!("/spec/containers/0/{key}"))?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let value = |flag: &str| {
        let at = words.iter().position(|word| *word == flag || word.starts_with(&format!("{flag}=")))?;
        let word = words.get(at)?;
        Some(
            word.split_once('=')
                .map_or_else(|| words.get(at + 1).copied().unwrap_or_default(), |(_, value)| value)
                .to_owned(),
        )
    };
    let namespaced = words.iter().any(|word| matches!(*word, "--namespaced" | "--namespaced=true"));
    let home = text(pod, "/metadata/namespace").to_owned();
    Arguments {
        only: value("--managed-namespace").or(namespaced.then_some(home)),
        instance: value("--instanceid"),
        configmap: value("--configmap").unwrap_or_else(|| "workflow-controller-configmap".to_owned()),
    }
}

fn is_workflow(template: &Value) -> bool {
    text(template, "/spec/manifest").lines().any(|line| line.trim_end() == "kind: Workflow")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True")
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::finding::Status;

    fn pod(words: &[&str], ready: &str) -> Value {
        json!({"metadata": {"name": "wc", "namespace": "argo"},
            "spec": {"containers": [{"image": "wc:3", "command": ["workflow-controller"], "args": words}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn template(manifest: &str) -> Value {
        json!({"metadata": {"name": "t"}, "spec": {"manifest": manifest}})
    }

    fn made(phase: Option<&str>) -> Value {
        let labels = phase.map(|phase| json!({"workflows.argoproj.io/phase": phase}));
        json!({"metadata": {"name": "w", "creationTimestamp": "2026-11-22T12:00:00Z", "labels": labels}})
    }

    fn well() -> Seen {
        Seen {
            namespace: "monitoring".into(),
            now: "2026-11-22T12:10:00Z".parse().unwrap(),
            workflows: Asked::Known(vec![]),
            taken: Asked::Known(vec![made(Some("Succeeded"))]),
            served: Asked::Known(true),
            pods: Asked::Known(vec![pod(&[], "True")]),
            configuration: Asked::Missing,
            account: Asked::Known(json!({})),
            templates: Asked::Known(vec![template("kind: Workflow\n")]),
        }
    }

    #[test]
    fn how_its_controller_was_started_is_read_in_either_form() {
        let of = |words: &[&str]| arguments(&pod(words, "True"));
        let only = |words: &[&str]| of(words).only;
        assert_eq!(only(&[]), None);
        assert_eq!(only(&["--namespaced"]).as_deref(), Some("argo"));
        assert_eq!(only(&["--namespaced", "--managed-namespace", "ops"]).as_deref(), Some("ops"));
        assert_eq!(only(&["--managed-namespace=ops"]).as_deref(), Some("ops"));
        assert_eq!(of(&["--instanceid=i", "--configmap", "c"]).instance.as_deref(), Some("i"));
        assert_eq!(instance_of(&json!({"data": {"config": "instanceID: j\n"}})).as_deref(), Some("j"));
    }

    #[test]
    fn what_keeps_a_workflow_from_running_is_told() {
        assert!(judge(&well()).iter().all(|finding| finding.status == Status::Ok), "{:?}", judge(&well()));
        let labelled = "kind: Workflow\nmetadata:\n  labels:\n    workflows.argoproj.io/controller-instanceid: i\n";
        let configured = Asked::Known(json!({"data": {"instanceID": "i"}}));
        let of_instance = |manifest: &str| Seen {
            configuration: configured.clone(),
            templates: Asked::Known(vec![template(manifest)]),
            ..well()
        };
        let no_workflow = || Asked::Known(vec![template("kind: Job\n")]);
        let cases = [
            ("not there", Seen { served: Asked::Known(false), ..well() }, Status::Failed, "1 templates are Workflows"),
            (
                "not needed",
                Seen { served: Asked::Known(false), templates: no_workflow(), ..well() },
                Status::Warning,
                "Jobs work without it",
            ),
            (
                "no pod",
                Seen { pods: Asked::Known(vec![]), taken: Asked::Known(vec![]), ..well() },
                Status::Failed,
                "no pod of its controller",
            ),
            (
                "not a pod",
                Seen { pods: Asked::Known(vec![]), ..well() },
                Status::Ok,
                "has taken Workflows of Aegis here, such as w",
            ),
            (
                "nobody takes them",
                Seen { workflows: Asked::Known(vec![made(None)]), ..well() },
                Status::Failed,
                "1 Workflows wait that nobody picks up, such as w",
            ),
            (
                "not ready",
                Seen { pods: Asked::Known(vec![pod(&[], "False")]), ..well() },
                Status::Failed,
                "not ready: pod wc",
            ),
            (
                "may not look",
                Seen { pods: Asked::Denied("list on pods".into()), ..well() },
                Status::Unknown,
                "list on pods",
            ),
            (
                "elsewhere",
                Seen { pods: Asked::Known(vec![pod(&["--namespaced"], "True")]), ..well() },
                Status::Failed,
                "watches argo alone",
            ),
            ("another instance", of_instance("kind: Workflow\n"), Status::Failed, "not of it: t"),
            ("that instance", of_instance(labelled), Status::Ok, "all templates are of it"),
            (
                "no account",
                Seen { account: Asked::Missing, ..well() },
                Status::Failed,
                "no ServiceAccount aegis-workflow",
            ),
        ];
        for (why, seen, status, part) in cases {
            let found = judge(&seen);
            assert!(found.iter().any(|one| one.status == status && one.message.contains(part)), "{why}: {found:?}");
        }
    }
}

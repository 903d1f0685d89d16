//! What built-in kinds do beyond what every kind does.

use anyhow::ensure;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{names_field, refused, same, text};

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1"]}]},
    })
}

async fn make_pod(cluster: &Cluster, pod: &Value) -> Result<Value, kube::Error> {
    cluster.post(&cluster.core("pods"), pod).await
}

pub(super) async fn pods_get_their_defaults(cluster: &Cluster) -> anyhow::Result<()> {
    let mut asked = pod("a");
    asked["status"] = json!({"phase": "Running"});
    let made = make_pod(cluster, &asked).await?;
    for (pointer, want) in [
        ("/status/phase", json!("Pending")),
        ("/spec/restartPolicy", json!("Always")),
        ("/spec/dnsPolicy", json!("ClusterFirst")),
        ("/spec/terminationGracePeriodSeconds", json!(30)),
        ("/spec/serviceAccountName", json!("default")),
        ("/spec/containers/0/imagePullPolicy", json!("Always")),
        ("/spec/containers/0/terminationMessagePath", json!("/dev/termination-log")),
    ] {
        same(pointer, made.pointer(pointer), Some(&want))?;
    }
    Ok(())
}

pub(super) async fn a_pod_needs_a_container(cluster: &Cluster) -> anyhow::Result<()> {
    let bare = json!({"metadata": {"name": "a"}, "spec": {"containers": []}});
    names_field(&refused(make_pod(cluster, &bare).await, 422, "Invalid")?, "spec.containers")?;
    let nameless = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"image": "i"}]}});
    names_field(&refused(make_pod(cluster, &nameless).await, 422, "Invalid")?, "spec.containers[0].name")?;
    let mut odd = pod("a");
    odd["spec"]["restartPolicy"] = "Sometimes".into();
    names_field(&refused(make_pod(cluster, &odd).await, 422, "Invalid")?, "spec.restartPolicy")?;
    let mut typed = pod("a");
    typed["spec"]["containers"][0]["command"] = "sleep 1".into();
    refused(make_pod(cluster, &typed).await, 400, "BadRequest")?;
    Ok(())
}

pub(super) async fn a_pod_may_not_change_its_command(cluster: &Cluster) -> anyhow::Result<()> {
    let mut asked = pod("a");
    // Nobody else is to write it meanwhile.
    asked["spec"]["schedulerName"] = "nobody".into();
    let made = make_pod(cluster, &asked).await?;
    let path = cluster.core("pods/a");
    let mut command = made.clone();
    command["spec"]["containers"][0]["command"] = json!(["sleep", "2"]);
    names_field(&refused(cluster.put(&path, &command).await, 422, "Invalid")?, "spec")?;
    let mut image = made;
    image["spec"]["containers"][0]["image"] = "busybox:2".into();
    cluster.put(&path, &image).await?;
    Ok(())
}

pub(super) async fn a_pod_is_bound_once(cluster: &Cluster) -> anyhow::Result<()> {
    let mut asked = pod("a");
    // No scheduler of the cluster takes it.
    asked["spec"]["schedulerName"] = "nobody".into();
    make_pod(cluster, &asked).await?;
    let binding = json!({"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "some-node"}});
    cluster.post(&cluster.core("pods/a/binding"), &binding).await?;
    let bound = cluster.get(&cluster.core("pods/a")).await?;
    same("node", text(&bound, "/spec/nodeName"), "some-node")?;
    let again = json!({"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "other-node"}});
    refused(cluster.post(&cluster.core("pods/a/binding"), &again).await, 409, "Conflict")?;
    Ok(())
}

pub(super) async fn an_unscheduled_pod_is_deleted_at_once(cluster: &Cluster) -> anyhow::Result<()> {
    let mut asked = pod("a");
    asked["spec"]["schedulerName"] = "nobody".into();
    make_pod(cluster, &asked).await?;
    let answer = cluster.delete(&cluster.core("pods/a"), &json!({})).await?;
    same("kind", text(&answer, "/kind"), "Pod")?;
    refused(cluster.get(&cluster.core("pods/a")).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn a_pod_on_a_node_ends_gracefully(cluster: &Cluster) -> anyhow::Result<()> {
    // The node has to be there: a cluster deletes pods of nodes that are not.
    let node = format!("node-{}", cluster.namespace);
    cluster.post("/api/v1/nodes", &json!({"metadata": {"name": node}})).await?;
    let mut asked = pod("a");
    asked["spec"]["nodeName"] = node.as_str().into();
    make_pod(cluster, &asked).await?;
    let path = cluster.core("pods/a");
    let marked = cluster.delete(&path, &json!({})).await?;
    let read = cluster.get(&path).await;
    let ended = cluster.delete(&path, &json!({"gracePeriodSeconds": 0})).await;
    cluster.delete(&format!("/api/v1/nodes/{node}"), &json!({})).await?;
    same("grace", &marked["metadata"]["deletionGracePeriodSeconds"], &json!(30))?;
    ensure!(!text(&read?, "/metadata/deletionTimestamp").is_empty(), "no deletionTimestamp");
    ended?;
    refused(cluster.get(&path).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn a_pod_can_be_evicted(cluster: &Cluster) -> anyhow::Result<()> {
    let mut asked = pod("a");
    asked["spec"]["schedulerName"] = "nobody".into();
    make_pod(cluster, &asked).await?;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    let answer = cluster.post(&cluster.core("pods/a/eviction"), &eviction).await?;
    same("status", text(&answer, "/status"), "Success")?;
    refused(cluster.get(&cluster.core("pods/a")).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn a_pod_needs_its_service_account(cluster: &Cluster) -> anyhow::Result<()> {
    let mut asked = pod("a");
    asked["spec"]["serviceAccountName"] = "nobody".into();
    let status = refused(make_pod(cluster, &asked).await, 403, "Forbidden")?;
    ensure!(status.message.contains("serviceaccount \"nobody\" not found"), "{}", status.message);
    Ok(())
}

fn job(name: &str, policy: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "suspend": true,
            "template": {"spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "busybox"}]}},
        },
    })
}

fn jobs(cluster: &Cluster) -> String {
    format!("/apis/batch/v1/namespaces/{}/jobs", cluster.namespace)
}

pub(super) async fn jobs_get_a_selector_and_labels(cluster: &Cluster) -> anyhow::Result<()> {
    let made = cluster.post(&jobs(cluster), &job("a", "Never")).await?;
    let uid = text(&made, "/metadata/uid");
    let labels = &made["spec"]["template"]["metadata"]["labels"];
    same("label", &labels["batch.kubernetes.io/controller-uid"], &json!(uid))?;
    same("label", &labels["batch.kubernetes.io/job-name"], &json!("a"))?;
    same("selector", &made["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"], &json!(uid))?;
    same("backoffLimit", &made["spec"]["backoffLimit"], &json!(6))?;
    same("completions", &made["spec"]["completions"], &json!(1))?;
    same("generation", &made["metadata"]["generation"], &json!(1))
}

pub(super) async fn a_job_must_end(cluster: &Cluster) -> anyhow::Result<()> {
    let status = refused(cluster.post(&jobs(cluster), &job("a", "Always")).await, 422, "Invalid")?;
    names_field(&status, "spec.template.spec.restartPolicy")
}

pub(super) async fn a_job_keeps_its_template(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.post(&jobs(cluster), &job("a", "Never")).await?;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}});
    let changed = cluster.patch(&format!("{}/a", jobs(cluster)), "strategic-merge-patch+json", &patch).await;
    names_field(&refused(changed, 422, "Invalid")?, "spec.template")
}

pub(super) async fn string_data_becomes_data(cluster: &Cluster) -> anyhow::Result<()> {
    let secret = json!({"metadata": {"name": "a"}, "stringData": {"k": "hello"}, "data": {"d": "aGk="}});
    let made = cluster.post(&cluster.core("secrets"), &secret).await?;
    same("data", &made["data"], &json!({"k": "aGVsbG8=", "d": "aGk="}))?;
    same("type", text(&made, "/type"), "Opaque")?;
    ensure!(made.get("stringData").is_none(), "stringData was kept");
    let bad = json!({"metadata": {"name": "b"}, "data": {"d": "not base64"}});
    refused(cluster.post(&cluster.core("secrets"), &bad).await, 400, "BadRequest")?;
    Ok(())
}

pub(super) async fn an_immutable_config_map_stays_as_it_is(cluster: &Cluster) -> anyhow::Result<()> {
    let object = json!({"metadata": {"name": "a"}, "immutable": true, "data": {"k": "v"}});
    cluster.post(&cluster.core("configmaps"), &object).await?;
    let path = cluster.core("configmaps/a");
    let changed = cluster.patch(&path, "merge-patch+json", &json!({"data": {"k": "w"}})).await;
    names_field(&refused(changed, 422, "Invalid")?, "data")?;
    cluster.patch(&path, "merge-patch+json", &json!({"metadata": {"labels": {"l": "1"}}})).await?;
    Ok(())
}

pub(super) async fn a_node_can_be_cordoned(cluster: &Cluster) -> anyhow::Result<()> {
    let name = format!("node-{}", cluster.namespace);
    cluster.post("/api/v1/nodes", &json!({"metadata": {"name": name}})).await?;
    let path = format!("/api/v1/nodes/{name}");
    let strategic = "strategic-merge-patch+json";
    let on = cluster.patch(&path, strategic, &json!({"spec": {"unschedulable": true}})).await;
    let off = cluster.patch(&path, strategic, &json!({"spec": {"unschedulable": null}})).await;
    cluster.delete(&path, &json!({})).await?;
    same("cordoned", &on?["spec"]["unschedulable"], &json!(true))?;
    ensure!(off?["spec"].get("unschedulable").is_none(), "still cordoned");
    Ok(())
}

pub(super) async fn a_namespace_is_active_and_labelled_with_its_name(cluster: &Cluster) -> anyhow::Result<()> {
    let found = cluster.get(&format!("/api/v1/namespaces/{}", cluster.namespace)).await?;
    same("phase", text(&found, "/status/phase"), "Active")?;
    same("label", &found["metadata"]["labels"]["kubernetes.io/metadata.name"], &json!(cluster.namespace))?;
    same("finalizers", &found["spec"]["finalizers"], &json!(["kubernetes"]))
}

fn event(cluster: &Cluster, name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "involvedObject": {"kind": "Widget", "namespace": cluster.namespace, "name": "w", "uid": "u"},
        "reason": "Tested", "message": "told", "type": "Normal", "count": 2,
        "source": {"component": "contract"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z",
    })
}

pub(super) async fn an_event_is_served_by_both_groups(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.post(&cluster.core("events"), &event(cluster, "old")).await?;
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", cluster.namespace);
    let read = cluster.get(&format!("{path}/old")).await?;
    same("apiVersion", text(&read, "/apiVersion"), "events.k8s.io/v1")?;
    same("note", text(&read, "/note"), "told")?;
    same("regarding", text(&read, "/regarding/name"), "w")?;
    same("count", &read["deprecatedCount"], &json!(2))?;
    let new = json!({
        "metadata": {"name": "new"}, "regarding": {"kind": "Widget", "namespace": cluster.namespace, "name": "w"},
        "reason": "Tested", "note": "noted", "type": "Warning", "action": "Testing",
        "reportingController": "aegis.test/contract", "reportingInstance": "one",
        "eventTime": "2026-01-01T00:00:00.123456Z",
    });
    cluster.post(&path, &new).await?;
    let read = cluster.get(&cluster.core("events/new")).await?;
    same("message", text(&read, "/message"), "noted")?;
    same("component", text(&read, "/reportingComponent"), "aegis.test/contract")
}

pub(super) async fn an_event_stands_where_its_object_stands(cluster: &Cluster) -> anyhow::Result<()> {
    let mut astray = event(cluster, "a");
    astray["involvedObject"]["namespace"] = "default".into();
    let status = refused(cluster.post(&cluster.core("events"), &astray).await, 422, "Invalid")?;
    names_field(&status, "involvedObject.namespace")
}

pub(super) async fn events_are_selected_by_their_object(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.post(&cluster.core("events"), &event(cluster, "a")).await?;
    let mut other = event(cluster, "b");
    other["involvedObject"]["name"] = "other".into();
    cluster.post(&cluster.core("events"), &other).await?;
    let query = "events?fieldSelector=involvedObject.name%3Dw,involvedObject.kind%3DWidget,type%3DNormal";
    let list = cluster.get(&cluster.core(query)).await?;
    let names: Vec<&str> =
        list["items"].as_array().into_iter().flatten().map(|item| text(item, "/metadata/name")).collect();
    same("names", names, vec!["a"])
}

fn leases(cluster: &Cluster) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", cluster.namespace)
}

pub(super) async fn a_lease_changes_hands_by_resource_version(cluster: &Cluster) -> anyhow::Result<()> {
    let lease = json!({
        "metadata": {"name": "a"},
        "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000001Z"},
    });
    let made = cluster.post(&leases(cluster), &lease).await?;
    same("renewTime", text(&made, "/spec/renewTime"), "2026-01-01T00:00:00.000001Z")?;
    let path = format!("{}/a", leases(cluster));
    let mut two = made.clone();
    two["spec"]["holderIdentity"] = "two".into();
    cluster.put(&path, &two).await?;
    let mut three = made;
    three["spec"]["holderIdentity"] = "three".into();
    refused(cluster.put(&path, &three).await, 409, "Conflict")?;
    same("holder", text(&cluster.get(&path).await?, "/spec/holderIdentity"), "two")
}

pub(super) async fn a_lease_needs_a_positive_duration(cluster: &Cluster) -> anyhow::Result<()> {
    let lease = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "one", "leaseDurationSeconds": 0}});
    let status = refused(cluster.post(&leases(cluster), &lease).await, 422, "Invalid")?;
    names_field(&status, "spec.leaseDurationSeconds")
}

pub(super) async fn everybody_may_ask_what_is_allowed(cluster: &Cluster) -> anyhow::Result<()> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": cluster.namespace}},
    });
    let answer = cluster.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
    same("allowed", &answer["status"]["allowed"], &json!(true))
}

pub(super) async fn roles_may_have_colons_in_their_names(cluster: &Cluster) -> anyhow::Result<()> {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", cluster.namespace);
    let role = json!({
        "metadata": {"name": "aegis:reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    });
    cluster.post(&path, &role).await?;
    let read = cluster.get(&format!("{path}/aegis%3Areader")).await?;
    same("name", text(&read, "/metadata/name"), "aegis:reader")
}

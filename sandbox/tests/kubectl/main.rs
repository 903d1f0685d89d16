//! The everyday verbs of a real kubectl against the sandbox.
//!
//! Without a kubectl on PATH each test says "skipped: no kubectl"; with AEGIS_REQUIRE_TOOLS set that is a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bench;

use aegis_sandbox::Options;
use bench::{Bench, PATIENCE, line, table, words};
use serde_json::json;

fn options() -> Options {
    Options { nodes: vec!["dev1".into()], ..Options::default() }
}

macro_rules! bench {
    () => {
        match Bench::new(options()).await {
            Some(bench) => bench,
            None => return,
        }
    };
}

const WIDGETS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Color, type: string, jsonPath: .spec.color}
    - {name: Phase, type: string, jsonPath: .status.phase}
    - {name: Size, type: integer, jsonPath: .spec.size, priority: 1}
    schema:
      openAPIV3Schema:
        type: object
        description: A widget for the tests.
        properties:
          spec:
            type: object
            properties:
              color: {type: string, enum: [red, green], description: What it looks like.}
              size: {type: integer}
          status:
            type: object
            properties: {phase: {type: string}}
";

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: web}}
spec:
  containers:
  - {name: c, image: 'busybox:1', command: [sleep, '60']}
";

#[tokio::test]
async fn manifests_are_created_read_and_deleted() {
    let bench = bench!();
    assert_eq!(bench.fed("create -f -", POD).await, "pod/p created\n");
    let again = bench.fails("create -f -", POD).await;
    assert!(again.contains("Error from server (AlreadyExists)"), "{again}");
    assert_eq!(bench.json("get pod p").await["spec"]["containers"][0]["image"], "busybox:1");
    assert_eq!(bench.run("get pods -l app=web -o name").await, "pod/p\n");
    assert_eq!(bench.run("get pods -o jsonpath={.items[*].status.phase}").await, "Pending");
    assert_eq!(bench.run("get pods -l app=db").await, "");
    assert_eq!(bench.run("get pods --field-selector status.phase=Pending -o name").await, "pod/p\n");
    let all = table(&bench.run("get all -A").await);
    assert!(all.iter().any(|line| line.starts_with("default pod/p 0/1 Pending 0")), "{all:?}");
    assert_eq!(bench.run("delete pod p").await.lines().next(), Some("pod \"p\" deleted"));
    let gone = bench.fails("get pod p", "").await;
    assert_eq!(gone, "Error from server (NotFound): pods \"p\" not found\n");
}

#[tokio::test]
async fn objects_are_created_from_the_command_line() {
    let bench = bench!();
    for (arguments, said) in [
        ("create namespace team", "namespace/team created\n"),
        ("create configmap c --from-literal=key=value", "configmap/c created\n"),
        ("create secret generic s --from-literal=key=value", "secret/s created\n"),
        ("create serviceaccount a", "serviceaccount/a created\n"),
        ("create role r --verb=get --resource=pods", "role.rbac.authorization.k8s.io/r created\n"),
        (
            "create rolebinding b --role=r --serviceaccount=default:a",
            "rolebinding.rbac.authorization.k8s.io/b created\n",
        ),
        ("create deployment d --image=busybox --replicas=0", "deployment.apps/d created\n"),
        ("create job j --image=busybox -- echo hello", "job.batch/j created\n"),
        ("create cronjob t --image=busybox --schedule='* * * * *'", "cronjob.batch/t created\n"),
        ("create service clusterip v --tcp=80:8080", "service/v created\n"),
        ("create quota q --hard=pods=2", "resourcequota/q created\n"),
        ("create priorityclass high --value=10", "priorityclass.scheduling.k8s.io/high created\n"),
        ("run x --image=busybox --restart=Never", "pod/x created\n"),
    ] {
        assert_eq!(bench.run(arguments).await, said, "{arguments}");
    }
    assert_eq!(bench.json("get configmap c").await["data"], json!({"key": "value"}));
    assert_eq!(bench.json("get secret s").await["data"], json!({"key": "dmFsdWU="}));
    let deployment = bench.json("get deployment d").await;
    assert_eq!(deployment["spec"]["replicas"], 0);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "busybox");
    let job = bench.json("get job j").await;
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["command"], json!(["echo", "hello"]));
    let service = bench.json("get service v").await;
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
    assert_eq!(bench.json("get quota q").await["spec"]["hard"], json!({"pods": "2"}));
    assert_eq!(bench.json("get role r").await["rules"][0]["verbs"], json!(["get"]));
    assert!(!bench.run("create token a").await.trim().is_empty());
    assert_eq!(bench.run("auth can-i create pods").await, "yes\n");
}

#[tokio::test]
async fn apply_creates_changes_and_leaves_alone() {
    let bench = bench!();
    bench.fed("apply -f -", WIDGETS).await;
    bench.run("wait --for=condition=established crd/widgets.example.com").await;
    let widget =
        |spec: &str| format!("apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: w}}\nspec: {spec}\n");
    for manifests in [
        [widget("{color: red, size: 1}"), widget("{color: green}")],
        [POD.to_owned(), POD.replace("busybox:1", "busybox:2")],
    ] {
        assert!(bench.fed("apply -f -", &manifests[0]).await.ends_with(" created\n"));
        assert!(bench.fed("apply -f -", &manifests[0]).await.ends_with(" unchanged\n"));
        assert!(bench.fed("apply -f -", &manifests[1]).await.ends_with(" configured\n"));
    }
    let spec = bench.json("get widget w").await["spec"].clone();
    assert_eq!(spec, json!({"color": "green"}), "what a manifest no longer names goes");
    assert_eq!(bench.json("get pod p").await["spec"]["containers"][0]["image"], "busybox:2");
    let said = bench.fed("apply --dry-run=server -f -", &widget("{color: red}")).await;
    assert_eq!(said, "widget.example.com/w configured (server dry run)\n");
    assert_eq!(bench.json("get widget w").await["spec"], json!({"color": "green"}));
}

#[tokio::test]
async fn server_side_apply_tells_of_conflicts_and_can_be_forced() {
    let bench = bench!();
    let map = |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{key: {value}}}\n");
    let one = bench.fed("apply --server-side --field-manager=one -f -", &map("a")).await;
    assert_eq!(one, "configmap/c serverside-applied\n");
    let conflict = bench.fails("apply --server-side --field-manager=two -f -", &map("b")).await;
    assert!(conflict.contains("conflict with \"one\": .data.key"), "{conflict}");
    bench.fed("apply --server-side --field-manager=two --force-conflicts -f -", &map("b")).await;
    assert_eq!(bench.json("get configmap c").await["data"]["key"], "b");
}

#[tokio::test]
async fn patches_of_all_kinds_are_taken() {
    let bench = bench!();
    bench.fed("create -f -", POD).await;
    assert_eq!(bench.run("patch pod p -p '{\"metadata\":{\"labels\":{\"a\":\"1\"}}}'").await, "pod/p patched\n");
    let again = bench.run("patch pod p -p '{\"metadata\":{\"labels\":{\"a\":\"1\"}}}'").await;
    assert_eq!(again, "pod/p patched (no change)\n");
    bench.run("patch pod p --type=merge -p '{\"metadata\":{\"labels\":{\"b\":\"2\"}}}'").await;
    bench.run("patch pod p --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/labels/app\"}]'").await;
    assert_eq!(bench.json("get pod p").await["metadata"]["labels"], json!({"a": "1", "b": "2"}));
    bench.run("set image pod/p c=busybox:9").await;
    assert_eq!(bench.json("get pod p").await["spec"]["containers"][0]["image"], "busybox:9");
    let refused = bench.fails("patch pod p -p '{\"spec\":{\"restartPolicy\":\"Never\"}}'", "").await;
    assert!(refused.contains("pod updates may not change fields"), "{refused}");
    let status = "patch node dev1 --subresource=status --type=merge -p '{\"status\":{\"phase\":\"Running\"}}'";
    assert_eq!(bench.run(status).await, "node/dev1 patched\n");
}

#[tokio::test]
async fn a_watch_prints_each_change_as_it_comes() {
    let bench = bench!();
    bench.fed("create -f -", WIDGETS).await;
    let (mut child, mut lines) = bench.spawn("get widgets --watch");
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {color: red}\n";
    bench.fed("create -f -", widget).await;
    assert_eq!(words(&line(&mut lines).await), "NAME COLOR PHASE");
    assert_eq!(words(&line(&mut lines).await), "w red");
    for phase in ["Pending", "Running", "Succeeded"] {
        let patch = format!("{{\"status\":{{\"phase\":\"{phase}\"}}}}");
        bench.run(&format!("patch widget w --subresource=status --type=merge -p '{patch}'")).await;
        assert_eq!(words(&line(&mut lines).await), format!("w red {phase}"));
    }
    child.kill().await.unwrap();
    assert_eq!(table(&bench.run("get wd -o wide").await), ["NAME COLOR PHASE SIZE", "w red Succeeded"]);
    let (mut child, mut lines) = bench.spawn("get widgets w -w -o jsonpath='{.status.phase}{\"\\n\"}'");
    assert_eq!(line(&mut lines).await, "Succeeded");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn objects_can_be_described() {
    let bench = bench!();
    bench.fed("create -f -", POD).await;
    let uid = bench.json("get pod p").await["metadata"]["uid"].clone();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "p", "uid": uid}, "reason": "Scheduled",
        "message": "placed by hand", "type": "Normal", "count": 1, "source": {"component": "test"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    bench.fed("create -f -", &event.to_string()).await;
    let pod = bench.run("describe pod p").await;
    for expected in ["Name:             p", "busybox:1", "placed by hand", "QoS Class:"] {
        assert!(pod.contains(expected), "{expected} is not in {pod}");
    }
    let node = bench.run("describe node dev1").await;
    for expected in ["KubeletReady", "Unschedulable:      false", "Aegis sandbox"] {
        assert!(node.contains(expected), "{expected} is not in {node}");
    }
    bench.fed("create -f -", WIDGETS).await;
    bench
        .fed("create -f -", "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {color: red}}")
        .await;
    assert!(bench.run("describe widget w").await.contains("Color:  red"));
    assert!(bench.run("describe namespace default").await.contains("Status:       Active"));
    let events = table(&bench.run("get events").await);
    assert!(events[1].ends_with("Normal Scheduled pod/p placed by hand"), "{events:?}");
    assert!(bench.run("events --for pod/p").await.contains("placed by hand"));
}

#[tokio::test]
async fn labels_and_annotations_come_and_go() {
    let bench = bench!();
    bench.fed("create -f -", POD).await;
    assert_eq!(bench.run("label pod p tier=front").await, "pod/p labeled\n");
    assert!(bench.fails("label pod p tier=back", "").await.contains("already has a value"));
    bench.run("label pod p tier=back --overwrite").await;
    assert_eq!(bench.run("get pods -l tier=back -o name").await, "pod/p\n");
    assert_eq!(bench.run("label pod p tier-").await, "pod/p unlabeled\n");
    bench.run("annotate pod p note='two words'").await;
    assert_eq!(bench.json("get pod p").await["metadata"]["annotations"]["note"], "two words");
    bench.run("label nodes --all zone=a").await;
    assert_eq!(bench.run("get nodes -l zone -o name").await, "node/dev1\n");
    let bad = bench.fails("label pod p 'bad label'=x", "").await;
    assert!(bad.contains("metadata.labels: Invalid value: \"bad label\""), "{bad}");
}

#[tokio::test]
async fn nodes_are_cordoned_tainted_and_drained() {
    let bench = bench!();
    let status = async || table(&bench.run("get node dev1").await)[1].split(' ').nth(1).unwrap().to_owned();
    assert_eq!(bench.run("cordon dev1").await, "node/dev1 cordoned\n");
    assert_eq!(status().await, "Ready,SchedulingDisabled");
    assert_eq!(bench.run("cordon dev1").await, "node/dev1 already cordoned\n");
    assert_eq!(bench.run("uncordon dev1").await, "node/dev1 uncordoned\n");
    assert_eq!(status().await, "Ready");
    bench.run("taint node dev1 gpu=broken:NoSchedule").await;
    let taints = bench.json("get node dev1").await["spec"]["taints"].clone();
    assert_eq!(taints, json!([{"key": "gpu", "value": "broken", "effect": "NoSchedule"}]));
    bench.run("taint node dev1 gpu-").await;
    assert!(bench.json("get node dev1").await["spec"].get("taints").is_none());
    // A pod that has ended needs no kubelet to go.
    let ended = POD.replace("spec:", "spec:\n  nodeName: dev1");
    bench.fed("create -f -", &ended).await;
    bench.run("patch pod p --subresource=status --type=merge -p '{\"status\":{\"phase\":\"Succeeded\"}}'").await;
    let drained = bench.run("drain dev1 --force").await;
    assert!(drained.contains("evicting pod default/p") && drained.contains("node/dev1 drained"), "{drained}");
    bench.fails("get pod p", "").await;
}

#[tokio::test]
async fn a_delete_waits_for_finalizers_and_takes_dependents_along() {
    let bench = bench!();
    let held = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, finalizers: [example.com/hold]}}";
    bench.fed("create -f -", held).await;
    let (mut child, mut lines) = bench.spawn("delete configmap c");
    assert!(line(&mut lines).await.starts_with("configmap \"c\" deleted"));
    assert!(child.try_wait().unwrap().is_none(), "kubectl did not wait");
    bench.run("patch configmap c --type=merge -p '{\"metadata\":{\"finalizers\":null}}'").await;
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success());
    bench.run("create namespace team").await;
    bench.run("create configmap c -n team").await;
    bench.run("delete namespace team").await;
    bench.fails("get namespace team", "").await;
    bench.run("create configmap one").await;
    bench.run("create configmap two").await;
    bench.run("label configmap one two pair=yes").await;
    assert_eq!(bench.run("delete configmap -l pair=yes").await.lines().count(), 2);
}

#[tokio::test]
async fn what_is_served_is_listed_and_explained() {
    let bench = bench!();
    bench.fed("create -f -", WIDGETS).await;
    let resources = table(&bench.run("api-resources").await);
    for expected in [
        "nodes no v1 false Node",
        "widgets wd example.com/v1 true Widget",
        "workflows wf argoproj.io/v1alpha1 true Workflow",
    ] {
        assert!(resources.iter().any(|line| line == expected), "{expected} is not in {resources:?}");
    }
    assert!(bench.run("api-versions").await.lines().any(|line| line == "example.com/v1"));
    let widget = bench.run("explain widget.spec.color").await;
    assert!(widget.contains("What it looks like.") && widget.contains("red"), "{widget}");
    let pod = bench.run("explain pod.spec.containers.image").await;
    assert!(pod.contains("FIELD: image <string>"), "{pod}");
    assert!(bench.run("version").await.contains("Server Version: v1."));
    assert_eq!(bench.run("get --raw /readyz").await, "ok");
    assert!(bench.run("cluster-info").await.contains(&bench.sandbox.url()));
}

#[tokio::test]
async fn logs_are_printed_and_followed() {
    let bench = bench!();
    bench.fed("create -f -", POD).await;
    let waiting = bench.fails("logs p", "").await;
    assert!(waiting.contains("is waiting to start"), "{waiting}");
    let logs = bench.sandbox.logs();
    logs.append("default", "p", "c", "one\ntwo\n");
    assert_eq!(bench.run("logs p").await, "one\ntwo\n");
    assert_eq!(bench.run("logs p --tail=1").await, "two\n");
    assert_eq!(bench.run("logs -l app=web").await, "one\ntwo\n");
    let (mut child, mut lines) = bench.spawn("logs -f p -c c");
    assert_eq!(line(&mut lines).await, "one");
    assert_eq!(line(&mut lines).await, "two");
    logs.append("default", "p", "c", "three\nlast");
    assert_eq!(line(&mut lines).await, "three");
    bench.run("patch pod p --subresource=status --type=merge -p '{\"status\":{\"phase\":\"Succeeded\"}}'").await;
    assert_eq!(line(&mut lines).await, "last");
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success());
    let wrong = bench.fails("logs p -c other", "").await;
    assert!(wrong.contains("container other is not valid for pod p"), "{wrong}");
}

#[tokio::test]
async fn one_can_wait_for_what_happens() {
    let bench = bench!();
    bench.fed("create -f -", POD).await;
    let (mut child, mut lines) = bench.spawn("wait --for=condition=Ready pod/p --timeout=60s");
    bench.watches(true).await;
    let ready = "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}";
    bench.run(&format!("patch pod p --subresource=status -p '{ready}'")).await;
    assert_eq!(line(&mut lines).await, "pod/p condition met");
    assert!(child.wait().await.unwrap().success());
    bench.run("wait --for=jsonpath={.status.phase}=Pending pod/p --timeout=60s").await;
    bench.watches(false).await;
    let (mut child, mut lines) = bench.spawn("wait --for=delete pod/p --timeout=60s");
    bench.watches(true).await;
    bench.run("delete pod p").await;
    assert_eq!(line(&mut lines).await, "pod/p condition met");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn mistakes_are_explained() {
    let bench = bench!();
    bench.fed("create -f -", WIDGETS).await;
    let widget =
        |spec: &str| format!("apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: w}}\nspec: {spec}\n");
    let unknown = bench.fails("create -f -", &widget("{colour: red}")).await;
    assert!(unknown.contains("strict decoding error: unknown field \"spec.colour\""), "{unknown}");
    let warned = bench.feed("create --validate=warn -f -", &widget("{colour: red}")).await;
    assert!(warned.ok && warned.err.contains("Warning: unknown field \"spec.colour\""), "{warned:?}");
    let wrong = bench.fails("apply -f -", &widget("{color: pink}")).await;
    assert!(wrong.contains("spec.color: Unsupported value: \"pink\": supported values: \"red\", \"green\""), "{wrong}");
    let missing = bench.fails("get nonsense", "").await;
    assert!(missing.contains("the server doesn't have a resource type \"nonsense\""), "{missing}");
    let nowhere = bench.fails("create -f - -n nowhere", POD).await;
    assert!(nowhere.contains("namespaces \"nowhere\" not found"), "{nowhere}");
}

#[tokio::test]
async fn an_object_can_be_edited_and_replaced() {
    let bench = bench!();
    bench.run("create configmap c --from-literal=key=old").await;
    let manifest = bench.run("get configmap c -o yaml").await;
    let said = bench.fed("replace -f -", &manifest.replace("key: old", "key: newer")).await;
    assert_eq!(said, "configmap/c replaced\n");
    let stale = bench.fails("replace -f -", &manifest).await;
    assert!(stale.contains("the object has been modified"), "{stale}");
    let editor = bench.home().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nexec sed -i 's/key: newer/key: edited/' \"$1\"\n").unwrap();
    let mut command = bench.command("edit configmap c");
    command.env("KUBE_EDITOR", format!("sh {}", editor.display()));
    let edited = command.output().await.unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    assert_eq!(bench.json("get configmap c").await["data"]["key"], "edited");
}

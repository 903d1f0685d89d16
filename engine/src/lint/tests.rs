//! One row for each thing that a template may do wrong, and for what looks like it and is not.

use aegis_crds::template::AegisOpsTemplateSpec;
use serde_json::{Value, json};

use super::*;

fn findings(manifest: &str) -> Vec<Finding> {
    let spec = AegisOpsTemplateSpec { manifest: manifest.to_owned(), ..AegisOpsTemplateSpec::default() };
    template(&AegisOpsTemplate::new("t", spec))
}

fn codes(manifest: &str) -> Vec<&'static str> {
    findings(manifest).into_iter().map(|finding| finding.code.as_str()).collect()
}

/// A Workflow of one template with nothing to find in it, changed by what the merge patch says of that template.
fn workflow(patch: Value) -> String {
    let mut template = json!({
        "name": "main", "container": {"image": "aegis-sop:0.1.0", "command": ["kubectl", "cordon", "{{.node}}"]},
    });
    crate::plan::testing::merge(&mut template, &patch);
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "spec": {"entrypoint": "main", "ttlStrategy": {"secondsAfterCompletion": 60}, "templates": [template]},
    })
    .to_string()
}

fn affinity(operator: &str) -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": operator, "values": ["{{.node}}"]}]},
    ]}}})
}

fn script(text: &str) -> Value {
    json!({"container": {"command": ["sh", "-c", text]}})
}

fn both(one: &Value, other: &Value) -> Value {
    let mut both = one.clone();
    crate::plan::testing::merge(&mut both, other);
    both
}

#[test]
fn what_hurts_is_found_and_what_does_not_is_left_alone() {
    let tolerant = json!({"tolerations": [{"operator": "Exists"}]});
    let privileged = json!({"container": {"securityContext": {"privileged": true}}});
    let pinned = both(&json!({"affinity": affinity("In")}), &tolerant);
    let elsewhere = json!({"affinity": affinity("NotIn")});
    let on_host = both(&pinned, &privileged);
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("nothing", json!({}), &[]),
        ("a privileged pod anywhere", privileged.clone(), &["privileged-unpinned"]),
        ("a privileged pod on its node", on_host.clone(), &[]),
        (
            "pinned by its host name",
            both(&both(&privileged, &tolerant), &json!({"nodeSelector": {"kubernetes.io/hostname": "{{.node}}"}})),
            &[],
        ),
        (
            "pinned by a patch",
            both(&both(&privileged, &tolerant), &json!({"podSpecPatch": "{nodeName: {{.node}}}"})),
            &[],
        ),
        (
            "some label is no node",
            both(&privileged, &json!({"nodeSelector": {"pool": "gpu"}})),
            &["privileged-unpinned"],
        ),
        ("the host's processes", json!({"podSpecPatch": "hostPID: true"}), &["privileged-unpinned"]),
        ("the host's files", json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}), &["privileged-unpinned"]),
        (
            "a capability",
            json!({"container": {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}}),
            &["privileged-unpinned"],
        ),
        ("pinned, and put off by a cordon", json!({"affinity": affinity("In")}), &["untolerated-taint"]),
        ("reboots at once", both(&on_host, &script("nsenter -t 1 -m -- systemctl reboot")), &["acts-on-itself"]),
        ("reboots now", both(&on_host, &script("shutdown -r now")), &["acts-on-itself"]),
        ("reboots once it has ended", both(&on_host, &script("nsenter -t 1 -m -- shutdown -r +1")), &[]),
        ("says that it reboots", both(&on_host, &script("echo reboot")), &[]),
        ("drains what may be its own node", script("kubectl drain {{.node}} --force"), &["acts-on-itself"]),
        ("drains its own node", both(&pinned, &script("kubectl drain {{.node}}")), &["acts-on-itself"]),
        ("drains from another node", both(&elsewhere, &script("kubectl drain {{.node}}")), &[]),
        ("drains a node in a variable", script("kubectl drain \"$1\""), &["acts-on-itself"]),
        ("drains it from another node", both(&elsewhere, &script("kubectl drain \"$1\"")), &[]),
        ("drains another node", both(&pinned, &script("kubectl drain {{.other}}")), &[]),
        ("puts all pods out", script("kubectl taint node {{.node}} a=b:NoExecute"), &["acts-on-itself"]),
        ("keeps new pods out", script("kubectl taint node {{.node}} a=b:NoSchedule"), &[]),
        ("uncordons, if a node takes it", script("kubectl uncordon {{.node}}"), &["untolerated-taint"]),
        ("uncordons", both(&tolerant, &script("kubectl uncordon {{.node}}")), &[]),
        ("any version of an image", json!({"container": {"image": "busybox"}}), &["unpinned-image"]),
        ("the latest image", json!({"container": {"image": "r:5000/busybox:latest"}}), &["unpinned-image"]),
        ("no tag behind a port", json!({"container": {"image": "r:5000/busybox"}}), &["unpinned-image"]),
        ("a digest", json!({"container": {"image": "busybox@sha256:00"}}), &[]),
        ("an init container's image", json!({"initContainers": [{"image": "busybox"}]}), &["unpinned-image"]),
        ("text for a second reader", script("ssh {{.node}} 'echo {{.why}}'"), &["refused-value"]),
        ("text in a shell", script("echo {{.why}}"), &[]),
        ("a number", json!({"activeDeadlineSeconds": "{{int .seconds}}"}), &[]),
    ];
    for (why, patch, want) in cases {
        let manifest = workflow(patch).replace("\"{{int .seconds}}\"", "{{int .seconds}}");
        assert_eq!(codes(&manifest), want, "{why}: {:?}", findings(&manifest));
    }
}

#[test]
fn an_action_that_stays_for_ever_is_found() {
    let job = |ttl: Value| {
        let container = json!({"name": "main", "image": "aegis-sop:0.1.0", "command": ["true"]});
        json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {
            "ttlSecondsAfterFinished": ttl, "template": {"spec": {"containers": [container]}},
        }})
        .to_string()
    };
    assert_eq!(codes(&job(Value::Null)), ["missing-ttl"]);
    assert_eq!(codes(&job(json!(60))), [""; 0]);
    let kept = workflow(json!({})).replace("\"ttlStrategy\":{\"secondsAfterCompletion\":60},", "");
    assert_eq!(codes(&kept), ["missing-ttl"]);
    let unread = kept.replace("\"entrypoint\"", "\"ttlSecondsAfterFinished\": 60, \"entrypoint\"");
    let found = findings(&unread);
    assert!(found.len() == 1 && found[0].problem.contains("has not read ttlSecondsAfterFinished"), "{found:?}");
}

#[test]
fn settings_of_the_whole_workflow_hold_for_each_of_its_pods() {
    let mut object: Value = serde_json::from_str(&workflow(json!({
        "container": {"securityContext": {"privileged": true}},
    })))
    .unwrap();
    for (name, value) in [("affinity", affinity("In")), ("tolerations", json!([{"operator": "Exists"}]))] {
        object["spec"][name] = value;
    }
    assert_eq!(codes(&object.to_string()), [""; 0]);
}

#[test]
fn a_finding_names_the_field_and_the_remedy() {
    let found = findings(&workflow(json!({"container": {"image": "busybox"}})));
    assert_eq!(
        found[0].to_string(),
        "unpinned-image: spec.templates[0].container.image: busybox has no tag, which means latest; name a version, \
         such as aegis-sop:0.1.0, or a digest"
    );
    assert_eq!(serde_json::to_value(&found[0]).unwrap()["code"], "unpinned-image");
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
}

#[test]
fn a_template_that_cannot_be_used_is_said_to_be_so() {
    let found = findings("kind: [");
    assert!(found.len() == 1 && found[0].code == Code::Broken && found[0].path == "spec.manifest", "{found:?}");
}

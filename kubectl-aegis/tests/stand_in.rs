//! The plugin under the name kubectl: the verbs of procedures do to a cluster what kubectl's do, in its words.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and uses what it needs of the common module"
)]

mod common;

use common::Sandbox;

#[test]
fn the_verbs_of_procedures_do_what_kubectl_s_do() {
    let sandbox = Sandbox::start();
    let names = r#"jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}"#;
    let label = r#"{"metadata": {"labels": {"seen": "yes"}}}"#;
    let no_label = r#"[{"op": "remove", "path": "/metadata/labels/seen"}]"#;
    let schedulable = r#"{"spec": {"unschedulable": null}}"#;
    let steps: [(&[&str], bool, &str); 16] = [
        (&["cordon", "dev1"], true, "node/dev1 cordoned\n"),
        (&["cordon", "dev1"], true, "node/dev1 already cordoned\n"),
        (&["get", "node", "dev1", "-o", "jsonpath={.spec.unschedulable}"], true, "true"),
        (&["patch", "node", "dev1", "-p", schedulable], true, "node/dev1 patched\n"),
        (&["get", "node", "dev1", "-o=jsonpath={.spec.unschedulable}"], true, ""),
        (&["patch", "node/dev1", "--type=merge", "-p", label], true, "node/dev1 patched\n"),
        (&["patch", "node/dev1", "--type=merge", "-p", label], true, "node/dev1 patched (no change)\n"),
        (&["get", "nodes", "-l", "seen=yes", "-o", "name"], true, "node/dev1\n"),
        (&["patch", "no", "dev1", "--type=json", "-p", no_label], true, "node/dev1 patched\n"),
        (&["get", "nodes", "-o", names], true, "dev1\ndev2\n"),
        (&["taint", "node", "dev1", "gpu=bad:NoSchedule"], true, "node/dev1 tainted\n"),
        (&["annotate", "node", "dev1", "why=gpu"], true, "node/dev1 annotated\n"),
        (&["label", "node", "gone", "a=b"], false, "Error from server (NotFound)"),
        (&["logs", "gone", "-n", "monitoring"], false, "Error from server (NotFound)"),
        (
            &["get", "nodes", "-o", "custom-columns=A:.a"],
            false,
            "this kubectl knows json, yaml, name, wide and jsonpath",
        ),
        (&["delete", "pods"], false, "-l, --field-selector or --all"),
    ];
    for (words, succeeds, want) in steps {
        let (ok, told) = sandbox.stand_in(words);
        assert_eq!(ok, succeeds, "kubectl {}: {told}", words.join(" "));
        let as_wanted = if succeeds { told == want } else { told.contains(want) };
        assert!(as_wanted, "kubectl {}: wanted {want:?}, got {told:?}", words.join(" "));
    }

    for node in ["dev1", "dev2"] {
        let (ok, told) = sandbox.aegis(&["alert", "send", "Unheard", "--node", node]);
        assert!(ok, "{told}");
    }
    let (ok, told) = sandbox.stand_in(&["delete", "aegisalert", "-l", "node=dev1", "-n", "monitoring"]);
    assert!(ok && told.starts_with("aegisalert.aegis.io \"default-unheard-") && told.lines().count() == 1, "{told}");
    let (_, left) =
        sandbox.stand_in(&["get", "aegisalert", "-n", "monitoring", "-o", "jsonpath={.items[*].spec.detials.node}"]);
    assert_eq!(left, "dev2");
}

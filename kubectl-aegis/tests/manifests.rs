//! What an administrator applies: the real kubectl takes every file of manifest/ and of the examples.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and uses what it needs of the common module"
)]

mod common;

use common::{Sandbox, repository};

#[test]
fn the_real_kubectl_installs_aegis_and_its_examples() {
    let sandbox = Sandbox::start();
    let Some(kubectl) = sandbox.kubectl() else { return };
    let apply = |path: &str| kubectl.run(&["apply", "-f", &repository(path).display().to_string()]);
    let definitions = apply("manifest/install/");
    for plural in ["aegisalerts", "aegisalertopsrules", "aegisopstemplates"] {
        assert!(definitions.contains(&format!("/{plural}.aegis.io configured")), "{definitions}");
    }
    let deployed = apply("manifest/deploy/");
    for object in [
        "deployment.apps/aegis",
        "service/aegis",
        "networkpolicy.networking.k8s.io/aegis",
        "poddisruptionbudget.policy/aegis",
        "role.rbac.authorization.k8s.io/aegis",
        "clusterrolebinding.rbac.authorization.k8s.io/aegis",
        "clusterrole.rbac.authorization.k8s.io/aegis-operator",
        "clusterrole.rbac.authorization.k8s.io/aegis-approver",
        "validatingadmissionpolicy.admissionregistration.k8s.io/aegis-approval",
        "validatingadmissionpolicybinding.admissionregistration.k8s.io/aegis-approval",
        "rolebinding.rbac.authorization.k8s.io/aegis-workflow",
    ] {
        assert!(deployed.contains(&format!("{object} created")), "no {object} in {deployed}");
    }
    let again = apply("manifest/deploy/");
    assert!(!again.contains("created") && !again.contains("configured"), "applied again, nothing changes: {again}");

    for example in ["quickstart/rule.yaml", "dropcache/rule.yaml", "hpc/rules.yaml"] {
        apply(&format!("examples/{example}"));
    }
    for name in ["nodehasemergencyevent", "dropcache", "nodecriticalissue", "nodecriticalissuedisappeared"] {
        kubectl.until(&["get", "aegisalertopsrule", name], "Recorded");
        kubectl.until(&["get", "aegisopstemplate", name], "Recorded");
    }
}

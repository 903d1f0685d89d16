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

use aegis_crds::AegisGuard;
use aegis_crds::names::GUARD_NAME;
use aegis_engine::guard::Policy;
use aegis_engine::scope::ObjectName;
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
        "validatingadmissionpolicy.admissionregistration.k8s.io/aegis-request",
        "validatingadmissionpolicybinding.admissionregistration.k8s.io/aegis-request",
        "rolebinding.rbac.authorization.k8s.io/aegis-workflow",
    ] {
        assert!(deployed.contains(&format!("{object} created")), "no {object} in {deployed}");
    }
    let again = apply("manifest/deploy/");
    assert!(!again.contains("created") && !again.contains("configured"), "applied again, nothing changes: {again}");

    for example in
        ["quickstart/rule.yaml", "dropcache/rule.yaml", "hpc/rules.yaml", "guard/rules.yaml", "guard/policy.yaml"]
    {
        apply(&format!("examples/{example}"));
    }
    for name in ["nodehasemergencyevent", "dropcache", "nodecriticalissue", "nodecriticalissuedisappeared"] {
        kubectl.until(&["get", "aegisalertopsrule", name], "Recorded");
        kubectl.until(&["get", "aegisopstemplate", name], "Recorded");
    }
    for (rule, template) in
        [("cordon-wedged-node", "cordon-wedged-node"), ("release-wedged-node", "uncordon-wedged-node")]
    {
        kubectl.until(&["get", "aegisalertopsrule", rule], "Recorded");
        kubectl.until(&["get", "aegisopstemplate", template], "Recorded");
    }
}

#[test]
fn the_policy_among_the_examples_holds_together() {
    let text = std::fs::read_to_string(repository("examples/guard/policy.yaml")).unwrap();
    let guard: AegisGuard = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(guard.metadata.name.as_deref(), Some(GUARD_NAME), "no other counts");
    let policy = Policy::compile(&guard.spec).unwrap();
    let gpu = policy.pool("gpu").unwrap();
    assert_eq!([10, 40, 1000].map(|nodes| gpu.nodes_limit(nodes, None)), [1, 4, 8]);
    let friday = "2026-11-27T20:00:00+08:00".parse().unwrap();
    let rule = ObjectName::new("monitoring", "cordon-wedged-node");
    assert_eq!(policy.windows().standing(&rule, None, friday).unwrap().window, "weekend");
}

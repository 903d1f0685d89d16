//! Nothing of the machine is used or called, whatever a pod asks for.
//!
//! The test runs itself again as another process whose HOME holds a kubeconfig of its own and whose PATH begins with
//! a folder of stand-ins for nsenter, reboot, systemctl and kubectl, each of which leaves a mark when it is called.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use aegis_sandbox::agent::{AgentOptions, Execution};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::{NAMESPACE, World, until_gone};

/// Set for the inner process: the folder of its kubectl.
const INNER: &str = "AEGIS_SANDBOX_SAFETY_TOOLS";
const POISON: &str = "kubeconfig-of-the-machine";

fn program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_poisoned_machine_is_neither_used_nor_called() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let [home, poison, marks, tools] = ["home", "poison", "marks", "tools"].map(|name| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    });
    // Whoever calls a stand-in, nobody included, can leave a mark.
    fs::set_permissions(&marks, fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(home.join(".kube")).unwrap();
    fs::write(home.join(".kube/config"), POISON).unwrap();
    for name in ["nsenter", "reboot", "systemctl", "kubectl", "mount", "bash", "sh", "cat", "env"] {
        program(&poison.join(name), &format!("echo \"$@\" >> {}/{name}", marks.display()));
    }
    program(&tools.join("kubectl"), "echo \"node/$2 $1ed with $KUBECONFIG\"");

    let path = format!("{}:{}", poison.display(), std::env::var("PATH").unwrap());
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "safety::inner", "--ignored", "--nocapture"])
        .env("HOME", &home)
        .env("PATH", path)
        .env("KUBECONFIG", home.join(".kube/config"))
        .env("LD_LIBRARY_PATH", std::env::var("LD_LIBRARY_PATH").unwrap_or_default())
        .env(INNER, &tools)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success(), "{told}\n{}", String::from_utf8_lossy(&inner.stderr));
    assert!(told.contains("1 passed"), "the inner test ran: {told}");
    let called: Vec<_> = fs::read_dir(&marks).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(called.is_empty(), "called: {called:?}");
}

#[test]
#[ignore = "run by a_poisoned_machine_is_neither_used_nor_called, in an environment made for it"]
fn inner() {
    let tools = std::env::var(INNER).expect("it is run by the other test");
    // The poison works: whoever looks programs up by this process's own PATH meets it.
    assert!(std::env::var("PATH").unwrap().contains("/poison:"));
    assert_eq!(fs::read_to_string(Path::new(&std::env::var("HOME").unwrap()).join(".kube/config")).unwrap(), POISON);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(play(Path::new(&tools))));
}

async fn play(tools: &Path) {
    let stand_ins = vec![("kubectl".to_owned(), tools.join("kubectl"))];
    let world =
        World::start(AgentOptions { execution: Execution::Scripts { stand_ins }, ..AgentOptions::default() }).await;

    let reach = "nsenter -t 1 -m reboot; systemctl reboot; reboot; mount; echo tried";
    let main = |more: Value| {
        let mut container = json!({"name": "main", "image": "i", "command": ["/bin/bash", "-c", reach]});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([container])
    };
    let never = [
        json!({"containers": main(json!({"securityContext": {"privileged": true}}))}),
        json!({"containers": main(json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}))}),
        json!({"hostPID": true, "containers": main(json!({}))}),
        json!({"hostNetwork": true, "containers": main(json!({}))}),
        json!({"hostIPC": true, "containers": main(json!({}))}),
        json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}], "containers": main(json!({}))}),
    ];
    for mut spec in never {
        spec["restartPolicy"] = json!("Never");
        world.pod(spec.clone()).await;
        world.pod_is("Succeeded").await;
        assert_eq!(world.log("p"), format!("{reach}\n"), "its script is its log: {spec}");
        world.pods().delete("p", &DeleteParams::default()).await.unwrap();
        until_gone(&world.pods(), "p").await;
    }
    let events: Api<Event> = Api::namespaced(world.sandbox.client(), NAMESPACE);
    let told = events.list(&ListParams::default()).await.unwrap();
    let told = told.items.iter().filter(|event| event.reason.as_deref() == Some("NotExecuted")).count();
    assert_eq!(told, 6, "an Event says why");

    // What is executed finds none of them, and no kubeconfig but the sandbox's.
    let look = format!(
        "{reach}; kubectl cordon dev1; cat $KUBECONFIG; cat ~/.kube/config; echo HOME=$HOME PATH=$PATH; for i in nsenter reboot systemctl mount sudo; do type $i; done"
    );
    let mut spec = json!({"restartPolicy": "Never", "containers": main(json!({"command": ["bash", "-c", look], "env": [
        {"name": "KUBECONFIG", "value": "/etc/kubernetes/admin.conf"}, {"name": "PATH", "value": std::env::var("PATH").unwrap()},
        {"name": "HOME", "value": std::env::var("HOME").unwrap()}]}))});
    spec["nodeName"] = json!("dev1");
    world.pod(spec).await;
    world.pod_is("Failed").await;
    let log = world.log("p");
    assert!(log.contains("node/dev1 cordoned with ") && log.contains(&world.sandbox.url()), "{log}");
    assert!(log.contains("tried\n") && !log.contains(POISON) && !log.contains("/poison"), "{log}");
    for name in ["nsenter", "reboot", "systemctl", "mount", "sudo"] {
        assert!(
            log.contains(&format!("{name}: not found")) || log.contains(&format!("{name}: command not found")),
            "{name}: {log}"
        );
    }
    let path = log.lines().find_map(|line| line.split_once("PATH=")).unwrap().1;
    assert!(!path.contains(':') && path.ends_with("/bin") && !path.starts_with("/usr"), "{path}");
}

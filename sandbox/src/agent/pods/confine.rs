//! Which containers must never be executed on this machine, whatever they ask for.

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

/// Why `container` of `pod` may not be executed; None when it may. A container that could reach out of itself in a
/// real cluster (privileged, with capabilities, in the host's namespaces, or with a volume that is not the
/// cluster's own data) is only ever shown.
pub(crate) fn objection(pod: &Pod, container: &Container) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let shared = [("hostPID", spec.host_pid), ("hostNetwork", spec.host_network), ("hostIPC", spec.host_ipc)];
    if let Some((field, _)) = shared.iter().find(|(_, shared)| *shared == Some(true)) {
        return Some(format!("its pod asks for {field}"));
    }
    if let Some(volume) = spec.volumes.iter().flatten().find(|volume| !is_plain(volume)) {
        return Some(format!(
            "its pod has the volume {}, which is not emptyDir, configMap, secret, downwardAPI or projected",
            volume.name
        ));
    }
    let pod_wide = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref()?.host_process);
    let Some(context) = &container.security_context else {
        return (pod_wide == Some(true)).then(|| "its pod asks for hostProcess".to_owned());
    };
    if context.privileged == Some(true) {
        return Some("it is privileged".to_owned());
    }
    if pod_wide == Some(true) || context.windows_options.as_ref().and_then(|options| options.host_process) == Some(true)
    {
        return Some("it asks for hostProcess".to_owned());
    }
    let added = context.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_deref()).unwrap_or_default();
    added.first().map(|capability| format!("it adds the capability {capability}"))
}

/// Judged by every field that the volume has, so that a kind not thought of here is refused, also beside a plain one.
fn is_plain(volume: &Volume) -> bool {
    const PLAIN: [&str; 5] = ["emptyDir", "configMap", "secret", "downwardAPI", "projected"];
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(volume) else { return false };
    let mut kinds = fields.keys().filter(|key| *key != "name").peekable();
    kinds.peek().is_some() && kinds.all(|kind| PLAIN.contains(&kind.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn objection_to(pod: Value, container: Value) -> Option<String> {
        let (mut spec, mut main) = (json!({}), json!({"name": "main", "image": "i"}));
        spec.as_object_mut().unwrap().extend(pod.as_object().unwrap().clone());
        main.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        spec["containers"] = json!([main]);
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        objection(&pod, &container)
    }

    #[test]
    fn whatever_could_reach_the_machine_is_never_executed() {
        let refused = [
            (json!({"hostPID": true}), json!({}), "hostPID"),
            (json!({"hostNetwork": true}), json!({}), "hostNetwork"),
            (json!({"hostIPC": true}), json!({}), "hostIPC"),
            (json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}), json!({}), "the volume root"),
            (
                json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "x"}}]}),
                json!({}),
                "the volume d",
            ),
            (json!({"volumes": [{"name": "n", "nfs": {"server": "s", "path": "/"}}]}), json!({}), "the volume n"),
            (json!({"volumes": [{"name": "f", "aKindOfTomorrow": {}}]}), json!({}), "the volume f"),
            (json!({"volumes": [{"name": "b", "emptyDir": {}, "hostPath": {"path": "/"}}]}), json!({}), "the volume b"),
            (json!({}), json!({"securityContext": {"privileged": true}}), "privileged"),
            (json!({}), json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}), "SYS_ADMIN"),
            (json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}), json!({}), "hostProcess"),
        ];
        for (pod, container, want) in refused {
            let why = objection_to(pod.clone(), container.clone()).unwrap_or_default();
            assert!(why.contains(want), "{pod} {container}: {why:?}");
        }
        let allowed = [
            (json!({}), json!({})),
            (
                json!({"hostPID": false, "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "x"}}, {"name": "c", "secret": {}}, {"name": "d", "projected": {}}, {"name": "e", "downwardAPI": {}}]}),
                json!({}),
            ),
            (
                json!({}),
                json!({"securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"]}, "runAsUser": 0}}),
            ),
        ];
        for (pod, container) in allowed {
            assert_eq!(objection_to(pod.clone(), container.clone()), None, "{pod} {container}");
        }
    }
}

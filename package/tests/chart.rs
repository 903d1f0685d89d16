//! The chart gives what the plain manifests give, as the real helm renders it, and its values change what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Objects by kind, namespace and name.
type Objects = BTreeMap<(String, String, String), Value>;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}

/// Runs helm; nothing without one, which is an error where every tool is required.
fn helm(words: &[&str]) -> Option<Output> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("helm");
    command.args(words).env("HOME", home.path()).env_remove("KUBECONFIG").env("HELM_NAMESPACE", "default");
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "helm is required here and was not found");
            eprintln!("skipped: no helm on the PATH (scripts/helm builds one)");
            None
        }
        Err(error) => panic!("could not start helm: {error}"),
    }
}

/// What the chart gives in that namespace, with these values set.
fn rendered(namespace: &str, set: &[&str]) -> Option<Objects> {
    let chart = repository("manifest/chart").display().to_string();
    let mut words = vec!["template", "aegis", &chart, "--namespace", namespace, "--include-crds"];
    set.iter().for_each(|value| words.extend(["--set-json", value]));
    let output = helm(&words)?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{set:?}: {told}");
    Some(objects(&String::from_utf8(output.stdout).unwrap()))
}

fn objects(text: &str) -> Objects {
    let mut objects = Objects::new();
    for object in serde_saphyr::from_multiple::<Value>(text).unwrap() {
        if object.is_null() {
            continue;
        }
        let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = (word("/kind"), word("/metadata/namespace"), word("/metadata/name"));
        assert!(objects.insert(key.clone(), object).is_none(), "{key:?} is there twice");
    }
    objects
}

/// The objects of the files of a folder of manifest/.
fn plain(folder: &str) -> Objects {
    let mut all = Objects::new();
    for entry in std::fs::read_dir(repository(&format!("manifest/{folder}"))).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            all.extend(objects(&std::fs::read_to_string(path).unwrap()));
        }
    }
    all
}

fn same(found: &Objects, want: &Objects) {
    assert_eq!(found.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (key, object) in want {
        assert_eq!(found[key], *object, "{key:?}");
    }
}

fn find<'a>(objects: &'a Objects, kind: &str, namespace: &str, name: &str) -> &'a Value {
    let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
    objects.get(&key).unwrap_or_else(|| panic!("no {key:?} among {:?}", objects.keys()))
}

#[test]
fn with_default_values_it_is_the_plain_manifests() {
    let Some(found) = rendered("monitoring", &[]) else { return };
    let mut want = plain("install");
    want.extend(plain("deploy"));
    same(&found, &want);
}

#[test]
fn with_monitoring_it_is_the_plain_manifests_of_monitoring_too() {
    let Some(mut found) = rendered("monitoring", &["monitoring.enabled=true"]) else { return };
    let dashboard = found.remove(&("ConfigMap".into(), String::new(), "aegis-dashboard".into())).unwrap();
    let mut want = plain("install");
    want.extend(plain("deploy"));
    want.extend(plain("monitoring"));
    same(&found, &want);
    let text = std::fs::read_to_string(repository("manifest/monitoring/dashboard.json")).unwrap();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(dashboard["data"]["dashboard.json"].as_str().unwrap()), read(&text));
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
}

#[test]
fn what_serves_https_is_scraped_by_https_and_verified_by_what_the_values_say() {
    let tls = r#"webhook={"tlsSecret":"aegis-tls"}"#;
    let ca = json!({"secret": {"name": "aegis-tls", "key": "ca.crt"}});
    let trusted = json!({"ca": ca, "serverName": "aegis.monitoring.svc"});
    let own = format!("monitoring.endpoint={}", json!({"tlsConfig": trusted, "interval": "10s"}));
    let on = "monitoring.enabled=true";
    for (why, values, scheme, config) in [
        ("plain", vec![on], Value::Null, Value::Null),
        ("with a certificate", vec![on, tls], json!("https"), json!({"insecureSkipVerify": true})),
        ("with its authority", vec![on, tls, &own], json!("https"), trusted.clone()),
    ] {
        let Some(found) = rendered("monitoring", &values) else { return };
        let endpoint = &find(&found, "ServiceMonitor", "", "aegis")["spec"]["endpoints"][0];
        assert_eq!((&endpoint["scheme"], &endpoint["tlsConfig"]), (&scheme, &config), "{why}");
    }
}

#[test]
fn in_another_namespace_bindings_name_that_one() {
    let Some(found) = rendered("ops", &[]) else { return };
    for name in ["aegis", "aegis-workflow"] {
        assert_eq!(find(&found, "ClusterRoleBinding", "", name)["subjects"][0]["namespace"], "ops", "{name}");
    }
    assert!(!found.values().any(|object| object.to_string().contains("\"namespace\":\"monitoring\"")));
}

#[test]
fn apart_from_the_namespace_that_it_publishes_in_each_right_stands_where_it_is_needed() {
    let Some(found) = rendered("ops", &["namespace=\"alerts\""]) else { return };
    let subject = |kind: &str, namespace: &str, name: &str| find(&found, kind, namespace, name)["subjects"][0].clone();
    let account = |name: &str, namespace: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    find(&found, "ServiceAccount", "", "aegis");
    find(&found, "ServiceAccount", "alerts", "aegis-workflow");
    find(&found, "Role", "alerts", "aegis");
    find(&found, "Role", "alerts", "aegis-workflow");
    assert_eq!(subject("RoleBinding", "alerts", "aegis"), account("aegis", "ops"));
    assert_eq!(subject("RoleBinding", "alerts", "aegis-workflow"), account("aegis-workflow", "alerts"));
    assert_eq!(subject("ClusterRoleBinding", "", "aegis"), account("aegis", "ops"));
    assert_eq!(subject("ClusterRoleBinding", "", "aegis-workflow"), account("aegis-workflow", "alerts"));
    let deployment = find(&found, "Deployment", "", "aegis").to_string();
    assert!(deployment.contains(r#"{"name":"AEGIS_ALERT_PUBLISH_NAMESPACE","value":"alerts"}"#), "{deployment}");
}

#[test]
fn values_change_what_they_say() {
    let values = [
        "replicas=3",
        r#"image={"repository":"registry.example/aegis","tag":1.5}"#,
        r#"settings={"alert":{"system-parameters":{"cluster":"c1"}},"rule-namespaces":["team-a"]}"#,
        r#"webhook={"tokenSecret":"aegis-webhook","tlsSecret":"aegis-tls"}"#,
        r#"actionServiceAccounts=["aegis-workflow","own"]"#,
        r#"env=[{"name":"AEGIS_DRY_RUN","value":"true"}]"#,
        "networkPolicy.enabled=false",
        "policies.enabled=false",
        r#"nodeSelector={"pool":"system"}"#,
        r#"tolerations=[{"operator":"Exists"}]"#,
    ];
    let Some(found) = rendered("monitoring", &values) else { return };
    let deployment = find(&found, "Deployment", "", "aegis");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(container["image"], "registry.example/aegis:1.5");
    let env: BTreeMap<&str, &str> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| Some((one["name"].as_str()?, one["value"].as_str()?)))
        .collect();
    let want = [
        ("AEGIS_ACTION_SERVICE_ACCOUNTS", "aegis-workflow,own"),
        ("AEGIS_CONFIG", "/etc/aegis/settings/settings.yaml"),
        ("AEGIS_DRY_RUN", "true"),
        ("AEGIS_HTTP_TLS_CERT_FILE", "/etc/aegis/tls/tls.crt"),
        ("AEGIS_HTTP_TLS_KEY_FILE", "/etc/aegis/tls/tls.key"),
        ("AEGIS_HTTP_TOKEN_FILE", "/etc/aegis/webhook/token"),
        ("AEGIS_NOTIFY_FILE", "/etc/aegis/notify/notify.yaml"),
    ];
    assert_eq!(env, BTreeMap::from(want));
    for (_, path) in want.iter().filter(|(_, path)| path.starts_with('/')) {
        let mounted = container["volumeMounts"].as_array().unwrap().iter().any(|mount| {
            let at = mount["mountPath"].as_str().unwrap();
            let named = |volume: &&Value| volume["name"] == mount["name"];
            path.starts_with(at) && pod["volumes"].as_array().unwrap().iter().any(|volume| named(&volume))
        });
        assert!(mounted, "{path} is mounted from a volume");
    }
    assert_eq!(container["readinessProbe"]["httpGet"]["scheme"], "HTTPS");
    assert_eq!(pod["nodeSelector"], json!({"pool": "system"}));
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    let settings = find(&found, "ConfigMap", "", "aegis-settings")["data"]["settings.yaml"].as_str().unwrap();
    let settings: Value = serde_saphyr::from_str(settings).unwrap();
    assert_eq!(settings, json!({"alert": {"system-parameters": {"cluster": "c1"}}, "rule-namespaces": ["team-a"]}));
    let kinds: Vec<&str> = found.keys().map(|(kind, _, _)| kind.as_str()).collect();
    assert!(!kinds.contains(&"NetworkPolicy") && !kinds.contains(&"ValidatingAdmissionPolicy"), "{kinds:?}");
}

#[test]
fn without_the_name_of_a_secret_nothing_is_mounted() {
    let Some(found) = rendered("monitoring", &["notifications.secret=\"\""]) else { return };
    let pod = &find(&found, "Deployment", "", "aegis")["spec"]["template"]["spec"];
    assert_eq!((&pod["volumes"], &pod["containers"][0]["volumeMounts"]), (&Value::Null, &Value::Null));
    assert!(!pod.to_string().contains("AEGIS_NOTIFY_FILE"));
}

#[test]
fn a_value_that_cannot_be_right_is_named() {
    let chart = repository("manifest/chart").display().to_string();
    for (value, named) in [
        ("replicas=\"two\"", "replicas"),
        ("image.pullPolicy=\"Sometimes\"", "pullPolicy"),
        ("namespace=\"Not A Name\"", "namespace"),
        ("polices.enabled=false", "polices"),
        ("actionServiceAccounts=[]", "actionServiceAccounts"),
    ] {
        let Some(output) = helm(&["template", "aegis", &chart, "--set-json", value]) else { return };
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(named), "{value}: {told}");
    }
}

#[test]
fn helm_finds_nothing_to_criticise() {
    let chart = repository("manifest/chart").display().to_string();
    let Some(output) = helm(&["lint", "--strict", "--quiet", &chart]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn it_has_the_version_of_everything_else() {
    let text = std::fs::read_to_string(repository("manifest/chart/Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        (chart["version"].as_str(), chart["appVersion"].as_str()),
        (Some(aegis_package::VERSION), Some(aegis_package::VERSION))
    );
}

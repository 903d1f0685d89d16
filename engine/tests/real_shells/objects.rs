//! Templates that are hard to render: a value changes the text of its own field and nothing else of the object.

use aegis_engine::render::{Flaw, Parameters, Template};
use serde_json::Value;

use crate::values::{PAYLOADS, naughty};

/// Every way to write a scalar, and every kind of field.
const TEMPLATES: &[&str] = &[
    r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: "{{.name}}-"
  labels: {app: "{{.node}}", 'team': '{{.desc}}'}
  annotations:
    note: {{.desc}} # {{.desc}}
    folded: >-
      first {{.desc}}
      second {{.desc}}
    literal: |2+
        {{.desc}}

    both: "{{.node}}: {{.desc}}"
spec:
  serviceAccountName: aegis-workflow
  activeDeadlineSeconds: {{.seconds}}
  entrypoint: main
  arguments:
    parameters:
    - &node {name: node, value: '{{.node}}'}
    - {name: desc, value: "{{.desc}}"}
    - *node
  templates:
  - name: main
    inputs:
      parameters:
      - name: node
        default: {{.node}}
    container:
      image: registry.example/{{.name}}:1
      command: [kubectl]
      args: [annotate, node, "note={{.desc}}", '{{.node}}']
      env:
      - name: DESC
        value: {{.desc}}
      - {name: BOTH, value: "{{.node}} and {{.desc}}"}
"#,
    r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  entrypoint: steps
  onExit: exit
  templates:
  - name: steps
    steps:
    - - name: a
        template: shell
        when: "{{.node}} == n"
        arguments: {parameters: [{name: x, value: "{{.node}}"}]}
        withItems: [1, two, "{{.node}}", {key: "{{.node}}"}]
  - name: shell
    retryStrategy: {limit: {{.seconds}}, retryPolicy: Always}
    script:
      image: busybox
      command: [sh, -e]
      source: |
        # {{.node}}
        show {{.desc}} '{{.desc}}' "{{.desc}}"
        cat <<E
        {{.desc}}
        E
        if [ "{{.node}}" = x ]; then
          kubectl cordon {{.node}}
        fi
  - name: exit
    container:
      image: busybox
      command: ["/bin/sh", "-c", 'show "$(date "{{.desc}}")" {{.node}} > /tmp/{{.name}}']
      securityContext: {privileged: {{.flag}}, runAsUser: {{.seconds}}}
      volumeMounts: [{name: v, mountPath: /data, subPath: "{{.name}}"}]
    volumes: [{name: v, hostPath: {path: "/var/lib/{{.name}}"}}]
"#,
    r#"
apiVersion: batch/v1
kind: Job
metadata: {name: "{{.name}}", namespace: monitoring}
spec:
  backoffLimit: {{int .seconds}}
  template:
    metadata: {annotations: {note: "{{.desc}}"}}
    spec:
      hostPID: {{bool .flag}}
      nodeName: '{{.node}}'
      containers:
      - name: a
        image: busybox
        command: [nsenter, --target, "1", --mount, --, bash, -c]
        args: ['[[ {{.node}} == "{{.desc}}" ]] || show {{.desc}}']
        env: [{name: DESC, value: "{{.desc}}"}]
"#,
    r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  podSpecPatch: '{"nodeName": "{{.node}}"}'
  templates:
  - name: resource
    resource:
      action: create
      manifest: |
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: "{{.name}}"}
        data: {node: {{.node}}}
  - name: python
    script: {image: python, command: [python3], source: "print('{{.node}}', {{.seconds}})"}
  - name: dag
    dag:
      tasks:
      - {name: a, template: python, depends: b}
      - name: b
        template: python
        withParam: '["{{.node}}"]'
  - name: http
    http: {url: "http://example/{{.name}}", method: POST, body: "{{.node}}"}
  - name: retry
    retryStrategy: {expression: "lastRetry.exitCode != '{{.node}}'"}
    suspend: {duration: "{{.seconds}}"}
"#,
];

/// Harmless values, twice: what differs between two renderings of them is what values decide.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("node", "node-1", "node-2"),
    ("name", "name-a", "name-b"),
    ("desc", "disk", "full"),
    ("seconds", "60", "90"),
    ("flag", "true", "false"),
];

fn render(template: &Template, values: &[(&str, &str)]) -> Result<Value, Flaw> {
    let parameters: Parameters = values.iter().copied().collect();
    template.render(&parameters)
}

fn harmless(with: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    PARAMETERS.iter().map(|(name, first, second)| (*name, if with(name) { *second } else { *first })).collect()
}

/// Compares a rendering with a harmless one. Only where `changes` differs from the harmless one may it differ, and
/// only in what a scalar says.
fn same_but_for_values(path: &str, harmless: &Value, changes: &Value, found: &Value) {
    match (harmless, changes, found) {
        (Value::Object(harmless), Value::Object(changes), Value::Object(found)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(harmless), keys(found), "{path}: the keys differ");
            for (key, value) in harmless {
                same_but_for_values(&format!("{path}.{key}"), value, &changes[key], &found[key]);
            }
        }
        (Value::Array(harmless), Value::Array(changes), Value::Array(found)) => {
            assert_eq!(harmless.len(), found.len(), "{path}: the lengths differ");
            for (at, value) in harmless.iter().enumerate() {
                same_but_for_values(&format!("{path}[{at}]"), value, &changes[at], &found[at]);
            }
        }
        (Value::String(harmless), Value::String(changes), Value::String(found)) if harmless != changes => {
            // What stands before the value is the template's own; quotes of a shell may be put around the value.
            let before = harmless.chars().zip(changes.chars()).take_while(|(a, b)| a == b).count();
            let own: String = harmless.chars().take(before.saturating_sub(LIKENESS)).collect();
            assert!(unquoted(found).starts_with(&unquoted(&own)), "{path}: {found:?} does not begin like {harmless:?}");
        }
        (Value::Number(_) | Value::Bool(_), _, Value::Number(_) | Value::Bool(_)) if harmless != changes => {}
        _ => assert_eq!(harmless, found, "{path}: no value stands here"),
    }
}

/// How many characters the two harmless values of a parameter may have in common at their beginning.
const LIKENESS: usize = 5;

fn unquoted(text: &str) -> String {
    text.replace(['\'', '"'], "")
}

#[test]
fn a_value_changes_nothing_but_the_text_of_its_field() {
    let mut taken = 0;
    for text in TEMPLATES {
        let template = Template::parse(text).unwrap();
        let first = render(&template, &harmless(|_| false)).unwrap();
        for (parameter, ..) in PARAMETERS {
            let second = render(&template, &harmless(|name| name == *parameter)).unwrap();
            for value in PAYLOADS.iter().copied().chain(["a b", "1", "true", "null", "- a: b", "&a *a !!b", "a: b # c"])
            {
                let mut values = harmless(|_| false);
                for (name, filled) in &mut values {
                    if name == parameter {
                        *filled = value;
                    }
                }
                if let Ok(found) = render(&template, &values) {
                    taken += 1;
                    same_but_for_values("", &first, &second, &found);
                }
            }
        }
    }
    assert!(taken > 300, "only {taken} renderings were not refused");
}

#[test]
fn naughty_values_everywhere_at_once_change_no_structure() {
    let mut taken = 0;
    for text in TEMPLATES {
        let template = Template::parse(text).unwrap();
        let first = render(&template, &harmless(|_| false)).unwrap();
        let second = render(&template, &harmless(|_| true)).unwrap();
        for value in naughty() {
            let mut values = harmless(|_| false);
            for (name, filled) in &mut values {
                if matches!(*name, "desc" | "node" | "name") {
                    *filled = value;
                }
            }
            if let Ok(found) = render(&template, &values) {
                taken += 1;
                same_but_for_values("", &first, &second, &found);
            }
            let mut described = harmless(|_| false);
            for (name, filled) in &mut described {
                if *name == "desc" {
                    *filled = value;
                }
            }
            if let Ok(found) = render(&template, &described) {
                taken += 1;
                let second = render(&template, &harmless(|name| name == "desc")).unwrap();
                same_but_for_values("", &first, &second, &found);
                for pointer in ["/metadata/annotations/note", "/spec/template/metadata/annotations/note"] {
                    if let Some(note) = found.pointer(pointer) {
                        assert_eq!(note, value);
                    }
                }
            }
        }
    }
    assert!(taken > 1000, "only {taken} renderings were not refused");
}

/// The manifests of the templates in the folder of examples, with their names.
fn examples() -> Vec<(String, String)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
                if object["kind"] == "AegisOpsTemplate" {
                    let manifest = object.pointer("/spec/manifest").and_then(Value::as_str).unwrap();
                    found.push((file.display().to_string(), manifest.to_owned()));
                }
            }
        }
    }
    found
}

#[test]
fn every_example_renders_and_no_value_changes_its_structure() {
    let examples = examples();
    assert!(examples.len() >= 3, "the examples are gone: {examples:?}");
    for (file, manifest) in examples {
        let template = Template::parse(&manifest).unwrap();
        let names: Vec<&str> = template.parameters().collect();
        let with = |value: &'static str| -> Vec<(&str, &str)> { names.iter().map(|name| (*name, value)).collect() };
        let first = render(&template, &with("node-1")).unwrap_or_else(|flaw| panic!("{file}: {flaw}"));
        let second = render(&template, &with("node-2")).unwrap_or_else(|flaw| panic!("{file}: {flaw}"));
        for value in naughty() {
            for name in &names {
                let values = names
                    .iter()
                    .map(|known| (*known, if known == name { value } else { "node-1" }))
                    .collect::<Vec<_>>();
                if let Ok(found) = render(&template, &values) {
                    same_but_for_values(&file, &first, &second, &found);
                }
            }
        }
    }
}

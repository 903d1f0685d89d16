//! From a template's text to the object, through both halves of rendering.

use serde_json::json;

use crate::render::{Parameters, Template};

const CORDON: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  serviceAccountName: aegis-workflow
  entrypoint: start
  templates:
  - name: start
    {{- if .limit }}
    retryStrategy:
      limit: {{ .limit }}
    {{- end }}
    container:
      image: bitnami/kubectl:latest
      env:
      - name: WORKFLOW
        value: "{{keep "workflow.name"}}/{{workflow.namespace}}"
      command:
      - /bin/bash
      - -c
      - |
        kubectl cordon {{.node}}
"#;

#[test]
fn a_template_becomes_an_object_that_holds_the_values() {
    let template = Template::parse(CORDON).unwrap();
    let object = template.render(&Parameters::from_iter([("node", "dev1"), ("limit", "2")])).unwrap();
    let start = &object["spec"]["templates"][0];
    assert_eq!(start["retryStrategy"], json!({"limit": 2}));
    assert_eq!(start["container"]["command"], json!(["/bin/bash", "-c", "kubectl cordon dev1\n"]));
    assert_eq!(start["container"]["env"][0]["value"], "{{workflow.name}}/{{workflow.namespace}}");
    let plain = template.render(&Parameters::from_iter([("node", "dev1")])).unwrap();
    assert!(plain["spec"]["templates"][0].get("retryStrategy").is_none(), "a missing parameter is false");
}

#[test]
fn a_value_stays_one_word_of_the_shell() {
    let template = Template::parse(CORDON).unwrap();
    let object = template.render(&Parameters::from_iter([("node", "dev1; reboot")])).unwrap();
    assert_eq!(object["spec"]["templates"][0]["container"]["command"][2], "kubectl cordon 'dev1; reboot'\n");
}

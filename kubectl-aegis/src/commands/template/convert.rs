//! `kubectl aegis template convert`: a Workflow or Job that runs becomes a template.

use aegis_crds::AegisOpsTemplate;
use aegis_engine::plan::CompiledTemplate;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cluster::ClusterArgs;
use crate::commands::alert::body;
use crate::failure::{Failure, Kind};
use crate::output;

/// Make a template of a Workflow or Job that exists: print it, to be read and applied
///
/// What the API server and Argo wrote into the object is left out, and so is its name, which is derived from the alert. A
/// WorkflowTemplate or CronWorkflow becomes a Workflow. Each --parameter puts an alert's value in the place of a text:
/// `node=dev1` writes {{.node}} wherever dev1 stands as a word. Argo's own tags stay.
#[derive(Args)]
#[command(after_help = "Examples:
  # A Workflow that was written for one node
  kubectl aegis template render nodehasemergencyevent --alert examples/quickstart/alert.json > workflow.yaml
  kubectl aegis template convert cordon -f workflow.yaml --parameter node=dev1

Exit codes: 0 if the template can be used, 1 if not; it is printed all the same.")]
pub(crate) struct Convert {
    /// The template's name
    #[arg(value_name = "NAME")]
    name: String,
    /// The file with the object ("-" for standard input)
    #[arg(short, long, value_name = "FILE")]
    filename: String,
    /// A text of the object, and the alert's value that takes its place; repeat it for more
    #[arg(long = "parameter", value_name = "NAME=TEXT")]
    parameters: Vec<String>,
}

impl Convert {
    pub(super) fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let file = &self.filename;
        let wrong = |why: anyhow::Error| Failure::new(Kind::Usage, format!("could not use {file}")).because(why);
        let text = String::from_utf8(body::read(file)?).map_err(|error| wrong(error.into()))?;
        let object: Value = serde_saphyr::from_str(&text).map_err(|error| wrong(error.into()))?;
        let mut manifest = serde_saphyr::to_string(&bare(object)?)?;
        for pair in &self.parameters {
            let Some((name, value)) =
                pair.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())
            else {
                return Err(
                    Failure::new(Kind::Usage, format!("--parameter: found {pair:?}, expected NAME=TEXT")).into()
                );
            };
            let (replaced, count) = put(&manifest, value, &format!("{{{{.{name}}}}}"));
            if count == 0 {
                return Err(
                    Failure::new(Kind::Usage, format!("--parameter {pair}: {value} stands nowhere in {file}")).into()
                );
            }
            eprintln!("{{{{.{name}}}}} stands in {count} places");
            manifest = replaced;
        }
        let template = json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate",
            "metadata": {"name": self.name, "namespace": cluster.namespace}, "spec": {"manifest": manifest},
        });
        output::line(serde_saphyr::to_string(&template)?.trim_end());
        let template: AegisOpsTemplate = serde_json::from_value(template)?;
        match CompiledTemplate::compile(&template) {
            Ok(_) => Ok(()),
            Err(broken) => Err(Failure::new(Kind::Findings, format!("it cannot be used as it is: {broken}")).into()),
        }
    }
}

/// The object as a person would have written it, as a Workflow or Job.
fn bare(object: Value) -> Result<Value, Failure> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let spec = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let (version, kind, spec) = match kind {
        "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate" => {
            ("argoproj.io/v1alpha1", "Workflow", spec("/spec"))
        }
        "CronWorkflow" => ("argoproj.io/v1alpha1", "Workflow", spec("/spec/workflowSpec")),
        "Job" => ("batch/v1", "Job", spec("/spec")),
        "CronJob" => ("batch/v1", "Job", spec("/spec/jobTemplate/spec")),
        other => {
            let expected = "expected Workflow, WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow, Job or CronJob";
            return Err(Failure::new(Kind::Usage, format!("kind: found {other:?}, {expected}")));
        }
    };
    let mut spec = spec;
    if let Some(fields) = spec.as_object_mut() {
        if kind == "Job" {
            // The Job controller writes these so that they fit that one Job alone.
            fields.remove("selector");
            fields.remove("manualSelector");
        }
        fields.remove("suspend");
    }
    if let Some(labels) = spec.pointer_mut("/template/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|name, _| !name.contains("controller-uid") && !name.ends_with("job-name"));
    }
    let mut bare = Map::new();
    bare.insert("apiVersion".to_owned(), json!(version));
    bare.insert("kind".to_owned(), json!(kind));
    bare.insert("spec".to_owned(), spec);
    Ok(Value::Object(bare))
}

/// The text with another in place of a word, and how often. A word ends where no letter, digit, '-', '_' or '.' goes on.
fn put(text: &str, word: &str, other: &str) -> (String, usize) {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (mut out, mut rest, mut count) = (String::new(), text, 0);
    while let Some((before, after)) = rest.split_once(word) {
        let stands_alone =
            !before.chars().next_back().is_some_and(goes_on) && !after.chars().next().is_some_and(goes_on);
        out.push_str(before);
        out.push_str(if stands_alone { other } else { word });
        count += usize::from(stands_alone);
        rest = after;
    }
    out.push_str(rest);
    (out, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_replaced_where_it_stands_as_a_word() {
        let (text, count) = put("cordon dev1 dev10 my-dev1 \"dev1\" dev1.x dev1", "dev1", "{{.node}}");
        assert_eq!(text, "cordon {{.node}} dev10 my-dev1 \"{{.node}}\" dev1.x {{.node}}");
        assert_eq!(count, 3);
    }

    #[test]
    fn what_servers_wrote_is_left_out() {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "uid": "u"}, "status": {"active": 1},
            "spec": {
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}, "suspend": false,
                "template": {"metadata": {"labels": {"app": "a", "batch.kubernetes.io/controller-uid": "u", "job-name": "x"}}},
            },
        });
        assert_eq!(
            bare(job).unwrap(),
            json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"metadata": {"labels": {"app": "a"}}}}})
        );
        let cron = json!({"kind": "CronWorkflow", "spec": {"schedule": "x", "workflowSpec": {"entrypoint": "a"}}});
        assert_eq!(bare(cron).unwrap()["spec"], json!({"entrypoint": "a"}));
        assert!(bare(json!({"kind": "Pod"})).is_err());
    }
}

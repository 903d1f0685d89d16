//! `kubectl aegis sop list` and `show`: what the library holds. No cluster is asked.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{LIBRARY, Sop, is_about_a_pod, parameters, summary};
use crate::failure::Failure;
use crate::output;

/// List the procedures of the library
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis sop list
  kubectl aegis sop list -o name")]
pub(crate) struct List {
    /// How to print it
    #[arg(short, long, value_name = "table|json|name", default_value = "table", hide_possible_values = true)]
    output: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Table,
    Json,
    Name,
}

/// Show a procedure: what it does, its parameters, and what it runs as
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis sop show drain

  # What `kubectl aegis sop install drain --rule` would apply, for a repository of your own
  kubectl aegis sop show drain -o yaml")]
pub(crate) struct Show {
    /// The procedure
    #[arg(value_name = "NAME")]
    name: String,
    /// How to print it; json and yaml are the objects themselves, with the example of a rule for alerts
    #[arg(short, long, value_name = "text|json|yaml", default_value = "text", hide_possible_values = true)]
    output: ShowFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShowFormat {
    Text,
    Json,
    Yaml,
}

impl List {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let rows: Vec<[String; 3]> = LIBRARY.iter().map(row).collect::<Result<_, Failure>>()?;
        match self.output {
            ListFormat::Table => {
                output::line(&line(["NAME", "TARGET", "SUMMARY"]));
                rows.iter().for_each(|row| output::line(&line(row.each_ref().map(String::as_str))));
            }
            ListFormat::Name => rows.iter().for_each(|[name, ..]| output::line(name)),
            ListFormat::Json => {
                let items: Vec<Value> = rows
                    .iter()
                    .map(|[name, target, summary]| json!({"name": name, "target": target, "summary": summary}))
                    .collect();
                output::line(&serde_json::to_string_pretty(&items)?);
            }
        }
        Ok(())
    }
}

fn row(sop: &Sop) -> Result<[String; 3], Failure> {
    let template = sop.template()?;
    let target = if is_about_a_pod(&template) { "Pod" } else { "Node" };
    Ok([sop.name.to_owned(), target.to_owned(), summary(&template).to_owned()])
}

fn line([name, target, summary]: [&str; 3]) -> String {
    format!("{name:<22}{target:<9}{summary}")
}

impl Show {
    pub(crate) fn run(self, namespace: &str) -> anyhow::Result<()> {
        let sop = Sop::named(&self.name)?;
        let objects = sop.objects(namespace, true)?;
        match self.output {
            ShowFormat::Text => output::text(&text(sop)?),
            ShowFormat::Json => {
                output::line(&serde_json::to_string_pretty(
                    &json!({"apiVersion": "v1", "kind": "List", "items": objects}),
                )?);
            }
            ShowFormat::Yaml => {
                let texts = objects.iter().map(serde_saphyr::to_string).collect::<Result<Vec<_>, _>>()?;
                output::text(&texts.join("---\n"));
            }
        }
        Ok(())
    }
}

fn text(sop: &Sop) -> Result<String, Failure> {
    let template = sop.template()?;
    let [name, target, summary] = row(sop)?;
    let flag = if is_about_a_pod(&template) { "--pod NAMESPACE/NAME" } else { "--node NAME" };
    let mut text = format!("{name}: {summary}\n\n{}\n\n", sop.about());
    text.push_str(&format!("target      {target}\nruns as     {}\n", sop.accounts()?.join(", ")));
    let mut label = "parameters";
    for (name, what) in parameters(&template) {
        text.push_str(&format!("{label:<12}{name:<14}{what}\n"));
        label = "";
    }
    text.push_str(&format!("install     kubectl aegis sop install {name}\n"));
    text.push_str(&format!("ask for it  kubectl aegis sop run {name} {flag} --reason TEXT\n"));
    Ok(text)
}

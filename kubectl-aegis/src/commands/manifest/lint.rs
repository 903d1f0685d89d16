//! `rule lint` and `template lint`: what is wrong with them, and what may not be meant.

use std::collections::{BTreeMap, BTreeSet};

use aegis_crds::alert::AegisAlertSpec;
use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisOpsTemplate};
use aegis_engine::lint;
use aegis_engine::plan::{self, BrokenTemplate, CompiledTemplate};
use aegis_engine::rules::{CompiledRule, RuleBook};
use aegis_engine::scope::{Namespaces, ObjectName};
use clap::{Args, ValueEnum};
use kubectl_aegis::view::kinds::{RULE, Resource, TEMPLATE};
use serde::Serialize;

use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::fetch::{self, Wanted};
use crate::manifests::{self, Document};
use crate::output;

#[derive(Args)]
pub(crate) struct Lint {
    /// The files or folders ("-" for standard input); what is stored in the cluster without
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    filename: Vec<String>,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// How to print it
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Finding {
    /// Where: the file, or the object in the cluster.
    place: String,
    /// What it is about, such as aegisalertopsrule.aegis.io/x.
    object: String,
    level: Level,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum Level {
    /// It cannot be used.
    Error,
    /// It may not be meant.
    Warning,
}

impl Lint {
    pub(crate) async fn run(&self, cluster: &ClusterArgs, resource: &Resource) -> anyhow::Result<()> {
        let documents = self.documents(cluster).await?;
        let asked = documents.iter().filter(|document| document.kind() == resource.kind).count();
        if asked == 0 {
            return Err(Failure::new(Kind::Usage, format!("there is no {} to look at", resource.kind)).into());
        }
        let findings = if *resource == RULE { rules(&documents)? } else { templates(&documents)? };
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(&findings)?),
            Format::Text => findings.iter().for_each(|finding| {
                let Finding { place, object, level, message } = finding;
                let (word, style) = match level {
                    Level::Error => ("error", output::BAD),
                    Level::Warning => ("warning", output::BUSY),
                };
                let word = output::painted(word, style, output::coloured());
                output::line(&format!("{place}: {object}: {word}: {message}"));
            }),
        }
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (errors, warnings) = (count(Level::Error), count(Level::Warning));
        if errors > 0 || (self.strict && warnings > 0) {
            return Err(Failure::new(Kind::Findings, format!("{errors} errors, {warnings} warnings")).into());
        }
        eprintln!("{asked} looked at: {warnings} warnings");
        Ok(())
    }

    async fn documents(&self, cluster: &ClusterArgs) -> Result<Vec<Document>, Failure> {
        if !self.filename.is_empty() {
            return manifests::documents(&self.filename, &cluster.namespace);
        }
        let client = cluster.client().await?;
        let mut documents = Vec::new();
        for resource in [RULE, TEMPLATE] {
            let listed = fetch::list(&client, &resource, &Wanted::all_in(cluster.scope())).await?;
            documents.extend(listed.items.into_iter().map(|object| Document { place: "cluster".to_owned(), object }));
        }
        Ok(documents)
    }
}

/// What it prints with `-o json`.
#[cfg(test)]
pub(crate) fn schema() -> serde_json::Value {
    crate::schemas::of::<Vec<Finding>>()
}

/// What is found in rules: flaws, types that are part of others, and what is wrong with the templates that they ask for.
fn rules(documents: &[Document]) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let mut known: Vec<(&Document, AegisAlertOpsRule)> = Vec::new();
    for document in documents.iter().filter(|document| document.kind() == RULE.kind) {
        known.push((document, document.read()?));
    }
    let mut templates = Templates::new();
    for document in documents.iter().filter(|document| document.kind() == TEMPLATE.kind) {
        let template: AegisOpsTemplate = document.read()?;
        templates.insert(ObjectName::of(&template), CompiledTemplate::compile(&template));
    }
    for (document, rule) in &known {
        let finding = |level, message| Finding {
            place: document.place.clone(),
            object: RULE.named(document.name()),
            level,
            message,
        };
        match CompiledRule::compile(rule) {
            Err(broken) => findings.extend(broken.flaws.iter().map(|flaw| finding(Level::Error, flaw.to_string()))),
            // Where no template was read at all, only rules were given.
            Ok(compiled) if !templates.is_empty() => {
                findings.extend(asked(&compiled, &templates).into_iter().map(|(level, said)| finding(level, said)));
            }
            Ok(_) => {}
        }
    }
    for overlap in RuleBook::of(Namespaces::All, known.iter().map(|(_, rule)| rule)).lint() {
        let of_rule = known.iter().find(|(_, rule)| ObjectName::of(rule) == overlap.rule);
        findings.extend(of_rule.map(|(document, _)| Finding {
            place: document.place.clone(),
            object: RULE.named(document.name()),
            level: Level::Warning,
            message: overlap.to_string(),
        }));
    }
    Ok(findings)
}

type Templates = BTreeMap<ObjectName, Result<CompiledTemplate, BrokenTemplate>>;

/// What is wrong with the templates that a rule asks for, each under its field: it is not there, it cannot be used, or it
/// takes a parameter that the first one does without, so that nothing is done for an alert that lacks it.
fn asked(rule: &CompiledRule, templates: &Templates) -> Vec<(Level, String)> {
    let steps = rule.escalation.iter().enumerate();
    let steps = steps.map(|(index, step)| (format!("spec.escalation[{index}].name"), &step.template));
    let check = rule.verification.as_ref().and_then(|verification| verification.template.as_ref());
    let check = check.map(|template| ("spec.verification.template".to_owned(), template));
    let first = std::iter::once(("spec.opsTemplate".to_owned(), &rule.template));
    let given = given(templates.get(&rule.template).and_then(|template| template.as_ref().ok()));
    let mut found = Vec::new();
    for (field, name) in first.chain(steps).chain(check) {
        match templates.get(name) {
            None => found.push((Level::Warning, format!("{field}: template {name} is not among what was read"))),
            Some(Err(broken)) => {
                found.push((Level::Error, format!("{field}: template {name} cannot be used: {broken}")));
            }
            Some(Ok(template)) => {
                let more =
                    given.as_ref().map(|given| template.manifest.parameters().filter(|name| !given.contains(*name)));
                let more: Vec<&str> = more.into_iter().flatten().collect();
                if !more.is_empty() {
                    let more = more.join(", ");
                    let first = &rule.template;
                    let said = format!(
                        "{field}: template {name} takes {more}, which template {first} does not: an alert that lacks it \
                         is not acted on then; have its sender give it, or a system parameter"
                    );
                    found.push((Level::Warning, said));
                }
            }
        }
    }
    found
}

/// The parameters that an alert has for which that template renders; `None` where that is not known.
fn given(template: Option<&CompiledTemplate>) -> Option<BTreeSet<String>> {
    let alert = AegisAlert::new("", AegisAlertSpec::default());
    let always = plan::parameters(&alert, &plan::Settings::default()).unwrap_or_default();
    let always = always.iter().map(|(name, _)| name.to_owned());
    Some(template?.manifest.parameters().map(str::to_owned).chain(always).collect())
}

/// What is found in templates.
fn templates(documents: &[Document]) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for document in documents.iter().filter(|document| document.kind() == TEMPLATE.kind) {
        let template: AegisOpsTemplate = document.read()?;
        let finding = |level, message| Finding {
            place: document.place.clone(),
            object: TEMPLATE.named(document.name()),
            level,
            message,
        };
        findings.extend(lint::template(&template).into_iter().map(|found| {
            let level = if found.code == lint::Code::Broken { Level::Error } else { Level::Warning };
            finding(level, found.to_string())
        }));
    }
    Ok(findings)
}

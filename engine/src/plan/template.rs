//! Templates that are parsed once, when they are written; the invalid ones are known as such.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aegis_crds::AegisOpsTemplate;
use aegis_crds::template::ActsOn;
use jiff::SignedDuration;

use crate::duration;
use crate::render::{Flaw, Parameters, Template, fill};
use crate::scope::{Namespaces, ObjectName};

/// A template that can be rendered.
#[derive(Debug)]
pub struct CompiledTemplate {
    /// The template's namespace and name.
    pub name: ObjectName,
    /// Its manifest.
    pub manifest: Template,
    /// How long its action may take, if it says so.
    pub timeout: Option<SignedDuration>,
    /// The namespace that it asks for, if any. Only the alert's own is allowed.
    pub namespace: Option<String>,
    /// Whether it puts back what Aegis did, unless the rule says otherwise.
    pub recovery: bool,
    /// What it acts on.
    pub acts_on: ActsOn,
}

/// A template that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenTemplate {
    /// The template's namespace and name.
    pub name: ObjectName,
    /// Everything that is wrong with it, at least one sentence that begins with the field.
    pub flaws: Vec<String>,
}

/// All templates. Immutable: [`TemplateBook::with`] and [`TemplateBook::without`] share what is parsed.
#[derive(Clone, Debug)]
pub struct TemplateBook {
    namespaces: Namespaces,
    templates: BTreeMap<ObjectName, Arc<Result<CompiledTemplate, BrokenTemplate>>>,
}

impl CompiledTemplate {
    /// Checks and parses a template.
    pub fn compile(template: &AegisOpsTemplate) -> Result<Self, BrokenTemplate> {
        let name = ObjectName::of(template);
        let spec = &template.spec;
        let mut flaws = Vec::new();
        let manifest =
            Template::parse(&spec.manifest).map_err(|flaw| flaws.push(format!("spec.manifest: {flaw}"))).ok();
        let standing = manifest.as_ref().and_then(standing_flaw);
        flaws.extend(standing.map(|flaw| format!("spec.manifest: {flaw}")));
        let timeout = spec.timeout.as_deref().and_then(|text| match duration::parse(text) {
            Ok(timeout) => Some(timeout),
            Err(flaw) => {
                flaws.push(format!("spec.timeout: {flaw}"));
                None
            }
        });
        let namespace = spec.namespace.clone().filter(|namespace| !namespace.is_empty());
        match manifest {
            Some(manifest) if flaws.is_empty() => {
                let (recovery, acts_on) = (spec.recovery.unwrap_or_default(), spec.acts_on.unwrap_or_default());
                Ok(Self { name, manifest, timeout, namespace, recovery, acts_on })
            }
            _ => Err(BrokenTemplate { name, flaws }),
        }
    }
}

impl TemplateBook {
    /// A book of these templates; those outside of the namespaces do not count.
    pub fn of<'a>(namespaces: Namespaces, templates: impl IntoIterator<Item = &'a AegisOpsTemplate>) -> Self {
        Self { namespaces, templates: templates.into_iter().map(entry).collect() }
    }

    /// The book with a template added or replaced. Parses that template only.
    #[must_use]
    pub fn with(&self, template: &AegisOpsTemplate) -> Self {
        let mut book = self.clone();
        book.templates.extend([entry(template)]);
        book
    }

    /// The book without a template.
    #[must_use]
    pub fn without(&self, name: &ObjectName) -> Self {
        let mut book = self.clone();
        book.templates.remove(name);
        book
    }

    /// The template of that name, whether it can be used or not; `None` if it does not exist or does not count.
    pub fn get(&self, name: &ObjectName) -> Option<&Result<CompiledTemplate, BrokenTemplate>> {
        self.templates.get(name).filter(|_| self.namespaces.allow(&name.namespace)).map(Arc::as_ref)
    }

    /// Where templates count.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }
}

fn entry(template: &AegisOpsTemplate) -> (ObjectName, Arc<Result<CompiledTemplate, BrokenTemplate>>) {
    (ObjectName::of(template), Arc::new(CompiledTemplate::compile(template)))
}

impl fmt::Display for BrokenTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.flaws.join("; "))
    }
}

impl std::error::Error for BrokenTemplate {}

/// What is wrong with a manifest whatever the values are: not YAML, not an action, a parameter where none can stand.
///
/// It is rendered with values that fit a text, a number and a boolean. A flaw that comes with each of them in the same
/// words is the template's own; any other may be the fault of the value, and is told when an alert brings one.
fn standing_flaw(manifest: &Template) -> Option<Box<Flaw>> {
    let mut standing: Option<Box<Flaw>> = None;
    for value in ["x", "1", "true"] {
        let parameters: Parameters = manifest.parameters().map(|name| (name, value)).collect();
        let rendered = manifest.evaluate(&parameters).and_then(|evaluated| fill(&evaluated));
        let flaw = Box::new(rendered.err()?);
        if standing.as_ref().is_some_and(|known| *known != flaw) {
            return None;
        }
        standing = Some(flaw);
    }
    standing
}

#[cfg(test)]
mod tests {
    use super::super::testing::template;
    use super::*;

    #[test]
    fn every_flaw_begins_with_its_field() {
        let broken = CompiledTemplate::compile(&template("t").manifest(" ").timeout("soon").build()).unwrap_err();
        let fields: Vec<&str> = broken.flaws.iter().map(|flaw| flaw.split_once(": ").unwrap().0).collect();
        assert_eq!(fields, ["spec.manifest", "spec.timeout"]);
    }

    #[test]
    fn what_is_wrong_whatever_the_values_are_is_found_when_the_template_is_written() {
        let workflow = |spec: &str| format!("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {spec}\n");
        let broken = [
            ("not YAML", workflow("{")),
            ("not an action", "apiVersion: v1\nkind: Pod\nspec: {}\n".to_owned()),
            ("a value as a key", workflow("{\"{{.key}}\": 1}")),
            ("a tag that does not end", workflow("{{if .x}}{}")),
        ];
        for (why, manifest) in broken {
            let flaws = CompiledTemplate::compile(&template("t").manifest(&manifest).build()).expect_err(why).flaws;
            assert!(flaws.len() == 1 && flaws[0].starts_with("spec.manifest: "), "{why}: {flaws:?}");
        }
        let usable = [
            ("a number", workflow("{activeDeadlineSeconds: {{int .seconds}}}")),
            ("a boolean", workflow("{suspend: {{bool .wait}}}")),
            ("both", workflow("{suspend: {{bool .wait}}, activeDeadlineSeconds: {{int .seconds}}}")),
            ("a branch", workflow("{{if eq .kind \"Node\"}}{entrypoint: node}{{else}}{entrypoint: {{.kind}}}{{end}}")),
        ];
        for (why, manifest) in usable {
            let compiled = CompiledTemplate::compile(&template("t").manifest(&manifest).build());
            assert!(compiled.is_ok(), "{why}: {compiled:?}");
        }
    }

    #[test]
    fn a_template_says_what_it_acts_on_and_whether_it_is_recovery() {
        let mut written = template("t").build();
        let compiled = CompiledTemplate::compile(&written).unwrap();
        assert_eq!((compiled.recovery, compiled.acts_on), (false, ActsOn::Object));
        written.spec.recovery = Some(true);
        written.spec.acts_on = Some(ActsOn::Node);
        let compiled = CompiledTemplate::compile(&written).unwrap();
        assert_eq!((compiled.recovery, compiled.acts_on), (true, ActsOn::Node));
    }

    #[test]
    fn templates_elsewhere_do_not_count() {
        let book = TemplateBook::of(Namespaces::of("monitoring", ["team-a"]), &[template("t").build()]);
        let book = book.with(&template("t").namespace("default").build());
        assert!(book.get(&ObjectName::new("monitoring", "t")).is_some());
        assert!(book.get(&ObjectName::new("default", "t")).is_none());
        assert!(book.without(&ObjectName::new("monitoring", "t")).get(&ObjectName::new("monitoring", "t")).is_none());
    }
}

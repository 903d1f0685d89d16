//! Environment variables: which may not be filled at all, and which kubelet pastes into the container's command.

use serde_json::Value;

use super::blank::Rule;
use super::read::Reader;
use crate::render::Flaw;
use crate::render::argo_tags::{Part, Paste, PasteKind};
use crate::render::argv::{Role, Roles};
use crate::render::pastes::Site;
use crate::render::setting::Step;
use crate::render::shell::{self, Bound, Limit};
use crate::render::yaml::{Node, Scalar, Shape};

/// A `$(NAME)` in a command or its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    name: String,
    site: Site,
}

/// The variables that a container has as far as the template tells.
#[derive(Debug, Default)]
pub(super) struct Variables<'e> {
    names: Vec<&'e str>,
    /// Whether some come from elsewhere, under names that the template does not tell.
    others: bool,
}

impl<'e> Variables<'e> {
    pub(super) fn of(container: &'e Node) -> Self {
        let names = match container.get("env").map(|list| &list.shape) {
            Some(Shape::Sequence(variables)) => variables.iter().filter_map(name_of).collect(),
            _ => Vec::new(),
        };
        Self { names, others: container.get("envFrom").is_some() }
    }

    fn has(&self, name: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        self.names.contains(&name) || (self.others && name.chars().all(plain))
    }
}

impl<'e> Reader<'e> {
    /// The first variable that kubelet pastes into an item of a command line.
    pub(super) fn pasted_variable(&self, scalar: &Scalar, variables: &Variables<'e>) -> Option<String> {
        let own = self.own_text(scalar);
        names(&own).find(|name| variables.has(name)).map(|name| format!("$({name})"))
    }

    fn own_text(&self, scalar: &Scalar) -> String {
        let parts = self.parts(scalar).parts;
        let texts = parts.iter().map(|part| match part {
            Part::Own(text) | Part::Tag(text, _) => text.as_str(),
            Part::Value(..) => "\0",
        });
        texts.collect()
    }

    /// The variables that kubelet would paste into a container's command.
    pub(super) fn references(&self, container: &'e Node, roles: &Roles) -> Vec<Reference> {
        let mut references = Vec::new();
        let lists = [container.get("command"), container.get("args")];
        let items = lists.into_iter().flatten().filter_map(|list| match &list.shape {
            Shape::Sequence(items) => Some(items),
            Shape::Scalar(_) | Shape::Mapping(_) => None,
        });
        for (item, role) in items.flatten().zip(&roles.items) {
            let Some(scalar) = item.scalar() else { continue };
            let site = match role {
                Role::Argument(Bound { limit: Limit::Any, .. }) => Site::Argument,
                Role::Argument(_) | Role::Shell(_) | Role::Source(_) | Role::Reread(_) => Site::Code,
            };
            let own = self.own_text(scalar);
            references.extend(names(&own).map(|name| Reference { name: name.to_owned(), site }));
        }
        references
    }

    /// Reads the list as any other, then refuses values in variables that decide which program runs, and holds those
    /// that kubelet pastes to the rules of the place they are pasted into.
    pub(super) fn environment(&mut self, list: &'e Node, references: &[Reference]) -> Result<Value, Flaw> {
        let Shape::Sequence(variables) = &list.shape else {
            return self.node(list);
        };
        let referenced = |site: Site| {
            references.iter().find(|reference| {
                reference.site == site && variables.iter().any(|variable| name_of(variable) == Some(&reference.name))
            })
        };
        // Variables may take over each other, so one that is pasted speaks for all.
        let pasted = referenced(Site::Code).or_else(|| referenced(Site::Argument));
        let mut values = Vec::with_capacity(variables.len());
        for (index, variable) in variables.iter().enumerate() {
            self.trail.push(Step::Index(index));
            let first = self.blanks.len();
            values.push(self.node(variable)?);
            self.variable(variable, first, pasted);
            self.trail.pop();
        }
        Ok(Value::Array(values))
    }

    /// `first` is the first of its blanks.
    fn variable(&mut self, variable: &'e Node, first: usize, pasted: Option<&Reference>) {
        if let (Some(reference), Some(_)) =
            (pasted, variable.get("valueFrom").and_then(|source| source.get("fieldRef")))
        {
            let paste = Paste { tag: "$(NAME)".to_owned(), kind: PasteKind::Text };
            let field = format!("{}.valueFrom.fieldRef", self.path());
            self.pastes.tag(&paste, reference.site, &field);
        }
        let Some(value) = variable.get("value").and_then(Node::scalar) else {
            return;
        };
        let mut rules = Vec::new();
        let name = name_of(variable).unwrap_or_default();
        if shell::decides_what_runs(name) {
            let bound = Bound::never(format!("the variable {name} decides what runs"));
            rules.push(Rule::Bound(bound, "use a variable with another name".to_owned()));
        }
        self.trail.push(Step::Key("value"));
        if let Some(reference) = pasted {
            rules.push(reference.rule());
            let field = self.path();
            for paste in &self.parts(value).pastes {
                self.pastes.tag(paste, reference.site, &field);
            }
        }
        for blank in self.blanks.iter_mut().skip(first).filter(|blank| blank.route.is(&self.trail)) {
            blank.rules.clone_from(&rules);
        }
        self.trail.pop();
    }
}

fn name_of(variable: &Node) -> Option<&str> {
    variable.get("name")?.scalar().map(|name| name.text.as_str())
}

impl Reference {
    /// What the values of a variable keep to that kubelet pastes.
    fn rule(&self) -> Rule {
        let Self { name, site } = self;
        let hint = format!("write \"${name}\" in the script, which the shell expands");
        if *site == Site::Code {
            let why = format!("kubelet pastes it with $({name}) into text that is read as code");
            return Rule::Bound(Bound::safe_word(why), hint);
        }
        let problem = format!(
            "it begins with '-', and kubelet pastes it with $({name}) into an argument, where it would be an option"
        );
        Rule::NoOption(problem, hint)
    }
}

/// The names in the `$(NAME)` of a text, as kubelet finds them.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let after = rest.get(rest.find('$')? + 1..)?;
            let Some(inside) = after.strip_prefix('(') else {
                // `$$` is a dollar, and what follows it is no reference.
                rest = after.strip_prefix('$').unwrap_or(after);
                continue;
            };
            // When none closes here, none closes behind it.
            let (name, behind) = inside.split_once(')')?;
            rest = behind;
            return Some(name);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_as_kubelet_finds_them() {
        let found: Vec<&str> = names("$(A) $$(B) $$$(C) $(d e) $x $(F").collect();
        assert_eq!(found, ["A", "C", "d e"]);
    }
}

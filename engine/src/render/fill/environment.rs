//! Environment variables: which may not be filled at all, and which kubelet pastes into the container's command.

use std::borrow::Cow;

use serde_json::Value;

use super::Filler;
use crate::render::Flaw;
use crate::render::argo_tags::{Part, Paste, PasteKind};
use crate::render::argv::{Role, Roles};
use crate::render::pastes::Site;
use crate::render::setting::Step;
use crate::render::shell::{self, Bound, Limit};
use crate::render::word::Print;
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
            Some(Shape::Sequence(variables)) => {
                let names = variables.iter().filter_map(|variable| variable.get("name")?.scalar());
                names.map(|name| name.text.as_str()).collect()
            }
            _ => Vec::new(),
        };
        Self { names, others: container.get("envFrom").is_some() }
    }

    fn has(&self, name: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        self.names.contains(&name) || (self.others && name.chars().all(plain))
    }
}

impl<'e> Filler<'e> {
    /// The first variable that kubelet pastes into an item of a command line.
    pub(super) fn pasted_variable(
        &self,
        scalar: &'e Scalar,
        variables: &Variables<'e>,
    ) -> Result<Option<String>, Flaw> {
        if !scalar.text.contains("$(") {
            return Ok(None);
        }
        let own = self.own_text(scalar)?;
        Ok(names(&own).find(|name| variables.has(name)).map(|name| format!("$({name})")))
    }

    fn own_text(&self, scalar: &'e Scalar) -> Result<Cow<'e, str>, Flaw> {
        if !self.is_mixed(scalar) {
            return Ok(Cow::Borrowed(&scalar.text));
        }
        let parts = self.parts(scalar)?;
        let texts = parts.parts.iter().map(|part| match part {
            Part::Own(text) | Part::Tag(text) => *text,
            Part::Value(..) => "\0",
        });
        Ok(Cow::Owned(texts.collect()))
    }

    /// The variables that kubelet would paste into a container's command.
    pub(super) fn references(&self, container: &'e Node, roles: &Roles) -> Result<Vec<Reference>, Flaw> {
        let mut references = Vec::new();
        let lists = [container.get("command"), container.get("args")];
        let items = lists.into_iter().flatten().filter_map(|list| match &list.shape {
            Shape::Sequence(items) => Some(items),
            Shape::Scalar(_) | Shape::Mapping(_) => None,
        });
        for (item, role) in items.flatten().zip(&roles.items) {
            let Some(scalar) = item.scalar() else { continue };
            let own = self.own_text(scalar)?;
            let site = match role {
                Role::Argument(Bound { limit: Limit::Any, .. }) => Site::Argument,
                Role::Argument(_) | Role::Shell(_) | Role::Source(_) | Role::Reread(_) => Site::Code,
            };
            references.extend(names(&own).map(|name| Reference { name: name.to_owned(), site }));
        }
        Ok(references)
    }

    /// Refuses values in variables that decide which program runs, holds those that kubelet pastes to the rules of
    /// the place they are pasted into, then fills the list as any other.
    pub(super) fn environment(&mut self, list: &'e Node, references: &[Reference]) -> Result<Value, Flaw> {
        let Shape::Sequence(variables) = &list.shape else {
            return self.node(list);
        };
        let referenced = |site: Site| {
            references.iter().find(|reference| {
                reference.site == site
                    && variables.iter().any(|variable| {
                        variable.get("name").and_then(Node::scalar).is_some_and(|name| name.text == reference.name)
                    })
            })
        };
        // Variables may take over each other, so one that is pasted speaks for all.
        let pasted = referenced(Site::Code).or_else(|| referenced(Site::Argument));
        for (index, variable) in variables.iter().enumerate() {
            self.trail.push(Step::Index(index));
            self.variable(variable, pasted)?;
            self.trail.pop();
        }
        self.node(list)
    }

    fn variable(&mut self, variable: &'e Node, pasted: Option<&Reference>) -> Result<(), Flaw> {
        if let (Some(reference), Some(_)) =
            (pasted, variable.get("valueFrom").and_then(|source| source.get("fieldRef")))
        {
            let paste = Paste { tag: "$(NAME)", kind: PasteKind::Text };
            let field = format!("{}.valueFrom.fieldRef", self.path());
            self.pastes.tag(&paste, reference.site, &field);
        }
        let Some(value) = variable.get("value").and_then(Node::scalar) else {
            return Ok(());
        };
        let name = variable.get("name").and_then(Node::scalar).map_or("", |name| name.text.as_str());
        self.trail.push(Step::Key("value"));
        let parts = self.parts(value)?;
        if let (true, Some(print)) = (shell::decides_what_runs(name), parts.values().next()) {
            return Err(self
                .refused(print, format!("no value can stand here: the variable {name} decides what runs"))
                .hint("use a variable with another name"));
        }
        if let Some(reference) = pasted {
            for print in parts.values() {
                self.check_pasted(print, reference)?;
            }
            let field = self.path();
            for paste in &parts.pastes {
                self.pastes.tag(paste, reference.site, &field);
            }
        }
        self.trail.pop();
        Ok(())
    }

    fn check_pasted(&self, print: &Print, reference: &Reference) -> Result<(), Flaw> {
        let problem = match reference.site {
            Site::Code => {
                let bound = Bound::safe_word(format!(
                    "kubelet pastes it with $({}) into text that is read as code",
                    reference.name
                ));
                shell::check(&print.value, &bound).err()
            }
            _ if print.value.starts_with('-') => Some(format!(
                "it begins with '-', and kubelet pastes it with $({}) into an argument, where it would be an option",
                reference.name
            )),
            _ => None,
        };
        match problem {
            None => Ok(()),
            Some(problem) => Err(self
                .refused(print, problem)
                .hint(format!("write \"${}\" in the script, which the shell expands", reference.name))),
        }
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

//! Fills an evaluated template: parses its text, puts every value in the place of its word, escaped for that place,
//! and checks what comes out.

mod environment;
mod scalar;

use serde_json::{Map, Value};

use environment::Variables;

use super::argo_tags::{Part, Parts};
use super::argv::{self, Role, Roles};
use super::pastes::Pastes;
use super::setting::{self, Reading, Setting, Step};
use super::shell::{Bound, Dialect, Item, Language, Spelling};
use super::yaml::{self, Key, Node, Scalar, Shape};
use super::yaml_scalar::FieldType;
use super::{Evaluated, Flaw, checks};

/// Makes the object that an evaluated template stands for.
///
/// A value changes the text of one scalar and nothing else of the object. Text that stays text:
/// a filled scalar is a string, unless it is written without quotes, holds one value and nothing else, and that is
/// digits (or `true` or `false`) in a field of integers (or booleans), or the template says `{{int .x}}` or
/// `{{bool .x}}`. Unfilled scalars mean what they mean to kubectl.
///
/// # Errors
/// What is wrong with the template's YAML or with the kind of object, a word where it would decide structure, and a
/// value that cannot stand in its place, each with line, column, field and parameter as far as they are known.
pub fn fill(evaluated: &Evaluated) -> Result<Value, Flaw> {
    fill_tree(evaluated, &yaml::parse(evaluated)?)
}

/// The same for a text that was read already.
pub(super) fn fill_tree(evaluated: &Evaluated, tree: &Node) -> Result<Value, Flaw> {
    let mut filler = Filler { evaluated, trail: Vec::new(), pastes: Pastes::default(), pasted_variable: None };
    let object = filler.node(tree)?;
    filler.pastes.check()?;
    checks::object(&object)?;
    Ok(object)
}

/// How the text of one scalar is read.
#[derive(Debug, Clone, Copy)]
enum How<'r> {
    Data,
    Argument(&'r Bound),
    Shell(Dialect, Spelling),
    Source(Language),
    Reread(&'r Bound),
    Manifest,
}

struct Filler<'e> {
    evaluated: &'e Evaluated,
    trail: Vec<Step<'e>>,
    pastes: Pastes<'e>,
    /// The variable that kubelet pastes into the item that is being filled, as `$(NAME)`.
    pasted_variable: Option<String>,
}

impl<'e> Filler<'e> {
    fn node(&mut self, node: &'e Node) -> Result<Value, Flaw> {
        match &node.shape {
            Shape::Mapping(entries) => self.mapping(node, entries),
            Shape::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    self.trail.push(Step::Index(index));
                    values.push(self.node(item)?);
                    self.trail.pop();
                }
                Ok(Value::Array(values))
            }
            Shape::Scalar(scalar) => {
                let setting = setting::of(&self.trail);
                let how = match &setting.reading {
                    Reading::Data => How::Data,
                    Reading::Reread(bound) => How::Reread(bound),
                    Reading::Expression => How::Source(Language::Expression),
                    Reading::Manifest => How::Manifest,
                };
                self.scalar(node, scalar, how, &setting)
            }
        }
    }

    fn mapping(&mut self, node: &'e Node, entries: &'e [(Key, Node)]) -> Result<Value, Flaw> {
        let container = if setting::is_user_keyed(&self.trail) { None } else { self.container(node)? };
        let references = match &container {
            Some(container) => self.references(node, &container.roles)?,
            None => Vec::new(),
        };
        let variables = Variables::of(node);
        let mut map = Map::with_capacity(entries.len());
        for (key, value) in entries {
            self.trail.push(Step::Key(&key.text));
            if key.text == "withParam" {
                self.pastes.loops_are_filled = true;
            }
            let filled = match (&container, key.text.as_str()) {
                (Some(container), "command") => {
                    self.items(value, container.roles.items.get(..container.commands), &variables)?
                }
                (Some(container), "args") => {
                    self.items(value, container.roles.items.get(container.commands..), &variables)?
                }
                (Some(container), "source") => match &value.shape {
                    Shape::Scalar(scalar) => self.source(value, scalar, &container.roles.source)?,
                    Shape::Sequence(_) | Shape::Mapping(_) => self.node(value)?,
                },
                (_, "env") => self.environment(value, &references)?,
                _ => self.node(value)?,
            };
            self.trail.pop();
            map.insert(key.text.clone(), filled);
        }
        Ok(Value::Object(map))
    }

    /// The roles of a mapping's items if it is a container, or is to some program what a container is.
    fn container(&mut self, node: &'e Node) -> Result<Option<Container>, Flaw> {
        let command = node.get("command");
        let args = node.get("args");
        let source = node.get("source").filter(|source| source.scalar().is_some());
        if command.is_none() && args.is_none() && source.is_none() && node.get("image").is_none() {
            return Ok(None);
        }
        let mut items = Vec::new();
        let mut commands = 0;
        for (list, key) in [(command, "command"), (args, "args")] {
            match list.map(|list| &list.shape) {
                Some(Shape::Sequence(nodes)) => {
                    for node in nodes {
                        items.push(self.item(node)?);
                    }
                }
                Some(Shape::Scalar(scalar)) if self.evaluated.words.contains_any(&scalar.text) => {
                    return Err(Flaw::new(format!("{key} is a list of words, not one text"))
                        .field(format!("{}.{key}", self.path()))
                        .hint("write [sh, -c, \"...\"] for a script"));
                }
                _ => {}
            }
            if key == "command" {
                commands = items.len();
            }
        }
        Ok(Some(Container { commands, roles: argv::roles(commands, &items, source.is_some()) }))
    }

    fn item(&self, node: &'e Node) -> Result<Item, Flaw> {
        let mut item = Item::default();
        let Shape::Scalar(scalar) = &node.shape else {
            item.push_hole();
            return Ok(item);
        };
        if !self.is_mixed(scalar) {
            item.push_own(&scalar.text);
            return Ok(item);
        }
        for part in &self.parts(scalar)?.parts {
            match part {
                Part::Own(own) => item.push_own(own),
                Part::Tag(_) | Part::Value(..) => item.push_hole(),
            }
        }
        Ok(item)
    }

    fn items(&mut self, list: &'e Node, roles: Option<&[Role]>, variables: &Variables<'e>) -> Result<Value, Flaw> {
        let (Shape::Sequence(nodes), Some(roles)) = (&list.shape, roles) else {
            return self.node(list);
        };
        let setting = Setting {
            reading: Reading::Data,
            field: FieldType::Text,
            path: false,
            expanded: setting::is_expanded(&self.trail),
            pasted: false,
            item: false,
        };
        let mut values = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            self.trail.push(Step::Index(index));
            self.pasted_variable = match &node.shape {
                Shape::Scalar(scalar) => self.pasted_variable(scalar, variables)?,
                Shape::Sequence(_) | Shape::Mapping(_) => None,
            };
            values.push(match (&node.shape, roles.get(index)) {
                (Shape::Scalar(scalar), Some(role)) => {
                    let how = match role {
                        Role::Argument(bound) => How::Argument(bound),
                        Role::Shell(dialect) => How::Shell(*dialect, Spelling::Argument),
                        Role::Source(language) => How::Source(*language),
                        Role::Reread(bound) => How::Reread(bound),
                    };
                    self.scalar(node, scalar, how, &setting)?
                }
                _ => self.node(node)?,
            });
            self.pasted_variable = None;
            self.trail.pop();
        }
        Ok(Value::Array(values))
    }

    fn source(&mut self, node: &'e Node, scalar: &'e Scalar, role: &Role) -> Result<Value, Flaw> {
        let mut setting = setting::of(&self.trail);
        setting.field = FieldType::Text;
        let how = match role {
            Role::Shell(dialect) => How::Shell(*dialect, Spelling::Source),
            Role::Source(language) => How::Source(*language),
            Role::Reread(bound) | Role::Argument(bound) => How::Reread(bound),
        };
        self.scalar(node, scalar, how, &setting)
    }

    /// Whether a scalar holds more than the template's own text. Most do not, and need not be taken apart.
    fn is_mixed(&self, scalar: &Scalar) -> bool {
        self.evaluated.words.contains_any(&scalar.text) || scalar.text.contains("{{")
    }

    fn parts(&self, scalar: &'e Scalar) -> Result<Parts<'e>, Flaw> {
        let pieces = self.evaluated.words.split(&scalar.text);
        Parts::of(pieces, setting::place(&self.trail)).map_err(|flaw| flaw.field(self.path()))
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.trail {
            match step {
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}

struct Container {
    /// How many of the items are those of `command`.
    commands: usize,
    roles: Roles,
}

#[cfg(test)]
mod tests;

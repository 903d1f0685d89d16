//! Reads an evaluated text as a form: walks its YAML, tells what each field is, and resolves what no value is part of.

use serde_json::{Map, Value};

use super::Form;
use super::blank::{Blank, How};
use super::environment::{Reference, Variables};
use crate::render::argo_tags::{Part, Parts};
use crate::render::argv::{self, Role, Roles};
use crate::render::pastes::Pastes;
use crate::render::setting::{self, Reading, Setting, Step};
use crate::render::shell::{Item, Language, Spelling};
use crate::render::yaml::{self, Key, Node, Scalar, Shape};
use crate::render::yaml_scalar::{self, FieldType};
use crate::render::{Evaluated, Flaw};

pub(super) fn form(evaluated: &Evaluated) -> Result<Form, Flaw> {
    let tree = yaml::parse(evaluated)?;
    let mut reader =
        Reader { evaluated, trail: Vec::new(), blanks: Vec::new(), pastes: Pastes::default(), pasted_variable: None };
    let object = reader.node(&tree)?;
    Ok(Form { object, blanks: reader.blanks, pastes: reader.pastes })
}

pub(super) struct Reader<'e> {
    evaluated: &'e Evaluated,
    pub(super) trail: Vec<Step<'e>>,
    pub(super) blanks: Vec<Blank>,
    pub(super) pastes: Pastes,
    /// The variable that kubelet pastes into the item that is being read, as `$(NAME)`.
    pasted_variable: Option<String>,
}

impl<'e> Reader<'e> {
    /// The value of a node, with nothing where a blank is.
    pub(super) fn node(&mut self, node: &'e Node) -> Result<Value, Flaw> {
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
                    Reading::Reread(bound) => How::Reread(bound.clone()),
                    Reading::Expression => How::Source(Language::Expression),
                    Reading::Manifest => How::Manifest,
                };
                self.scalar(node, scalar, &how, &setting)
            }
        }
    }

    fn mapping(&mut self, node: &'e Node, entries: &'e [(Key, Node)]) -> Result<Value, Flaw> {
        let container = if setting::is_user_keyed(&self.trail) { None } else { self.container(node)? };
        let references: Vec<Reference> = match &container {
            Some(container) => self.references(node, &container.roles),
            None => Vec::new(),
        };
        let variables = Variables::of(node);
        let mut map = Map::with_capacity(entries.len());
        for (key, value) in entries {
            self.trail.push(Step::Key(&key.text));
            if key.text == "withParam" {
                self.pastes.loops_are_filled = true;
            }
            let read = match (&container, key.text.as_str()) {
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
            map.insert(key.text.clone(), read);
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
                Some(Shape::Sequence(nodes)) => items.extend(nodes.iter().map(|node| self.item(node))),
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

    fn item(&self, node: &'e Node) -> Item {
        let mut item = Item::default();
        let Shape::Scalar(scalar) = &node.shape else {
            item.push_hole();
            return item;
        };
        for part in &self.parts(scalar).parts {
            match part {
                Part::Own(own) => item.push_own(own),
                Part::Tag(..) | Part::Value(..) => item.push_hole(),
            }
        }
        item
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
            self.pasted_variable = node.scalar().and_then(|scalar| self.pasted_variable(scalar, variables));
            values.push(match (&node.shape, roles.get(index)) {
                (Shape::Scalar(scalar), Some(role)) => {
                    let how = match role {
                        Role::Argument(bound) => How::Argument(bound.clone()),
                        Role::Shell(dialect) => How::Shell(*dialect, Spelling::Argument),
                        Role::Source(language) => How::Source(*language),
                        Role::Reread(bound) => How::Reread(bound.clone()),
                    };
                    self.scalar(node, scalar, &how, &setting)?
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
            Role::Reread(bound) | Role::Argument(bound) => How::Reread(bound.clone()),
        };
        self.scalar(node, scalar, &how, &setting)
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, how: &How, setting: &Setting) -> Result<Value, Flaw> {
        let parts = self.parts(scalar);
        self.note_pastes(&parts, how, setting);
        if parts.values().next().is_some() {
            let blank = Blank::of(&self.trail, scalar, parts, how, setting, self.pasted_variable.as_deref());
            self.blanks.push(blank);
            return Ok(Value::Null);
        }
        // A tag with a place of its own is there as a word.
        let text = parts.parts.iter().map(|part| match part {
            Part::Own(own) | Part::Tag(own, _) => own.as_str(),
            Part::Value(..) => "",
        });
        let own = Scalar { text: text.collect(), ..scalar.clone() };
        yaml_scalar::resolve(&own, setting.field)
            .map_err(|problem| yaml::located(self.evaluated, node.line, node.column, problem).field(self.path()))
    }

    fn note_pastes(&mut self, parts: &Parts, how: &How, setting: &Setting) {
        if parts.pastes.is_empty() && !setting.pasted {
            return;
        }
        let path = self.path();
        for paste in &parts.pastes {
            self.pastes.tag(paste, how.site(setting), &path);
            // What a loop takes from elsewhere is no literal.
            self.pastes.loops_are_filled |= setting.item;
        }
        if setting.pasted {
            for (word, _) in parts.values() {
                self.pastes.loops_are_filled |= setting.item;
                self.pastes.value(word, &path);
            }
        }
    }

    pub(super) fn parts(&self, scalar: &Scalar) -> Parts {
        Parts::of(self.evaluated.words.split(&scalar.text), setting::place(&self.trail))
    }

    pub(super) fn path(&self) -> String {
        setting::path(&self.trail)
    }
}

struct Container {
    /// How many of the items are those of `command`.
    commands: usize,
    roles: Roles,
}

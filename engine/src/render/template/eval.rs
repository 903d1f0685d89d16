//! Walks the tree of a template with the parameters of one alert, and prints opaque words in place of values.

use super::apply::{apply, not_a, quoted};
use super::ast::{Counter, Each, Expr, ExprKind, Node, NodeKind, Position, Slot};
use super::budget::Budget;
use super::function::Function;
use super::own::{self, Failure, Own, Source};
use super::value::{Data, Value};
use crate::render::{Flaw, Parameters, PlacedTag, Print, Printed, Words};

/// What an evaluation printed.
pub(super) struct Outcome {
    pub(super) text: String,
    pub(super) words: Words,
    /// (byte offset in the text, where in the template it comes from), in order.
    pub(super) origins: Vec<(usize, usize, usize)>,
}

/// Evaluates a tree that has this many variables, of a template of this length.
pub(super) fn evaluate(
    nodes: &[Node],
    slots: usize,
    length: usize,
    parameters: &Parameters,
    words: Words,
) -> Result<Outcome, Flaw> {
    let mut run = Run {
        parameters,
        slots: vec![None; slots],
        budget: Budget::new(),
        outcome: Outcome { text: String::with_capacity(length), words, origins: Vec::with_capacity(nodes.len()) },
    };
    run.block(nodes)?;
    Ok(run.outcome)
}

/// Whether what follows a node in its loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Continue,
    Break,
}

struct Run<'p> {
    parameters: &'p Parameters,
    slots: Vec<Option<Value>>,
    budget: Budget,
    outcome: Outcome,
}

impl Run<'_> {
    fn block(&mut self, nodes: &[Node]) -> Result<Flow, Flaw> {
        for node in nodes {
            self.budget.step(0).map_err(|flaw| placed(flaw, node.at))?;
            let flow = match &node.kind {
                NodeKind::Text(text) => {
                    self.own(node.at, text)?;
                    Flow::On
                }
                NodeKind::Print(expr) => {
                    let value = self.value(expr)?;
                    self.print(node.at, value)?;
                    Flow::On
                }
                NodeKind::Placed { text, place, elsewhere } => {
                    let print = self
                        .value(elsewhere)
                        .and_then(|value| self.printed(node.at, value))
                        .map_err(|flaw| flaw.hint(place.hint()));
                    let tag = PlacedTag { text: text.clone(), place: *place, elsewhere: print };
                    let bytes = tag.elsewhere.as_ref().map_or(0, |print| print.value.len());
                    let word = self.outcome.words.mint_placed(tag);
                    self.put(node.at, &word, bytes)?;
                    Flow::On
                }
                NodeKind::Set { slot, value } => {
                    let value = self.value(value)?;
                    self.set(*slot, Some(value));
                    Flow::On
                }
                NodeKind::If { arms, otherwise } => {
                    let mut taken = otherwise;
                    for arm in arms {
                        let value = self.value(&arm.condition)?;
                        let holds = value.is_true();
                        for slot in &arm.bind {
                            self.set(*slot, Some(value.clone()));
                        }
                        if holds {
                            taken = &arm.body;
                            break;
                        }
                    }
                    self.block(taken)?
                }
                NodeKind::Each(each) => self.each(each)?,
                NodeKind::Break => Flow::Break,
                NodeKind::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn each(&mut self, each: &Each) -> Result<Flow, Flaw> {
        let over = self.value(&each.over)?;
        let at = each.over.at;
        let rounds = self.rounds(over).map_err(|flaw| placed(flaw, at))?;
        if rounds.is_empty() {
            return self.block(&each.otherwise);
        }
        let length = count(rounds.len());
        for (index, (key, element)) in rounds.into_iter().enumerate() {
            self.budget.step(0).map_err(|flaw| placed(flaw, at))?;
            for slot in &each.locals {
                self.set(*slot, None);
            }
            if let Some(slot) = each.key {
                self.set(slot, Some(key));
            }
            for slot in &each.element {
                self.set(*slot, Some(element.clone()));
            }
            if let Some(Counter { index: slot, length: all }) = each.counter {
                self.set(slot, Some(count(index)));
                self.set(all, Some(length.clone()));
            }
            if self.block(&each.body)? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// The key and the element of every round of a loop.
    fn rounds(&mut self, over: Value) -> Result<Vec<(Value, Value)>, Flaw> {
        match &over.data {
            Data::Missing => Ok(Vec::new()),
            Data::List(items) => {
                self.budget.steps(items.len())?;
                Ok(items.iter().enumerate().map(|(index, item)| (count(index), item.clone())).collect())
            }
            Data::Parameters => {
                let mut rounds = Vec::new();
                for (name, value) in self.parameters.iter() {
                    self.budget.step(name.len() + value.len())?;
                    rounds.push((Value::parameter(name, Some(name)), Value::parameter(name, Some(value))));
                }
                Ok(rounds)
            }
            Data::Int(number) => {
                let rounds = usize::try_from(*number).unwrap_or_default();
                self.budget.steps(rounds)?;
                let round = |index| {
                    let index = count(index).or_from(over.from.as_ref());
                    (index.clone(), index)
                };
                Ok((0..rounds).map(round).collect())
            }
            _ => Err(not_a("a list", &over).hint("split makes a list of a text")),
        }
    }

    fn value(&mut self, expr: &Expr) -> Result<Value, Flaw> {
        let at = expr.at;
        self.budget.step(0).map_err(|flaw| placed(flaw, at))?;
        match &expr.kind {
            ExprKind::Literal(value) => Ok(value.clone()),
            ExprKind::Parameters => Ok(Value::own(Data::Parameters)),
            ExprKind::Parameter { name, strict } => {
                let value = self.parameter(name).map_err(|flaw| placed(flaw, at))?;
                if *strict && value.data == Data::Missing {
                    return Err(placed(self.missing(name), at));
                }
                Ok(value)
            }
            ExprKind::Variable { slots, fallback } => {
                let found = slots.iter().find_map(|slot| self.slots.get(*slot).and_then(Option::as_ref));
                match (found, fallback) {
                    (Some(value), _) => Ok(value.clone()),
                    (None, Some(fallback)) => self.value(fallback),
                    (None, None) => Err(at.flaw("this variable has no value here")),
                }
            }
            ExprKind::Field { of, name } => {
                let of = self.value(of)?;
                self.field(&of, name).map_err(|flaw| placed(flaw, at))
            }
            ExprKind::Call { function, arguments } => self.call(*function, arguments, at),
            ExprKind::And(operands) => self.first_that(operands, at, |value| !value.is_true()),
            ExprKind::Or(operands) => self.first_that(operands, at, Value::is_true),
            ExprKind::Own(own) => self.own_value(own, at),
        }
    }

    /// The value of an expression of our own style; it comes from the first parameter that the expression reads.
    fn own_value(&mut self, own: &Own, at: Position) -> Result<Value, Flaw> {
        let mut from = None;
        let mut values = Vec::with_capacity(own.reads.len());
        for read in &own.reads {
            let value = match &read.source {
                Source::Value(expr) => {
                    let value = self.value(expr)?;
                    self.budget.step(value.size()).map_err(|flaw| placed(flaw, read.at))?;
                    from = from.or_else(|| value.from.clone());
                    own::engine_value(&value)
                }
                Source::Loop(Counter { index, length }) => {
                    let [index, length] = [*index, *length].map(|slot| match self.slots.get(slot) {
                        Some(Some(Value { data: Data::Int(number), .. })) => *number,
                        _ => 0,
                    });
                    Some(own::loop_value(index, length))
                }
            };
            values.push(value);
        }
        match own.evaluate(&values, from.as_ref(), &mut self.budget) {
            Ok(value) => Ok(value),
            Err(Failure::Missing { name, at }) => Err(placed(self.missing(&name), at)),
            Err(Failure::Flaw(flaw)) => Err(placed(flaw, at)),
        }
    }

    /// Go's `and` and `or`: an operand itself, and no operand behind it is evaluated.
    fn first_that(&mut self, operands: &[Expr], at: Position, wanted: fn(&Value) -> bool) -> Result<Value, Flaw> {
        let mut from = None;
        let mut last = None;
        for operand in operands {
            let value = self.value(operand)?;
            from = from.or_else(|| value.from.clone());
            let found = wanted(&value);
            last = Some(value);
            if found {
                break;
            }
        }
        last.map(|value| value.or_from(from.as_ref())).ok_or_else(|| at.flaw("an operand is missing"))
    }

    fn call(&mut self, function: Function, arguments: &[Expr], at: Position) -> Result<Value, Flaw> {
        let mut operands = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = self.value(argument)?;
            if value.data == Data::Missing && !function.takes_missing() {
                let name = value.from.as_deref().unwrap_or_default();
                return Err(placed(self.missing(name), argument.at));
            }
            operands.push(value);
        }
        let result = match (function, operands.as_slice()) {
            (Function::Index, [Value { data: Data::Parameters, .. }, Value { data: Data::Text(name), .. }]) => {
                self.parameter(name)
            }
            _ => apply(function, &operands, &mut self.budget),
        };
        result.map_err(|flaw| placed(flaw, at))
    }

    /// Go's `.name`.
    fn field(&mut self, of: &Value, name: &str) -> Result<Value, Flaw> {
        if of.data == Data::Parameters {
            return self.parameter(name);
        }
        Err(Flaw::new(format!("asks {} for a field {name}, but only all parameters together have fields", of.noun()))
            .hint(format!("inside of range and with, write $.{name}")))
    }

    fn parameter(&mut self, name: &str) -> Result<Value, Flaw> {
        let value = self.parameters.get(name);
        self.budget.step(name.len() + value.map_or(0, str::len))?;
        Ok(Value::parameter(name, value))
    }

    fn missing(&self, name: &str) -> Flaw {
        let flaw = Flaw::new("is missing: this alert has none of that name").parameter(shortened(name));
        let near = self.parameters.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        if let Some((near, _)) = near {
            return flaw.hint(format!("did you mean {near}?"));
        }
        const SHOWN: usize = 20;
        let names: Vec<String> = self.parameters.iter().take(SHOWN).map(|(name, _)| shortened(name)).collect();
        let more = if self.parameters.iter().nth(SHOWN).is_some() { ", ..." } else { "" };
        flaw.hint(format!("it has {}{more}", names.join(", ")))
    }

    /// Prints a value: as a word, or, when no parameter went into it, as the template's own text.
    fn print(&mut self, at: Position, value: Value) -> Result<(), Flaw> {
        if value.from.is_none()
            && let Some(text) = value.printed()
        {
            return self.own(at, &text);
        }
        let print = self.printed(at, value)?;
        let bytes = print.value.len();
        let word = self.outcome.words.mint(print);
        self.put(at, &word, bytes)
    }

    fn printed(&self, at: Position, value: Value) -> Result<Print, Flaw> {
        let from = value.from.as_deref().unwrap_or_default();
        if value.data == Data::Missing {
            return Err(placed(self.missing(from), at));
        }
        let Some(text) = value.printed() else {
            return Err(at
                .flaw(format!("{} cannot be printed", value.noun()))
                .hint("print its parts one by one, or join them"));
        };
        Ok(Print {
            value: text,
            kind: match value.data {
                Data::Int(_) => Printed::Int,
                Data::Bool(_) => Printed::Bool,
                _ => Printed::Text,
            },
            parameter: from.to_owned(),
            line: at.line,
            column: at.column,
        })
    }

    fn own(&mut self, at: Position, text: &str) -> Result<(), Flaw> {
        self.budget.step(text.len()).map_err(|flaw| placed(flaw, at))?;
        self.put(at, text, 0)
    }

    /// Puts text into the output; `hidden` are the bytes of the value that stands behind it.
    fn put(&mut self, at: Position, text: &str, hidden: usize) -> Result<(), Flaw> {
        self.budget.print(text.len() + hidden).map_err(|flaw| placed(flaw, at))?;
        let Outcome { text: output, origins, .. } = &mut self.outcome;
        origins.push((output.len(), at.line, at.column));
        output.push_str(text);
        Ok(())
    }

    fn set(&mut self, slot: Slot, value: Option<Value>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = value;
        }
    }
}

fn placed(flaw: Flaw, at: Position) -> Flaw {
    if flaw.line.is_some() { flaw } else { flaw.at(at.line, at.column) }
}

fn count(number: usize) -> Value {
    Value::own(Data::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// A parameter's name as a message shows it; names come from alerts and may be long or hold control characters.
fn shortened(name: &str) -> String {
    let plain = name.len() <= 40 && !name.chars().any(char::is_control);
    if plain { name.to_owned() } else { quoted(name) }
}

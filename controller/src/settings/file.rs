//! The config file: its values become the defaults of the flags, so that flags and environment come before them and
//! the checks are the same.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Command, CommandFactory};
use serde_json::{Map, Value};

use super::{Error, Settings};

/// Keys of the file that belong to parts of the system that read them themselves.
const READ_ELSEWHERE: [&str; 1] = ["ai"];

/// The file that the arguments name, or the environment where the command listens to it.
pub(super) fn named_in(command: Command, arguments: &[OsString]) -> Option<PathBuf> {
    let lenient = command.ignore_errors(true).disable_help_flag(true).disable_version_flag(true);
    let matches = lenient.try_get_matches_from(arguments).ok()?;
    matches.try_get_one::<PathBuf>("config").ok().flatten().cloned()
}

/// The command with the file's values in place of its defaults.
pub(super) fn with_defaults_of(mut command: Command, path: PathBuf) -> Result<Command, Error> {
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    for (key, value) in entries(&path, &text)? {
        let (id, text) = checked(&path, &key, &value)?;
        command = command.mut_arg(id, |argument| argument.default_value(text));
    }
    Ok(command)
}

/// The file's settings by name; nesting is joined by '.'.
fn entries(path: &Path, text: &str) -> Result<Vec<(String, Value)>, Error> {
    let syntax = |message: String| Error::Syntax { path: path.to_owned(), message };
    let parsed: Option<Value> = serde_saphyr::from_str(text).map_err(|error| syntax(error.to_string()))?;
    let mut found = Vec::new();
    match parsed {
        None | Some(Value::Null) => {}
        Some(Value::Object(mapping)) => flatten("", mapping, &mut found),
        Some(other) => return Err(syntax(format!("found {}", abridged(&other)))),
    }
    Ok(found)
}

fn flatten(parent: &str, mapping: Map<String, Value>, into: &mut Vec<(String, Value)>) {
    for (name, value) in mapping {
        let key = if parent.is_empty() { name } else { format!("{parent}.{name}") };
        if READ_ELSEWHERE.contains(&key.as_str()) {
            continue;
        }
        match value {
            Value::Object(inner) if id_of(&key).is_none() => flatten(&key, inner, into),
            value => into.push((key, value)),
        }
    }
}

/// The id of the argument of that name, old names included.
fn id_of(key: &str) -> Option<String> {
    let command = Settings::command();
    let mut arguments = command.get_arguments();
    let named = arguments.find(|argument| {
        argument.get_long() == Some(key) || argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&key))
    });
    named.map(|argument| argument.get_id().to_string())
}

/// The argument's id and the value as its text, tried out alone so that an error names this key.
fn checked(path: &Path, key: &str, value: &Value) -> Result<(String, String), Error> {
    let id = id_of(key).filter(|id| id != "config");
    let id = id.ok_or_else(|| Error::UnknownKey { path: path.to_owned(), key: key.to_owned() })?;
    let bad = |expected: String| Error::BadValue {
        path: path.to_owned(),
        key: key.to_owned(),
        found: abridged(value),
        expected,
    };
    let text = text_of(value).ok_or_else(|| bad("expected a single value or a list of them".to_owned()))?;
    let mut alone = Command::new("value").no_binary_name(true);
    if let Some(argument) = Settings::command().get_arguments().find(|argument| argument.get_id() == id.as_str()) {
        let argument = argument.clone().env(clap::builder::Resettable::Reset).action(ArgAction::Set);
        alone = alone.arg(argument.requires(clap::builder::Resettable::Reset).exclusive(true));
    }
    match alone.try_get_matches_from([format!("--{id}={text}")]) {
        Ok(_) => Ok((id, text)),
        Err(error) => Err(bad(expectation(&error))),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(text_of).collect();
            items.map(|items| items.join(","))
        }
        Value::Object(mapping) => {
            let texts = mapping.iter().map(|(name, value)| match value {
                Value::Object(_) | Value::Array(_) | Value::Null => None,
                value => text_of(value).map(|text| (name.clone(), Value::String(text))),
            });
            texts.collect::<Option<Map<_, _>>>().map(|texts| Value::Object(texts).to_string())
        }
        Value::Null => None,
    }
}

fn expectation(error: &clap::Error) -> String {
    if let Some(cause) = std::error::Error::source(error) {
        return cause.to_string();
    }
    match error.get(clap::error::ContextKind::ValidValue) {
        Some(values) => format!("expected one of: {values}"),
        None => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

fn abridged(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { format!("{}...", text.chars().take(60).collect::<String>()) }
}

//! What the last word may become.

use clap::Arg;
use kubectl_aegis::view::Kind;
use kubectl_aegis::view::kinds;

use super::line::Line;
use super::live;

/// Words with what they are.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) words: Vec<(String, String)>,
    /// Whether it may be a file as well.
    pub(super) files: bool,
}

/// What the last word of the line may become.
pub(super) async fn of(line: &Line) -> Candidates {
    if let Some(flag) = &line.flag {
        return value(line, flag).await;
    }
    if line.typed.starts_with('-') {
        return flags(line);
    }
    if line.verb.has_subcommands() {
        let verbs = line.verb.get_subcommands().filter(|verb| !verb.is_hide_set());
        let about = |about: Option<&clap::builder::StyledStr>| about.map(ToString::to_string).unwrap_or_default();
        let words = verbs.map(|verb| (verb.get_name().to_owned(), about(verb.get_about()))).collect();
        return Candidates { words, files: false };
    }
    positional(line).await
}

fn flags(line: &Line) -> Candidates {
    let shown = line.verb.get_arguments().filter(|flag| !flag.is_hide_set());
    let words = shown.filter_map(|flag| {
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        Some((format!("--{}", flag.get_long()?), help))
    });
    Candidates { words: words.collect(), files: false }
}

/// A value of that flag.
async fn value(line: &Line, flag: &Arg) -> Candidates {
    let name = flag.get_long().unwrap_or_default();
    let is_file =
        flag.get_value_names().unwrap_or_default().iter().any(|name| matches!(name.as_str(), "FILE" | "PATH" | "DIR"));
    let choices: Vec<(String, String)> = flag
        .get_possible_values()
        .iter()
        .map(|value| (value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default()))
        .collect();
    let words = match name {
        "namespace" => live::namespaces(line).await,
        "context" => live::contexts(line),
        "filter" => filter_words(line),
        "node" => live::names(line, "nodes").await,
        "template" => live::names(line, "templates").await,
        "of" => live::names(line, "alerts").await,
        "output" if choices.is_empty() => {
            ["table", "wide", "json", "yaml", "name", "jsonpath="].map(|form| (form.to_owned(), String::new())).to_vec()
        }
        _ => choices,
    };
    Candidates { words, files: is_file }
}

/// The beginnings of terms.
fn filter_words(line: &Line) -> Vec<(String, String)> {
    let word = line.positionals.first().map_or("alerts", String::as_str);
    let kind = Kind::parse(word.split('/').next().unwrap_or_default());
    let fields = kind.into_iter().flat_map(|kind| kind.fields);
    fields
        .map(|field| {
            let operator = if field.what == kubectl_aegis::view::What::Time { "<" } else { "=" };
            (format!("{}{operator}", field.name), field.title.to_owned())
        })
        .collect()
}

/// What stands at the verb's next place.
async fn positional(line: &Line) -> Candidates {
    let path: Vec<&str> = line.path.iter().map(String::as_str).collect();
    let names = async |kind: &str| Candidates { words: live::names(line, kind).await, files: false };
    match path.as_slice() {
        ["get" | "top", ..] => kinds_or_names(line).await,
        ["trace" | "logs" | "approve" | "reject"] | ["alert", "list"] => names("alerts").await,
        ["rule", "get" | "delete" | "report"] => names("rules").await,
        ["template", "get" | "delete" | "render"] => names("templates").await,
        ["undo"] => {
            let mut words = prefixed("node/", live::names(line, "nodes").await);
            words.extend(live::names(line, "alerts").await);
            Candidates { words, files: false }
        }
        ["pause" | "resume"] => {
            let mut words = vec![("all".to_owned(), "everything".to_owned())];
            if path == ["resume"] {
                words.push(("breaker".to_owned(), "close the breaker".to_owned()));
            }
            match line.typed.split_once('/') {
                Some(("rule", _)) => words.extend(prefixed("rule/", live::names(line, "rules").await)),
                Some(("node", _)) => words.extend(prefixed("node/", live::names(line, "nodes").await)),
                _ => words
                    .extend([("rule/".to_owned(), "one rule".to_owned()), ("node/".to_owned(), "one node".to_owned())]),
            }
            Candidates { words, files: false }
        }
        _ => {
            let place = line.verb.get_positionals().nth(line.positionals.len()).or(line.verb.get_positionals().last());
            match place {
                Some(place) => value(line, place).await,
                None => Candidates::default(),
            }
        }
    }
}

/// A kind; after one its names.
async fn kinds_or_names(line: &Line) -> Candidates {
    if let Some((word, _)) = line.typed.split_once('/') {
        let words = match Kind::parse(word) {
            Some(kind) => prefixed(&format!("{word}/"), live::names(line, kind.plural).await),
            None => Vec::new(),
        };
        return Candidates { words, files: false };
    }
    let is_top = line.path.first().is_some_and(|verb| verb == "top");
    let words = match line.positionals.first().and_then(|word| Kind::parse(word)) {
        Some(kind) if !is_top => live::names(line, kind.plural).await,
        _ => kinds::ALL
            .iter()
            .map(|kind| {
                (kind.plural.to_owned(), kind.resources.iter().map(|one| one.kind).collect::<Vec<_>>().join(", "))
            })
            .collect(),
    };
    Candidates { words, files: false }
}

fn prefixed(prefix: &str, words: Vec<(String, String)>) -> Vec<(String, String)> {
    words.into_iter().map(|(word, what)| (format!("{prefix}{word}"), what)).collect()
}

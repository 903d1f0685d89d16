//! A container's words: `$(NAME)` expanded as kubelet does, and the script that they amount to.

use k8s_openapi::api::core::v1::Container;
use serde_json::Value;

use crate::agent::argo::pod::{SCRIPT_PATH, TEMPLATE_VARIABLE};

const SHELLS: [&str; 4] = ["sh", "bash", "dash", "ash"];

/// What a container would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The program and its arguments; empty when only the image would know.
    pub(crate) words: Vec<String>,
    /// The text of an Argo script template, which stands at [`SCRIPT_PATH`].
    pub(crate) source: Option<String>,
}

impl Command {
    /// Of `container`, with the environment that its words may name.
    pub(crate) fn of(container: &Container, environment: &[(String, String)]) -> Self {
        let words = container.command.iter().flatten().chain(container.args.iter().flatten());
        Self { words: words.map(|word| expand(word, environment)).collect(), source: source(container) }
    }

    /// What a person would call its script: the source, what follows `sh -c`, or else its words.
    pub(crate) fn script(&self) -> String {
        if let Some(source) = &self.source {
            return source.clone();
        }
        match self.words.as_slice() {
            [shell, options @ .., last]
                if is_shell(shell) && options.last().is_some_and(|option| is_dash_c(option)) =>
            {
                last.clone()
            }
            words => words.join(" "),
        }
    }
}

/// `$(NAME)` is the variable's value, `$$` a dollar sign, and an unknown name stays as it is written.
pub(crate) fn expand(text: &str, environment: &[(String, String)]) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match environment.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => expanded.push_str(value),
                None => {
                    expanded.push_str("$(");
                    expanded.push_str(name);
                    expanded.push(')');
                }
            }
            tail
        } else {
            expanded.push('$');
            after
        };
    }
    expanded.push_str(rest);
    expanded
}

fn source(container: &Container) -> Option<String> {
    let mut words = container.command.iter().flatten().chain(container.args.iter().flatten());
    if !words.any(|word| word == SCRIPT_PATH) {
        return None;
    }
    let variable = container.env.iter().flatten().find(|variable| variable.name == TEMPLATE_VARIABLE)?;
    let template: Value = serde_json::from_str(variable.value.as_deref()?).ok()?;
    Some(template.pointer("/script/source")?.as_str()?.to_owned())
}

fn is_shell(word: &str) -> bool {
    word.rsplit('/').next().is_some_and(|name| SHELLS.contains(&name))
}

fn is_dash_c(option: &str) -> bool {
    option.starts_with('-') && !option.starts_with("--") && option.ends_with('c')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_expanded_as_kubelet_does() {
        let environment = [("NODE".to_owned(), "n1".to_owned()), ("EMPTY".to_owned(), String::new())];
        let cases = [
            ("cordon $(NODE)", "cordon n1"),
            ("$(NODE)$(NODE)", "n1n1"),
            ("[$(EMPTY)]", "[]"),
            ("$(OTHER)", "$(OTHER)"),
            ("$$(NODE)", "$(NODE)"),
            ("$$$(NODE)", "$n1"),
            ("$$$$", "$$"),
            ("$NODE ${NODE}", "$NODE ${NODE}"),
            ("$(NODE", "$(NODE"),
            ("costs $", "costs $"),
            ("$(date +%s)", "$(date +%s)"),
        ];
        for (text, want) in cases {
            assert_eq!(expand(text, &environment), want, "{text}");
        }
    }

    fn command(container: Value) -> Command {
        let container = serde_json::from_value(container).unwrap();
        Command::of(&container, &[("NODE".to_owned(), "n1".to_owned())])
    }

    #[test]
    fn a_script_is_what_a_person_would_call_it() {
        let cases = [
            (json!({"name": "c", "command": ["/bin/bash", "-c", "kubectl cordon $(NODE)"]}), "kubectl cordon n1"),
            (json!({"name": "c", "command": ["sh"], "args": ["-ec", "a\nb"]}), "a\nb"),
            (json!({"name": "c", "command": ["kubectl"], "args": ["cordon", "$(NODE)"]}), "kubectl cordon n1"),
            (json!({"name": "c", "args": ["x"]}), "x"),
            (json!({"name": "c"}), ""),
            (
                json!({"name": "c", "command": ["bash", "/argo/staging/script"],
                    "env": [{"name": "ARGO_TEMPLATE", "value": "{\"script\":{\"source\":\"echo $(NODE)\"}}"}]}),
                "echo $(NODE)",
            ),
        ];
        for (container, want) in cases {
            assert_eq!(command(container.clone()).script(), want, "{container}");
        }
    }

    proptest::proptest! {
        #[test]
        fn expansion_never_panics_and_leaves_text_without_dollars_alone(text in "[a$()é ]{0,30}") {
            let expanded = expand(&text, &[("a".to_owned(), "b".to_owned())]);
            if !text.contains('$') {
                proptest::prop_assert_eq!(expanded, text);
            }
        }
    }
}

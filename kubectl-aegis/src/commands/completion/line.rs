//! The line as far as it was typed: which verb it has come to, and what its last word is the beginning of.

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;

/// A line that is being typed.
pub(super) struct Line {
    /// The verb, with everything that may follow.
    pub(super) verb: Command,
    /// The verb and those above it, by name.
    pub(super) path: Vec<String>,
    /// What stands after the verb, without flags.
    pub(super) positionals: Vec<String>,
    /// The flags for the cluster and their values, as they were typed.
    pub(super) cluster: Vec<String>,
    /// The flag whose value is being typed.
    pub(super) flag: Option<Arg>,
    /// What stands of the last word.
    pub(super) typed: String,
}

impl Line {
    /// Reads the words after the plugin's name; the last is the one that is being typed, and may be empty.
    pub(super) fn read(words: &[String]) -> Self {
        let mut root = Cli::command();
        root.build();
        let (typed, before) = words.split_last().map_or((String::new(), &[][..]), |(last, rest)| (last.clone(), rest));
        let mut line =
            Self { verb: root, path: Vec::new(), positionals: Vec::new(), cluster: Vec::new(), flag: None, typed };
        for word in before {
            line.take(word);
        }
        if line.flag.as_ref().is_some_and(Arg::is_global_set) {
            // It has no value yet.
            line.cluster.pop();
        }
        // A value may be typed behind its flag: --output=j
        if line.flag.is_none()
            && let Some((name, value)) = line.typed.clone().split_once('=')
            && let Some(flag) = line.flag_called(name).filter(|flag| flag.get_action().takes_values())
        {
            line.flag = Some(flag);
            line.typed = value.to_owned();
        }
        line
    }

    fn take(&mut self, word: &str) {
        if let Some(flag) = self.flag.take() {
            if flag.is_global_set() {
                self.cluster.push(word.to_owned());
            }
            return;
        }
        if word.starts_with('-') && word.len() > 1 {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let Some(flag) = self.flag_called(name) else { return };
            if flag.is_global_set() {
                self.cluster.push(word.to_owned());
            }
            let waits = value.is_none() && flag.get_action().takes_values() && !flag.is_require_equals_set();
            self.flag = waits.then_some(flag);
            return;
        }
        let inner = self.verb.get_subcommands().find(|inner| inner.get_name() == word).cloned();
        match inner.filter(|_| self.positionals.is_empty()) {
            Some(inner) => {
                self.path.push(word.to_owned());
                self.verb = inner;
            }
            None => self.positionals.push(word.to_owned()),
        }
    }

    fn flag_called(&self, name: &str) -> Option<Arg> {
        let is = |flag: &&Arg| match name.strip_prefix("--") {
            Some(long) => flag.get_long() == Some(long),
            None => flag.get_short().is_some_and(|short| name.strip_prefix('-') == Some(&short.to_string())),
        };
        self.verb.get_arguments().find(is).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Line {
        Line::read(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_line_is_read_as_far_as_it_was_typed() {
        let flag = |line: &Line| line.flag.as_ref().and_then(|flag| flag.get_long().map(str::to_owned));
        let line = read("-n ops get ale");
        assert_eq!(
            (line.path.join(" "), line.typed.as_str(), line.cluster.join(" ")),
            ("get".into(), "ale", "-n ops".into())
        );
        let line = read("get alerts -o ");
        assert_eq!(
            (flag(&line), line.typed.as_str(), line.positionals.join(" ")),
            (Some("output".into()), "", "alerts".into())
        );
        let line = read("get alerts --output=w");
        assert_eq!((flag(&line), line.typed.as_str()), (Some("output".into()), "w"));
        let line = read("rule test --alert a.json --ex");
        assert_eq!((line.path.join(" "), flag(&line), line.typed.as_str()), ("rule test".into(), None, "--ex"));
        let line = read("");
        assert!(line.path.is_empty() && line.typed.is_empty());
    }
}

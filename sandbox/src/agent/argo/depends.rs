//! `depends`: when a task of a DAG may run, as an expression over how other tasks ended.

use std::collections::BTreeSet;

/// A parsed `depends`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Depends {
    /// The task ended in one of these ways.
    Ended(String, Vec<Ending>),
    /// Not so.
    Not(Box<Depends>),
    /// All of them.
    All(Vec<Depends>),
    /// At least one of them.
    Any(Vec<Depends>),
}

/// How a task ended, in the words of `depends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Succeeded,
    Failed,
    Errored,
    Skipped,
    Omitted,
    /// At least one of an expanded task's items succeeded.
    AnySucceeded,
    /// All of an expanded task's items failed.
    AllFailed,
}

const DEEPEST: usize = 64;
/// What a task's bare name stands for.
const USUAL: [Ending; 2] = [Ending::Succeeded, Ending::Skipped];

impl Depends {
    /// Reads an expression: task names, optionally with ".Succeeded" and so on, `&&`, `||`, `!` and parentheses.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text.trim_start(), depth: 0 };
        let found = reader.any().map_err(|why| format!("{text:?} is not a valid depends expression: {why}"))?;
        if reader.rest.is_empty() {
            Ok(found)
        } else {
            Err(format!("{text:?} is not a valid depends expression: unexpected {:?}", reader.rest))
        }
    }

    /// What a list of `dependencies` means; `tolerated` holds what continueOn adds for each.
    pub(crate) fn list(dependencies: impl IntoIterator<Item = (String, Vec<Ending>)>) -> Self {
        Self::All(
            dependencies
                .into_iter()
                .map(|(task, tolerated)| Self::Ended(task, USUAL.into_iter().chain(tolerated).collect()))
                .collect(),
        )
    }

    /// Every task that it names.
    pub(crate) fn tasks(&self) -> BTreeSet<&str> {
        match self {
            Self::Ended(task, _) => BTreeSet::from([task.as_str()]),
            Self::Not(inner) => inner.tasks(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::tasks).collect(),
        }
    }

    /// Whether it holds; `ended(task, ending)` tells whether a task ended so.
    pub(crate) fn holds(&self, ended: &impl Fn(&str, Ending) -> bool) -> bool {
        match self {
            Self::Ended(task, endings) => endings.iter().any(|ending| ended(task, *ending)),
            Self::Not(inner) => !inner.holds(ended),
            Self::All(parts) => parts.iter().all(|part| part.holds(ended)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(ended)),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn any(&mut self) -> Result<Depends, String> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(single(parts, Depends::Any))
    }

    fn all(&mut self) -> Result<Depends, String> {
        let mut parts = vec![self.one()?];
        while self.take("&&") {
            parts.push(self.one()?);
        }
        Ok(single(parts, Depends::All))
    }

    fn one(&mut self) -> Result<Depends, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let found = if self.take("!") {
            Depends::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err("a parenthesis is not closed".to_owned());
            }
            inner
        } else {
            let task = self.word()?;
            if self.take(".") {
                Depends::Ended(task.to_owned(), vec![self.ending()?])
            } else {
                Depends::Ended(task.to_owned(), USUAL.to_vec())
            }
        };
        self.depth -= 1;
        Ok(found)
    }

    fn ending(&mut self) -> Result<Ending, String> {
        Ok(match self.word()? {
            "Succeeded" => Ending::Succeeded,
            "Failed" => Ending::Failed,
            "Errored" => Ending::Errored,
            "Skipped" => Ending::Skipped,
            "Omitted" => Ending::Omitted,
            "AnySucceeded" => Ending::AnySucceeded,
            "AllFailed" => Ending::AllFailed,
            other => {
                return Err(format!(
                    "{other:?} is not a result of a task; expected Succeeded, Failed, Errored, Skipped, Omitted, AnySucceeded or AllFailed"
                ));
            }
        })
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let end =
            self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        if word.is_empty() {
            return Err(if rest.is_empty() { "it ends early".to_owned() } else { format!("unexpected {rest:?}") });
        }
        self.rest = rest.trim_start();
        Ok(word)
    }
}

fn single(mut parts: Vec<Depends>, many: impl Fn(Vec<Depends>) -> Depends) -> Depends {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_holds_by_how_tasks_ended() {
        let ended = |task: &str, ending: Ending| {
            matches!(
                (task, ending),
                ("good", Ending::Succeeded)
                    | ("bad", Ending::Failed)
                    | ("left-out", Ending::Skipped)
                    | ("many", Ending::AnySucceeded)
            )
        };
        let cases = [
            ("good", true, "a bare name means that it succeeded"),
            ("left-out", true, "or was skipped"),
            ("bad", false, "a failure does not satisfy a bare name"),
            ("bad.Failed", true, ""),
            ("good && bad", false, ""),
            ("good||bad", true, ""),
            ("!bad", true, ""),
            ("good && (bad.Succeeded || bad.Failed)", true, ""),
            ("bad.Errored", false, ""),
            ("many.AnySucceeded", true, ""),
            ("many.AllFailed || bad && good", false, "and binds closer"),
        ];
        for (text, want, why) in cases {
            assert_eq!(Depends::parse(text).unwrap().holds(&ended), want, "{text}: {why}");
        }
    }

    #[test]
    fn a_list_of_dependencies_wants_all_of_them() {
        let list = Depends::list([("a".to_owned(), vec![]), ("b".to_owned(), vec![Ending::Failed])]);
        assert!(list.holds(
            &|task, ending| (task, ending) == ("a", Ending::Succeeded) || (task, ending) == ("b", Ending::Failed)
        ));
        assert!(
            !list.holds(
                &|task, ending| (task, ending) == ("a", Ending::Failed) || (task, ending) == ("b", Ending::Failed)
            )
        );
        assert_eq!(list.tasks(), BTreeSet::from(["a", "b"]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let cases = [
            ("", "it ends early"),
            ("a &&", "it ends early"),
            ("a b", "unexpected \"b\""),
            ("(a", "not closed"),
            ("a.Done", "\"Done\" is not a result"),
            ("a & b", "unexpected \"& b\""),
        ];
        for (text, want) in cases {
            let found = Depends::parse(text).unwrap_err();
            assert!(found.contains(want), "{text}: {found}");
        }
        assert!(Depends::parse(&"!(".repeat(5_000)).unwrap_err().contains("nested too deeply"));
    }
}

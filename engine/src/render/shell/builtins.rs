//! The shell's own commands, and programs that take names or files where others take text.

use super::command::{Assigned, Facts, Reread, Word};
use super::judge::{hand_over_all, judge_assignment, names_variable};
use super::word::{POSITIONAL, is_variable};
use super::{Bound, Limit};

/// Judges the words behind a command that reads them in a way of its own.
pub(super) fn judge(facts: &mut Facts, name: &str, words: &[Word]) {
    match name {
        "for" | "select" => {
            if let Some(variable) = words.first() {
                facts.bind_word(variable, &Bound::never("it would name a variable"));
                if let Some(variable) = variable.literal() {
                    for word in words.iter().skip(2) {
                        facts.assign(variable, word);
                    }
                }
            }
        }
        "." | "source" => {
            if let Some(file) = words.first() {
                let bound = if file.begins_with_value() {
                    Bound::never(format!("{name} would run the file of that name"))
                } else {
                    Bound::safe_word(format!("{name} runs the file of that name"))
                };
                facts.bind_word(file, &bound);
                facts.run_files.push(file.literal().map(str::to_owned));
            }
        }
        "printf" => printf(facts, words),
        "export" | "readonly" | "local" | "declare" | "typeset" => declare(facts, name, words),
        "set" => {
            let dashes = words.first().and_then(Word::literal) == Some("--");
            for word in words {
                if !dashes {
                    facts.hand_over(word, &Bound::safe_word("set takes it for options"));
                }
                facts.assign(POSITIONAL, word);
            }
        }
        "read" | "mapfile" | "readarray" | "getopts" => {
            let everything = 0..facts.holes.len();
            for word in words {
                facts.bind_word(word, &Bound::safe_word(format!("{name} takes names of variables")));
                if let Some(variable) = word.literal().filter(|text| is_variable(text)) {
                    facts.assigned.push(Assigned { name: variable.to_owned(), holes: everything.clone(), names: 0..0 });
                }
            }
        }
        "unset" | "wait" | "hash" | "unalias" | "shopt" | "ulimit" | "umask" | "chattr" => {
            hand_over_all(facts, words, format!("{name} takes names and options"));
        }
        "let" => {
            let bound = Bound::new(Limit::Digits, "let evaluates arithmetic");
            for word in words {
                facts.hand_over(word, &bound);
                for variable in identifiers(&word.text) {
                    let at = facts.names.len();
                    facts.names.push(variable);
                    facts.rereads.push(Reread { names: at..at + 1, bound: bound.clone() });
                }
            }
        }
        "test" | "[" if words.iter().any(|word| matches!(word.literal(), Some("-v" | "-R"))) => {
            hand_over_all(facts, words, format!("{name} -v takes the name of a variable"));
        }
        "chmod" | "crontab" | "systemctl" => {
            for word in words {
                if word.text.contains('/') || word.expands() {
                    facts.run_files.push(word.literal().map(str::to_owned));
                }
            }
        }
        _ => {}
    }
}

fn printf(facts: &mut Facts, words: &[Word]) {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.literal() {
            Some("-v") => {
                if let Some(variable) = rest.next() {
                    facts.hand_over(variable, &Bound::never("printf -v takes the name of a variable"));
                }
            }
            Some("--") => {}
            _ => {
                facts.bind_word(
                    word,
                    &Bound::safe_word("printf interprets its format; write printf '%s' and the value"),
                );
                return;
            }
        }
    }
}

fn declare(facts: &mut Facts, name: &str, words: &[Word]) {
    for word in words {
        if let Some(flags) = word.literal().filter(|text| text.starts_with(['-', '+'])) {
            facts.integers |= flags.contains('i');
            facts.arrays |= flags.contains(['a', 'A', 'n']);
            continue;
        }
        if word.assignment().is_some() {
            judge_assignment(facts, word);
            facts.declared.push(word.holes.clone());
        } else if names_variable(word) {
            facts.bind_word(word, &Bound::never("it would name a variable"));
        } else {
            facts.hand_over(word, &Bound::safe_word(format!("{name} takes names of variables")));
        }
    }
}

fn identifiers(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|part| is_variable(part))
        .map(str::to_owned)
        .collect()
}

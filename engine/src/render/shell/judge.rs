//! What a command does with its words: which of them it reads as code, as names or as files.

use std::ops::Range;

use super::builtins;
use super::command::{Assigned, Call, Command, Facts, MARK, Redirect, RedirectKind, Reread, Word, Written};
use super::options;
use super::programs::{
    Program, base_name, carries_input, decides_what_runs, recodes, takes_files, tells_of_reader, wrapper_operands,
};
use super::word::{POSITIONAL, is_name};
use super::{Bound, Limit};

/// Judges a whole pipeline whose first hole is `first_hole`.
pub(super) fn pipeline(facts: &mut Facts, stages: &[Command], first_hole: usize) {
    if stages.is_empty() {
        return;
    }
    for command in stages {
        judge(facts, command);
    }
    let compound = stages.iter().any(|stage| stage.compound);
    // The holes of a compound command were judged with the commands inside of it and may lie anywhere before.
    let first = if compound { 0 } else { first_hole };
    let all = first..facts.passed;
    let runs_input = stages.iter().any(runs_its_input);
    if runs_input {
        facts.runs_input = true;
        if stages.len() > 1 {
            let bound = if stages.iter().any(|stage| program(stage).is_some_and(|(_, name)| recodes(name))) {
                Bound::never("it is decoded and then read as code")
            } else {
                Bound::safe_word("it goes through a pipe to a program that reads its input as code")
            };
            facts.bind(all.clone(), &bound);
        }
    }
    let carried =
        stages.iter().all(|stage| !stage.compound && program(stage).is_none_or(|(_, name)| carries_input(name)));
    let special = written_to(facts, stages, &all);
    for doc in stages.iter().flat_map(|stage| &stage.here_docs) {
        if let Some(doc) = facts.here_docs.get_mut(*doc) {
            if runs_input || !carried {
                doc.bound.raise(&Bound::safe_word("its here-document goes to a program that may read it as code"));
            }
            if let Some(bound) = &special {
                doc.bound.raise(bound);
            }
        }
    }
    for redirect in stages.iter().flat_map(|stage| &stage.redirects) {
        if redirect.kind == RedirectKind::HereString && (runs_input || !carried) {
            facts
                .hand_over(&redirect.target, &Bound::safe_word("it goes to a program that may read its input as code"));
        }
    }
}

/// Follows what a pipeline writes to files, and bounds it when a file is one that is read as code.
fn written_to(facts: &mut Facts, stages: &[Command], all: &Range<usize>) -> Option<Bound> {
    let mut special = None;
    let redirected = stages
        .iter()
        .flat_map(|stage| &stage.redirects)
        .filter(|redirect| redirect.kind == RedirectKind::Write)
        .map(|redirect| &redirect.target);
    let teed = stages
        .iter()
        .filter(|stage| program(stage).is_some_and(|(_, name)| name == "tee"))
        .flat_map(|stage| stage.words.iter().skip(1));
    let targets: Vec<&Word> = redirected.chain(teed).collect();
    for target in targets {
        if target.literal() == Some("/dev/null") {
            continue;
        }
        facts.written.push(Written { file: target.literal().map(str::to_owned), holes: all.clone() });
        for doc in stages.iter().flat_map(|stage| &stage.here_docs) {
            // The text of a here-document is read after its command is judged.
            facts.written_docs.push((*doc, facts.written.len() - 1));
        }
        if read_as_code(&target.text) {
            let bound = Bound::safe_word("it is written to a file that a program reads as code");
            facts.bind(all.clone(), &bound);
            special = Some(bound);
        }
    }
    special
}

/// Whether files of this name are usually read as code or as orders.
fn read_as_code(file: &str) -> bool {
    const ENDINGS: &[&str] = &[
        ".sh",
        ".bash",
        ".py",
        ".pl",
        ".rb",
        ".js",
        ".mjs",
        ".php",
        ".lua",
        ".awk",
        ".sed",
        ".sql",
        ".yaml",
        ".yml",
        ".json",
        ".toml",
        ".service",
        ".timer",
        ".conf",
        ".cfg",
        ".rules",
        ".env",
        "rc",
        "profile",
        "authorized_keys",
        "Makefile",
        "Dockerfile",
        "crontab",
    ];
    const FOLDERS: &[&str] = &["/etc/", "/.ssh/", "/cron", "/systemd/", "/proc/", "/sys/", "/dev/tcp/", "/dev/udp/"];
    ENDINGS.iter().any(|ending| file.ends_with(ending)) || FOLDERS.iter().any(|folder| file.contains(folder))
}

/// The position and the name of the program that a command runs in the end, behind wrappers.
pub(super) fn program(command: &Command) -> Option<(usize, &str)> {
    let mut at = 0;
    loop {
        let word = command.words.get(at)?;
        let name = base_name(word.literal()?);
        // `time -p` and `coproc` leave options where the program would stand.
        let wrapper = if name.starts_with('-') && at == 0 { Some((0, &[] as &[&str])) } else { wrapper_operands(name) };
        let Some((operands, options)) = wrapper else {
            return Some((at, name));
        };
        match behind_wrapper(&command.words, at, name, operands, options) {
            Some(next) => at = next,
            None => return Some((at, name)),
        }
    }
}

fn behind_wrapper(words: &[Word], wrapper: usize, name: &str, mut operands: usize, options: &[&str]) -> Option<usize> {
    let mut at = wrapper + 1;
    while let Some(word) = words.get(at) {
        match word.literal() {
            Some("--") => {
                return words.get(at + 1 + operands).map(|_| at + 1 + operands);
            }
            Some(option) if options.contains(&option) => at += 2,
            Some(option) if option.starts_with('-') => at += 1,
            _ if name == "env" && (word.assignment().is_some() || names_variable(word)) => at += 1,
            _ if word.prefix().starts_with('-') => at += 1,
            _ if operands > 0 => {
                operands -= 1;
                at += 1;
            }
            _ => return Some(at),
        }
    }
    None
}

fn runs_its_input(command: &Command) -> bool {
    let Some((at, name)) = program(command) else {
        return false;
    };
    let behind = command.words.get(at + 1..).unwrap_or_default();
    match Program::of(name) {
        Program::Interpreter => match behind.first().map(|word| word.literal()) {
            None | Some(None) => true,
            Some(Some(first)) => first.starts_with('-') || first == "/dev/stdin",
        },
        Program::Reader => {
            !matches!(
                name,
                // These read their program from their arguments and their input as data.
                "awk"
                    | "gawk"
                    | "mawk"
                    | "nawk"
                    | "sed"
                    | "gsed"
                    | "jq"
                    | "gojq"
                    | "jaq"
                    | "yq"
                    | "alias"
                    | "trap"
                    | "eval"
                    | "watch"
                    | "rsync"
                    | "scp"
                    | "nc"
                    | "ncat"
                    | "telnet"
            ) || options::reads_orders_from_input(name, behind)
        }
        Program::Wrapper | Program::Other => options::reads_orders_from_input(name, behind),
        Program::Printer => false,
    }
}

fn judge(facts: &mut Facts, command: &Command) {
    for redirect in &command.redirects {
        judge_redirect(facts, redirect);
    }
    for word in &command.assignments {
        judge_assignment(facts, word);
    }
    let Some(first) = command.words.first() else {
        return;
    };
    if program(command).is_some_and(|(_, name)| takes_files(name)) {
        mark_paths(facts, command.words.get(1..).unwrap_or_default());
    }
    judge_first(facts, first, &command.words);
    let Some((at, name)) = program(command) else {
        // A wrapper whose program is a value or an expansion.
        unclear_program(facts, &command.words);
        return;
    };
    let name = name.to_owned();
    for word in command.words.get(1..at).unwrap_or_default() {
        if word.assignment().is_some() {
            judge_assignment(facts, word);
        } else if names_variable(word) {
            facts.bind_word(word, &Bound::never("it would name a variable"));
        }
    }
    let behind = command.words.get(at + 1..).unwrap_or_default();
    judge_arguments(facts, &name, behind);
    let (holes, names) = (span(behind), names_span(behind));
    if !holes.is_empty() || !names.is_empty() {
        let first = behind.first().filter(|word| word.begins_with_value()).map(|word| word.holes.clone());
        facts.calls.push(Call { arguments: Assigned { name, holes, names }, first });
    }
}

fn mark_paths(facts: &mut Facts, words: &[Word]) {
    for hole in words.iter().flat_map(|word| &word.direct) {
        if let Some(known) = facts.hole(*hole) {
            known.path = true;
        }
    }
}

fn judge_first(facts: &mut Facts, first: &Word, words: &[Word]) {
    if first.begins_with_value() {
        facts.bind_word(first, &Bound::never("it would name the program to run; write its name in the template"));
    } else if !first.direct.is_empty() {
        facts.bind_word(first, &Bound::safe_word("it is a part of the name of the program to run"));
        mark_paths(facts, std::slice::from_ref(first));
        facts.run_files.push(None);
    }
    if first.text.contains('/') {
        facts.run_files.push(first.literal().map(str::to_owned));
    }
    if first.expands() {
        let names = first.names.clone();
        let positional =
            facts.names.get(names.clone()).is_some_and(|names| names.iter().any(|name| name == POSITIONAL));
        facts.runs_arguments |= positional;
        let bound = if first.text.starts_with(MARK) && !positional {
            Bound::never("it would name the program to run")
        } else {
            Bound::safe_word("it becomes a part of a command")
        };
        facts.rereads.push(Reread { names, bound });
    }
    if names_variable(first) {
        facts.bind_word(first, &Bound::never("it would name a variable"));
    }
    if first.text.contains(MARK) {
        unclear_program(facts, words);
    }
}

/// Whether a value stands in what would be the name of an assignment.
pub(super) fn names_variable(word: &Word) -> bool {
    let Some((left, _)) = word.text.split_once('=') else {
        return false;
    };
    let left = left.strip_suffix('+').unwrap_or(left);
    left.contains(MARK) && left.chars().all(|c| c == MARK || is_name(c))
}

/// A program that only the running script knows may read its arguments as code.
fn unclear_program(facts: &mut Facts, words: &[Word]) {
    facts.run_files.push(None);
    let bound = Bound::safe_word("the program that gets it is known only when the script runs");
    let mut names_program = true;
    for word in words {
        let literal = word.literal().is_some();
        if names_program && word.begins_with_value() {
            facts.bind_word(word, &Bound::never("it would name the program to run"));
        } else {
            facts.hand_over(word, &bound);
        }
        names_program = names_program && literal;
    }
}

fn judge_redirect(facts: &mut Facts, redirect: &Redirect) {
    mark_paths(facts, std::slice::from_ref(&redirect.target));
    if redirect.kind == RedirectKind::Duplicate {
        facts.hand_over(&redirect.target, &Bound::new(Limit::Digits, "it names the file descriptor of a redirection"));
    }
}

pub(super) fn judge_assignment(facts: &mut Facts, word: &Word) {
    let Some((name, value)) = word.assignment() else {
        return;
    };
    let left = word.text.split('=').next().unwrap_or_default();
    if left.contains(MARK) {
        facts.hand_over(word, &Bound::new(Limit::Digits, "it is the subscript of an array"));
    }
    if decides_what_runs(name) {
        facts.bind_word(word, &Bound::never(format!("the variable {name} decides what runs")));
    }
    // Behind the = begins what the script will use as a word of its own.
    if value.starts_with(MARK)
        && let Some(first) = word.direct.first()
        && let Some(known) = facts.hole(*first)
    {
        known.begins.get_or_insert(word.id);
    }
    facts.assign(name, word);
}

fn judge_arguments(facts: &mut Facts, name: &str, words: &[Word]) {
    match Program::of(name) {
        Program::Interpreter => judge_interpreter(facts, name, words),
        Program::Reader => {
            if name == "alias" {
                facts.doubt("an alias changes how it is read");
            }
            hand_over_all(facts, words, format!("{name} reads its arguments as code"));
        }
        Program::Wrapper => {
            hand_over_all(facts, words, format!("{name} runs what its arguments name"));
        }
        Program::Printer | Program::Other => {
            builtins::judge(facts, name, words);
            options::judge(facts, name, words);
            if name != "echo" && name != "printf" && name != "logger" {
                judge_inner_readers(facts, words);
            }
        }
    }
}

pub(super) fn hand_over_all(facts: &mut Facts, words: &[Word], why: String) {
    let bound = Bound::safe_word(why);
    for word in words {
        facts.hand_over(word, &bound);
    }
}

/// A shell or another interpreter runs the file that its first operand names; the rest is the script's to read.
fn judge_interpreter(facts: &mut Facts, name: &str, words: &[Word]) {
    let Some(first) = words.first() else {
        return;
    };
    if first.begins_with_value() {
        facts.bind_word(first, &Bound::never(format!("{name} would run the file of that name")));
    }
    match first.literal() {
        Some(file) if !file.starts_with(['-', '+']) => {
            facts.run_files.push(Some(file.to_owned()));
        }
        _ => {
            facts.run_files.push(None);
            hand_over_all(facts, words, format!("{name} reads its arguments as code"));
        }
    }
}

/// `kubectl exec pod -- sh -c ...`, `find . -exec sed ...` and the like.
fn judge_inner_readers(facts: &mut Facts, words: &[Word]) {
    let reader = words.iter().position(|word| word.literal().is_some_and(|text| tells_of_reader(base_name(text))));
    let exec = words.iter().position(|word| matches!(word.literal(), Some("-exec" | "-execdir" | "-ok" | "-okdir")));
    for (at, why) in [(reader, "reads what follows it as code"), (exec, "runs what follows it")] {
        let Some(at) = at else { continue };
        let name = words.get(at).and_then(|word| word.literal()).unwrap_or_default();
        hand_over_all(facts, words.get(at + 1..).unwrap_or_default(), format!("{name} {why}"));
    }
}

/// The holes in some neighbouring words.
fn span(words: &[Word]) -> Range<usize> {
    match (words.first(), words.last()) {
        (Some(first), Some(last)) => first.holes.start..last.holes.end,
        _ => 0..0,
    }
}

fn names_span(words: &[Word]) -> Range<usize> {
    match (words.first(), words.last()) {
        (Some(first), Some(last)) => first.names.start..last.names.end,
        _ => 0..0,
    }
}

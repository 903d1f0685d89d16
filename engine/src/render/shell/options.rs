//! Options whose argument a program reads as something other than plain text.

use super::Bound;
use super::command::{Facts, Word};
use super::programs::{Program, carries_input};

/// Judges the words behind a program by its options.
pub(super) fn judge(facts: &mut Facts, name: &str, words: &[Word]) {
    let mut before: Option<&str> = None;
    let mut behind_dashes = false;
    for word in words {
        let own = word.prefix();
        let option = before.unwrap_or_default();
        if let Some(what) = option_reader(name, option).or_else(|| attached_reader(name, own)) {
            facts.hand_over(word, &Bound::safe_word(what));
        }
        if orders_file(name, option) {
            facts.run_files.push(word.literal().map(str::to_owned));
            if word.begins_with_value() {
                facts.bind_word(word, &Bound::never("it would name the file of orders to carry out"));
            }
        }
        if Program::of(name) != Program::Printer && looks_like_json(&word.text) {
            facts.bind_word(word, &Bound::safe_word("it stands in what looks like JSON, which another program reads"));
        }
        if behind_dashes && word.begins_with_value() && runs_behind_dashes(name, words) {
            facts.bind_word(word, &Bound::never("it would name the program to run"));
        }
        behind_dashes = word.literal() == Some("--");
        before = word.literal();
    }
}

fn option_reader(name: &str, option: &str) -> Option<&'static str> {
    let exempt: &[&str] = match option {
        "-c" => &[
            "grep",
            "egrep",
            "fgrep",
            "ping",
            "ping6",
            "wc",
            "head",
            "tail",
            "kubectl",
            "oc",
            "cut",
            "sort",
            "uniq",
            "tr",
            "tar",
            "gzip",
            "stat",
            "du",
            "crictl",
            "md5sum",
            "sha256sum",
            "ionice",
            "seq",
            "truncate",
            "logger",
        ],
        "-e" => &["grep", "egrep", "fgrep"],
        _ => &[],
    };
    let any =
        matches!(option, "-c" | "-e" | "--command" | "--eval" | "--execute" | "--exec" | "--expression" | "-exec");
    if any && !exempt.contains(&name) {
        return Some("it stands behind an option that takes code");
    }
    let known = match name {
        "kubectl" | "oc" => matches!(
            option,
            "-p" | "--patch"
                | "--template"
                | "--overrides"
                | "-o"
                | "--output"
                | "--jsonpath"
                | "--filter"
                | "--sort-by"
                | "--raw"
        ),
        "curl" => {
            option.starts_with("--data")
                || option.starts_with("--form")
                || matches!(
                    option,
                    "-d" | "-F"
                        | "-H"
                        | "--header"
                        | "--json"
                        | "-K"
                        | "--config"
                        | "-w"
                        | "--write-out"
                        | "-b"
                        | "--cookie"
                        | "-T"
                )
        }
        "wget" => matches!(option, "--post-data" | "--body-data" | "--header"),
        "helm" => option.starts_with("--set") || option == "--post-renderer",
        "docker" | "podman" | "nerdctl" | "crictl" => matches!(option, "-f" | "--format"),
        "find" => matches!(option, "-execdir" | "-ok" | "-okdir" | "-printf"),
        "tar" => matches!(option, "-I" | "-F" | "--use-compress-program" | "--to-command"),
        "git" => matches!(option, "-c" | "--upload-pack" | "--receive-pack"),
        "date" => matches!(option, "-d" | "--date" | "-f"),
        _ => false,
    };
    known.then_some("it stands behind an option whose argument the program interprets")
}

/// Options written together with their argument, as `--patch=...`.
fn attached_reader(name: &str, own: &str) -> Option<&'static str> {
    if !own.starts_with('-') {
        return None;
    }
    let (option, _) = own.split_once('=')?;
    let tar = name == "tar" && option == "--checkpoint-action";
    let ssh = option == "-oProxyCommand";
    if tar || ssh {
        return Some("it stands behind an option that takes code");
    }
    if name == "curl" && option.starts_with("--data-urlencode") {
        return None;
    }
    option_reader(name, option)
}

/// Whether the next word names a file of orders, as `kubectl apply -f`.
fn orders_file(name: &str, option: &str) -> bool {
    match name {
        "kubectl" | "oc" => matches!(option, "-f" | "--filename" | "-k" | "--kustomize" | "--patch-file"),
        "helm" => matches!(option, "-f" | "--values"),
        "docker-compose" => option == "-f",
        "sysctl" => option == "-p",
        "curl" => matches!(option, "-K" | "--config"),
        _ => false,
    }
}

fn runs_behind_dashes(name: &str, words: &[Word]) -> bool {
    matches!(name, "kubectl" | "oc" | "docker" | "podman" | "crictl" | "nerdctl")
        && words.iter().any(|word| matches!(word.literal(), Some("exec" | "run" | "debug")))
}

fn looks_like_json(text: &str) -> bool {
    match text.split_once('{') {
        Some((_, rest)) if rest.contains(['"', ':']) => true,
        _ => text.contains("[\""),
    }
}

/// Whether the words hand the command's standard input to a reader of orders, as `kubectl apply -f -`.
pub(super) fn reads_orders_from_input(name: &str, words: &[Word]) -> bool {
    let dash =
        words.iter().any(|word| matches!(word.literal(), Some("-" | "-f-" | "--filename=-" | "/dev/stdin" | "@-")));
    dash && !carries_input(name)
}

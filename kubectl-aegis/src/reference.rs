//! docs/cli.md, made from what --help prints and kept equal to it.

use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;

/// The page: every verb under its heading, with its manual, its flags and its examples.
fn page() -> String {
    let root = Cli::command();
    let mut page = String::from(
        "# The plugin, verb by verb\n\nThis page is made from what `kubectl aegis --help` prints; `make generate` writes it. Every example on it is run \
         by a test.\n\n",
    );
    push_text(&mut page, &text(root.get_long_about()));
    page.push_str("\n```text\n");
    let exit = text(root.get_after_help());
    page.push_str(exit.split_once("Exit codes:").map(|(_, codes)| codes.trim()).unwrap_or_default());
    page.push_str(
        "\n```\n\n## Flags of every verb\n\nThey mean what they mean to kubectl, and stand anywhere on the line.\n",
    );
    table(&mut page, root.get_arguments().filter(|flag| flag.is_global_set()));
    for verb in root.get_subcommands() {
        push_verb(&mut page, verb, "kubectl aegis", 2);
    }
    page
}

fn push_verb(page: &mut String, verb: &Command, before: &str, depth: usize) {
    let name = format!("{before} {}", verb.get_name());
    if verb.get_name() == "help" {
        return;
    }
    page.push_str(&format!("\n{} {name}\n\n", "#".repeat(depth)));
    push_text(page, &text(verb.get_long_about().or(verb.get_about())));
    if verb.has_subcommands() {
        for inner in verb.get_subcommands() {
            push_verb(page, inner, &name, depth + 1);
        }
        return;
    }
    let mut bare = verb.clone().bin_name(&name);
    page.push_str(&format!("\n```text\n{}\n```\n", bare.render_usage().to_string().trim_start_matches("Usage: ")));
    let after = text(verb.get_after_help().or(verb.get_after_long_help()));
    let (examples, rest) = parted(&after);
    if !examples.is_empty() {
        page.push_str(&format!("\n```sh\n{examples}\n```\n"));
    }
    if !rest.is_empty() {
        page.push_str(&format!("\n{rest}\n"));
    }
    table(page, verb.get_arguments().filter(|flag| !flag.is_global_set() && flag.get_id() != "help"));
}

/// The examples, without the two spaces before each line, and what stands around them.
pub(crate) fn parted(after: &str) -> (String, String) {
    let Some((before, from)) = after.split_once("Examples:\n").or_else(|| after.split_once("Example:\n")) else {
        return (String::new(), after.to_owned());
    };
    let is_example = |line: &&str| line.starts_with("  ") || line.is_empty();
    let examples: Vec<&str> =
        from.lines().take_while(is_example).map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    let rest: Vec<&str> = from.lines().skip_while(is_example).collect();
    (examples.join("\n").trim_end().to_owned(), format!("{before}{}", rest.join("\n")).trim().to_owned())
}

fn push_text(page: &mut String, text: &str) {
    for line in text.lines() {
        // What help shows set in by two is a sample: Markdown takes four for that.
        page.push_str(if line.starts_with("  ") { "  " } else { "" });
        page.push_str(line);
        page.push('\n');
    }
}

pub(crate) fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

fn table<'a>(page: &mut String, flags: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = flags.map(row).collect();
    if !rows.is_empty() {
        page.push_str(&format!("\n| flag | default | |\n|---|---|---|\n{}", rows.concat()));
    }
}

fn row(flag: &Arg) -> String {
    let takes_value = flag.get_action().takes_values();
    let value = match flag.get_value_names() {
        Some(names) if takes_value => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    let name = match (flag.get_short(), flag.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long} {value}"),
        (None, Some(long)) => format!("--{long} {value}"),
        (Some(short), None) => format!("-{short} {value}"),
        (None, None) => value,
    };
    let defaults: Vec<&str> = match flag.is_hide_default_value_set() || !takes_value {
        true => Vec::new(),
        false => flag.get_default_values().iter().filter_map(|value| value.to_str()).collect(),
    };
    let default = if defaults.is_empty() { String::new() } else { format!("`{}`", defaults.join(",")) };
    let help = flag.get_long_help().or(flag.get_help()).map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = match flag.is_hide_possible_values_set() || !takes_value {
        true => Vec::new(),
        false => flag.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect(),
    };
    let choices = if choices.is_empty() { String::new() } else { format!(": {}", choices.join(", ")) };
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    format!("| `{}` | {default} | {} |\n", cell(name.trim()), cell(&format!("{help}{choices}")))
}

#[test]
fn the_page_says_what_the_verbs_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    if std::env::var_os("AEGIS_GENERATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "{} is not what the verbs are now; run `make generate`", path.display());
}

#[test]
fn every_verb_has_a_manual_with_an_example() {
    fn check(verb: &Command, name: &str) {
        for inner in verb.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let name = format!("{name} {}", inner.get_name());
            assert!(inner.get_about().is_some(), "{name} has no manual");
            if inner.has_subcommands() {
                check(inner, &name);
            } else if name != " options" {
                let after = text(inner.get_after_help());
                assert!(after.contains("\n  kubectl aegis") || after.contains("make "), "{name} has no example");
            }
        }
    }
    check(&Cli::command(), "");
}

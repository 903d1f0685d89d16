//! docs/reference/controller-settings.md, made from the settings themselves and kept equal to them.

use std::path::Path;

use clap::{Arg, CommandFactory};

use super::Settings;

/// The page: every setting under its heading, with what it means.
fn page() -> String {
    let command = Settings::command();
    let mut page = String::from(
        "# Settings of the controller\n\nThis page is made from what `aegis-controller --help` prints; `make generate` writes it.\n\n",
    );
    for line in command.get_long_about().map(ToString::to_string).unwrap_or_default().lines() {
        // What help shows set in by two is the sample of a file: Markdown takes four for that.
        page.push_str(if line.starts_with("  ") { "  " } else { "" });
        page.push_str(line);
        page.push('\n');
    }
    let mut heading = None;
    for argument in command.get_arguments() {
        let own = argument.get_help_heading().unwrap_or("General");
        if heading != Some(own) {
            heading = Some(own);
            page.push_str(&format!("\n## {own}\n\n| flag | variable | default | |\n|---|---|---|---|\n"));
        }
        page.push_str(&row(argument));
    }
    page
}

fn row(argument: &Arg) -> String {
    let flag = argument.get_long().unwrap_or_default();
    let value = argument.get_value_names().unwrap_or_default().join(" ");
    let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
    let defaults: Vec<&str> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
    let default = match defaults.join(",") {
        none if none.is_empty() => String::new(),
        some => format!("`{some}`"),
    };
    let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !choices.is_empty() {
        help.push_str(&format!(": {}", choices.join(" or ")));
    }
    let others: Vec<String> =
        argument.get_all_aliases().into_iter().flatten().map(|name| format!("`--{name}`")).collect();
    if !others.is_empty() {
        help.push_str(&format!(" (also {})", others.join(", ")));
    }
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    format!("| `--{flag} {}` | `{variable}` | {default} | {} |\n", cell(&value), cell(&help))
}

#[test]
fn the_page_says_what_the_settings_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/controller-settings.md");
    if std::env::var_os("AEGIS_GENERATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "{} is not what the settings are now; run `make generate`", path.display());
}

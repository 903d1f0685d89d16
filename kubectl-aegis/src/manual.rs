//! The manual pages, made from what --help prints. `scripts/package` has them written and puts them into the archives.

use std::collections::BTreeMap;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::Cli;
use crate::reference::{parted, text};

/// Every page by its file name: one for the plugin, one for each verb and each group of verbs.
fn pages() -> BTreeMap<String, String> {
    // The man of kubectl's own verbs is called kubectl-get; a name with a space is none for a file.
    let mut root = Cli::command().display_name("kubectl-aegis").disable_help_subcommand(true);
    root.build();
    let mut pages = BTreeMap::new();
    push(&mut pages, &root);
    pages
}

fn push(pages: &mut BTreeMap<String, String>, verb: &Command) {
    let is_root = verb.get_name() == "kubectl aegis";
    for inner in verb.get_subcommands() {
        push(pages, inner);
    }
    // The flags of every verb stand on the plugin's page alone, with those that only `options` lists.
    let shown = verb.clone().mut_args(|flag| {
        let hidden = if flag.is_global_set() { !is_root } else { flag.is_hide_set() };
        flag.hide(hidden)
    });
    let name = verb.get_display_name().unwrap_or(verb.get_name()).to_owned();
    let source = format!("Aegis {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(shown.clone()).title(name.to_uppercase()).source(source).manual("kubectl aegis");
    pages.insert(format!("{name}.1"), rendered(&man, &shown, is_root).unwrap());
}

fn rendered(man: &Man, verb: &Command, is_root: bool) -> Result<String, Box<dyn std::error::Error>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if verb.get_arguments().any(|flag| !flag.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if verb.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let (examples, rest) = parted(&text(verb.get_after_help().or(verb.get_after_long_help())));
    let mut roff = Roff::new();
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    if !rest.is_empty() {
        roff.control("SH", ["NOTES"]);
        for line in rest.lines() {
            if line.is_empty() {
                roff.control("PP", [])
            } else {
                roff.text([roman(line)])
            };
        }
    }
    if !is_root {
        roff.control("SH", ["SEE ALSO"]).text([roman("kubectl-aegis(1): the flags of every verb, and the exit codes")]);
    }
    roff.to_writer(&mut page)?;
    Ok(String::from_utf8(page)?)
}

#[test]
fn every_verb_has_a_manual_page() {
    fn check(pages: &BTreeMap<String, String>, verb: &Command, name: &str) {
        let page = pages.get(&format!("{name}.1")).unwrap_or_else(|| panic!("{name} has no page"));
        // roff has words of its own for what could be more than a hyphen or an apostrophe.
        let plain = page.replace("\\*(Aq", "'").replace("\\-", "-");
        let about = text(verb.get_about());
        let about = about.lines().next().unwrap_or_default();
        assert!(plain.contains(about), "{name}: {about:?} is not on {page}");
        let inner = verb.get_subcommands().filter(|inner| inner.get_name() != "help");
        for inner in inner {
            check(pages, inner, &format!("{name}-{}", inner.get_name()));
        }
        if !verb.has_subcommands() && name != "kubectl-aegis-options" {
            assert!(page.contains(".SH EXAMPLES"), "{name} shows no example");
        }
    }
    let pages = pages();
    check(&pages, &Cli::command(), "kubectl-aegis");
    assert!(!pages.keys().any(|name| name.contains(' ')), "{:?}", pages.keys());
    let (root, verb) = (&pages["kubectl-aegis.1"], &pages["kubectl-aegis-trace.1"]);
    assert!(root.contains("\\-\\-as\\-group") && !verb.contains("\\-\\-as\\-group"), "global flags stand on one page");
    if let Some(folder) = std::env::var_os("AEGIS_MANUALS") {
        for (name, page) in pages {
            std::fs::write(std::path::Path::new(&folder).join(name), page).unwrap();
        }
    }
}

//! The plugin's manual, its plan, and its exit codes, as a person or a script meets them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the plugin at the top of the repository, with no cluster in reach.
fn aegis(words: &[&str]) -> Output {
    let nowhere = tempfile::tempdir().unwrap();
    command(words, &nowhere).output().unwrap()
}

fn command(words: &[&str], nowhere: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"));
    command
        .args(words)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("HOME", nowhere.path())
        .env("KUBECONFIG", nowhere.path().join("none"))
        .env_remove("AEGIS_URL")
        // Both would change where lines are broken, or make it look for a cluster around it.
        .env_remove("COLUMNS")
        .env_remove("KUBERNETES_SERVICE_HOST");
    command
}

fn stdout(words: &[&str]) -> String {
    let done = aegis(words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn where_nobody_reads_on_it_ends_as_it_would() {
    let nowhere = tempfile::tempdir().unwrap();
    for words in [&["get", "alerts"][..], &["get", "nonsense"], &["rule", "lint", "-f", "examples/quickstart"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command(words, &nowhere).stderr(writer).output().unwrap().status.code();
        assert_eq!(ended, aegis(words).status.code(), "kubectl aegis {} 2>&1 | head", words.join(" "));
    }
}

#[test]
fn the_manual_of_every_verb() {
    let pages: [(&str, &[&str]); 38] = [
        ("aegis", &["--help"]),
        ("demo", &["demo", "--help"]),
        ("sandbox", &["sandbox", "--help"]),
        ("alert", &["alert", "--help"]),
        ("alert_send", &["alert", "send", "--help"]),
        ("alert_resolve", &["alert", "resolve", "--help"]),
        ("alert_list", &["alert", "list", "--help"]),
        ("alert_rejected", &["alert", "rejected", "--help"]),
        ("get", &["get", "--help"]),
        ("trace", &["trace", "--help"]),
        ("rule", &["rule", "--help"]),
        ("rule_test", &["rule", "test", "--help"]),
        ("rule_get", &["rule", "get", "--help"]),
        ("rule_create", &["rule", "create", "--help"]),
        ("rule_lint", &["rule", "lint", "--help"]),
        ("rule_report", &["rule", "report", "--help"]),
        ("rule_apply", &["rule", "apply", "--help"]),
        ("rule_delete", &["rule", "delete", "--help"]),
        ("template", &["template", "--help"]),
        ("template_create", &["template", "create", "--help"]),
        ("template_lint", &["template", "lint", "--help"]),
        ("template_render", &["template", "render", "--help"]),
        ("template_convert", &["template", "convert", "--help"]),
        ("template_apply", &["template", "apply", "--help"]),
        ("logs", &["logs", "--help"]),
        ("top", &["top", "--help"]),
        ("completion", &["completion", "--help"]),
        ("version", &["version", "--help"]),
        ("options", &["options"]),
        ("plan", &["plan", "--help"]),
        ("pause", &["pause", "--help"]),
        ("resume", &["resume", "--help"]),
        ("approve", &["approve", "--help"]),
        ("reject", &["reject", "--help"]),
        ("undo", &["undo", "--help"]),
        ("guard", &["guard", "--help"]),
        ("image", &["image", "--help"]),
        ("image_build", &["image", "build", "--help"]),
    ];
    for (name, words) in pages {
        insta::assert_snapshot!(format!("help_{name}"), stdout(words));
    }
}

#[test]
fn the_plan_of_the_quick_start() {
    let words = ["plan", "-f", "examples/quickstart/alert.json", "--rules", "examples/quickstart/rule.yaml"];
    insta::assert_snapshot!("plan_quickstart", stdout(&words));
}

#[test]
fn a_script_can_tell_failures_apart_by_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let no_object = file("no-object.json", r#"{"type": "NodeDown", "status": "Firing", "fingerprint": "f"}"#);
    let no_json = file("no.json", "type: NodeDown");
    let nobody = "http://127.0.0.1:1";
    let rules = "examples/quickstart/rule.yaml";
    let cases: [(&str, &[&str], i32, &str); 8] = [
        ("a verb that does not exist", &["repair"], 2, "unrecognized subcommand 'repair'"),
        ("a flag that does not exist", &["plan", "X", "--nod", "n1"], 2, "'--nod'"),
        ("nothing that it is about", &["alert", "send", "X"], 2, "say what the alert is about"),
        ("a body that is no JSON", &["plan", "-f", &no_json, "--rules", rules], 2, "the body is not JSON"),
        ("a body that is refused", &["plan", "-f", &no_object, "--rules", rules], 1, "involvedObject: found nothing"),
        ("no rule for it", &["plan", "Unheard", "--node", "n1", "--rules", rules], 1, "NoRule"),
        ("nobody at the webhook", &["alert", "send", "X", "--node", "n1", "--url", nobody], 3, "could not reach"),
        ("no cluster", &["plan", "X", "--node", "n1"], 3, "which cluster to use"),
    ];
    for (why, words, code, part) in cases {
        let done = aegis(words);
        let told = [done.stdout, done.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert_eq!(done.status.code(), Some(code), "{why}: {told}");
        assert!(told.contains(part), "{why}: no {part:?} in {told}");
    }
}

#[test]
fn both_readmes_show_the_same_commands_links_and_names() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let [english, chinese] = ["README.md", "README_CN.md"].map(|name| std::fs::read_to_string(top.join(name)).unwrap());
    assert_eq!(shown(&english), shown(&chinese));
    assert_eq!(links(&english), links(&chinese));
    for link in links(&english).into_iter().filter(|link| !link.starts_with("http")) {
        assert!(top.join(&link).exists(), "README.md links to {link}, which does not exist");
    }
    let plan = stdout(&["plan", "-f", "examples/quickstart/alert.json", "--rules", "examples/quickstart/rule.yaml"]);
    let alert = plan.split_whitespace().find_map(|word| word.strip_prefix("monitoring/")?.strip_suffix(':')).unwrap();
    assert!(english.contains(alert), "README.md shows another name than {alert}");
}

/// The lines of a page's code blocks without comments, which are in the page's language like its drawing.
fn shown(page: &str) -> Vec<&str> {
    let blocks = page.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap().trim_end());
    lines.filter(|line| line.is_ascii()).collect()
}

/// What a page links to, but for the page in the other language.
fn links(page: &str) -> BTreeSet<String> {
    let targets = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    targets.filter(|link| !link.starts_with("README")).map(str::to_owned).collect()
}

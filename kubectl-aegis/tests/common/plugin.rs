//! The plugin as a process, against an API server in memory without a controller.

#![allow(dead_code, reason = "a test uses what it needs of it")]

use std::path::Path;
use std::process::Command;

use aegis_sandbox::{Options, Sandbox};

/// What came of a run.
#[derive(Debug)]
pub struct Told {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the plugin with that kubeconfig: its exit code, and all that it said.
pub fn aegis(kubeconfig: &str, words: &[&str]) -> (i32, String) {
    let Told { code, out, err } = told(kubeconfig, words);
    (code, out + &err)
}

/// The same, with what it said on either output.
pub fn told(kubeconfig: &str, words: &[&str]) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"))
        .args(words)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("KUBECONFIG", &file)
        .env("HOME", folder.path())
        .env_remove("AEGIS_URL")
        // Settings of a controller elsewhere are not read from here.
        .env("AEGIS_RULE_NAMESPACES", "no namespace at all")
        .output()
        .unwrap();
    Told {
        code: done.status.code().unwrap(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// [`told`] by that sandbox.
pub async fn told_by(sandbox: &Sandbox, words: &[&str]) -> Told {
    let kubeconfig = sandbox.kubeconfig();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let run = move || told(&kubeconfig, &words.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// [`aegis`] in that sandbox.
pub async fn in_the_sandbox(sandbox: &Sandbox, words: &[&str]) -> (i32, String) {
    let Told { code, out, err } = told_by(sandbox, words).await;
    (code, out + &err)
}

/// An API server that knows Aegis.
pub async fn sandbox() -> Sandbox {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let crds = aegis_crds::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let namespaces = ["default", "monitoring", "team-a"].map(String::from).to_vec();
    Sandbox::start(Options { crds, namespaces, ..Options::default() }).await.unwrap()
}

//! The plugin as a process, against an API server in memory without a controller.

#![allow(dead_code, reason = "a test uses what it needs of it")]

use std::path::Path;
use std::process::Command;

use aegis_sandbox::{Options, Sandbox};
use serde_json::Value;

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

/// Stores an object as it is, status included; `collection` is the path of its collection.
pub async fn stored(sandbox: &Sandbox, collection: &str, object: Value) -> Value {
    let client = sandbox.client_as("test");
    let send = async |method: http::Method, path: String, body: &Value| {
        let request = http::Request::builder().method(method).uri(path).header("Content-Type", "application/json");
        client.request::<Value>(request.body(body.to_string().into_bytes()).unwrap()).await.unwrap()
    };
    let made = send(http::Method::POST, collection.to_owned(), &object).await;
    if object.get("status").is_none() || collection.ends_with("/workflows") {
        return made;
    }
    let mut whole = made.clone();
    whole["status"] = object["status"].clone();
    send(http::Method::PUT, format!("{collection}/{}/status", made["metadata"]["name"].as_str().unwrap()), &whole).await
}

/// What the plugin asked of the server since the record was last reset: verb, resource and name.
pub fn asked(sandbox: &Sandbox) -> Vec<String> {
    let of_plugin = aegis_sandbox::Match::any().component("kubectl-aegis");
    let entries = sandbox.requests().matching(&of_plugin).into_iter();
    entries.map(|entry| format!("{} {} {}", entry.request.verb, entry.request.resource, entry.request.name)).collect()
}

/// The time so many seconds ago, as objects write it.
pub fn ago(seconds: i64) -> String {
    let time = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
    jiff::Timestamp::from_second(time.as_second()).unwrap().to_string()
}

//! A sandbox and a real kubectl that knows nothing but it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aegis_sandbox::{Match, Options, Sandbox};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox and a kubectl that knows nothing but it.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    home: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bench {
    /// None if there is no kubectl.
    pub(crate) async fn new(options: Options) -> Option<Self> {
        let found = Command::new("kubectl")
            .args(["version", "--client"])
            .env_remove("KUBECONFIG")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        if !found.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "kubectl is required and is not on PATH");
            println!("skipped: no kubectl");
            return None;
        }
        let sandbox = Sandbox::start(options).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), sandbox.kubeconfig()).unwrap();
        Some(Self { sandbox, home })
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(split(arguments))
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn feed(&self, arguments: &str, input: &str) -> Said {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("kubectl {arguments} did not end"))
            .unwrap();
        Said {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) async fn run(&self, arguments: &str) -> String {
        self.fed(arguments, "").await
    }

    pub(crate) async fn fed(&self, arguments: &str, input: &str) -> String {
        let said = self.feed(arguments, input).await;
        assert!(said.ok, "kubectl {arguments}: {}{}", said.out, said.err);
        said.out
    }

    pub(crate) async fn fails(&self, arguments: &str, input: &str) -> String {
        let said = self.feed(arguments, input).await;
        assert!(!said.ok, "kubectl {arguments} succeeded: {}", said.out);
        said.err
    }

    pub(crate) async fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{arguments} -o json")).await).unwrap()
    }

    pub(crate) fn spawn(&self, arguments: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = self.command(arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }

    /// Waits until kubectl watches pods; or until it does no more, which the server hears a moment after it has ended.
    pub(crate) async fn watches(&self, yes: bool) {
        let watches = Match::any().component("kubectl").resource("pods");
        while (self.sandbox.faults().open_watches(&watches) > 0) != yes {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }
}

/// Splits at spaces; single quotes hold together.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

pub(crate) async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("no line came").unwrap().unwrap_or_default()
}

/// Columns are padded to what came before them; only the words count.
pub(crate) fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn table(text: &str) -> Vec<String> {
    text.lines().map(words).collect()
}

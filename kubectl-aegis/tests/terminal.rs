//! What people see at a terminal: `script` of util-linux gives the plugin one.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use plugin::{sandbox, stored};
use serde_json::json;

const ALERTS: &str = "/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisalerts";
const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal. Whoever drops it ends it.
struct Terminal {
    script: Child,
    parts: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Runs the plugin with these words; `None` where there is no such terminal.
    fn start(kubeconfig: &Path, words: &str) -> Option<Self> {
        let line = format!("exec {} {words}", env!("CARGO_BIN_EXE_kubectl-aegis"));
        let started = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", kubeconfig.parent().unwrap())
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut script) = started else {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "script is required here and was not found");
            eprintln!("skipped: no script");
            return None;
        };
        let (mut out, (send, parts)) = (script.stdout.take().unwrap(), channel());
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut part) {
                if send.send(part[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self { script, parts, shown: String::new() })
    }

    /// Waits until that text was drawn, after all that was waited for before.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            let Ok(part) = self.parts.recv_timeout(PATIENCE) else { panic!("no {text:?} after {:?}", self.shown) };
            self.shown.push_str(&String::from_utf8_lossy(&part));
        }
    }

    /// Presses these keys.
    fn press(&mut self, keys: &[u8]) {
        self.script.stdin.as_mut().unwrap().write_all(keys).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn top_draws_what_is_new_over_what_was_there_until_ctrl_c() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
    let store = async |name: &str| {
        let spec = json!({"type": "NodeDown", "status": "Firing", "involvedObject": {"kind": "Node", "name": name}});
        let alert = json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": name},
            "spec": spec});
        stored(&sandbox, ALERTS, alert).await;
    };
    store("first").await;
    let Some(mut terminal) = Terminal::start(&kubeconfig, "top --interval 100ms") else { return };
    terminal.until("\u{1b}[H");
    assert!(terminal.until("first").contains("1 alerts in monitoring"));
    store("second").await;
    terminal.until("2 alerts in monitoring");
    let table = terminal.until("second");
    assert!(table.contains("first") && !table.contains("\u{1b}[2J"), "nothing flickers: {table:?}");
    terminal.until("\u{1b}[J");
    terminal.press(b"\x03");
    assert_eq!(terminal.script.wait().unwrap().code(), Some(0));
}

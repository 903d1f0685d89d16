//! A sandbox as a user starts it, in a process of its own, with a kubectl that knows nothing else.
#![allow(dead_code, reason = "a test uses what it needs of it")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a condition may take on a slow, busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Sandbox {
    process: Child,
    pub url: String,
    folder: TempDir,
}

impl Sandbox {
    /// `kubectl aegis sandbox --exec`, ready.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let mut process = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"))
            .args(["sandbox", "--exec", "--write-kubeconfig"])
            .arg(&kubeconfig)
            .env("HOME", folder.path())
            .env_remove("KUBECONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = None;
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            if let Some(value) = line.unwrap().strip_prefix("export AEGIS_URL=") {
                url = Some(value.to_owned());
                break;
            }
        }
        Self { process, url: url.expect("the sandbox prints where its webhook is"), folder }
    }

    /// A client of this sandbox's API server.
    #[allow(dead_code, reason = "not every test needs it")]
    pub async fn client(&self) -> kube::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = kube::config::Kubeconfig::read_from(self.kubeconfig()).unwrap();
        kube::Client::try_from(
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await
                .unwrap(),
        )
        .unwrap()
    }

    /// The plugin, pointed at this sandbox: its exit code and all that it said.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn told(&self, words: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"));
        command.args(words).env("AEGIS_URL", &self.url);
        let done = command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.folder.path()).output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The plugin, pointed at this sandbox.
    pub fn aegis(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"));
        command.args(words).env("AEGIS_URL", &self.url);
        self.run(command)
    }

    /// A line as a shell takes it, in which `kubectl aegis` is the plugin: the exit code, and what it said. `None` where it
    /// did not end within that time; it is ended then.
    pub fn shell(&self, line: &str, folder: &Path, within: Duration) -> (Option<i32>, String) {
        let bin = self.folder.path().join("bin");
        if !bin.exists() {
            std::fs::create_dir(&bin).unwrap();
            let real = Command::new("sh").args(["-c", "command -v kubectl"]).output().unwrap().stdout;
            let real = String::from_utf8(real).unwrap();
            let plugin = env!("CARGO_BIN_EXE_kubectl-aegis");
            let script = format!(
                "#!/bin/sh\nif [ \"$1\" = aegis ]; then shift; exec {plugin} \"$@\"; fi\nexec {} \"$@\"\n",
                if real.trim().is_empty() { "true" } else { real.trim() }
            );
            let file = bin.join("kubectl");
            std::fs::write(&file, script).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&file, mode).unwrap();
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let log = self.folder.path().join("said");
        let out = std::fs::File::create(&log).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", line])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("AEGIS_URL", &self.url)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .process_group(0)
            .spawn()
            .unwrap();
        let began = Instant::now();
        let code = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status.code().unwrap());
            }
            if began.elapsed() > within {
                let group = format!("-{}", child.id());
                let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
                let _ = child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        (code, std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// The plugin under the name kubectl, as a procedure's image has it, pointed at this sandbox.
    pub fn stand_in(&self, words: &[&str]) -> (bool, String) {
        let named = self.folder.path().join("kubectl");
        if !named.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-aegis"), &named).unwrap();
        }
        let mut command = Command::new(named);
        command.args(words);
        self.run(command)
    }

    /// The real kubectl, pointed at this sandbox; `None` (and a word on stderr) where there is none.
    pub fn kubectl(&self) -> Option<Kubectl<'_>> {
        let found =
            Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|done| done.status.success());
        if !found {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "kubectl is required here and was not found");
            eprintln!("skipped: no kubectl on the PATH");
            return None;
        }
        Some(Kubectl { sandbox: self })
    }

    /// Sends bytes to the webhook as `curl -d` does. Gives the status code and the body.
    pub fn post(&self, route: &str, body: Vec<u8>) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let answer = reqwest::Client::new()
                .post(format!("{}{route}", self.url))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(body)
                .send()
                .await
                .unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    fn run(&self, mut command: Command) -> (bool, String) {
        let done = command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.folder.path()).output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The file that points at it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Kubectl<'a> {
    sandbox: &'a Sandbox,
}

impl Kubectl<'_> {
    /// Runs it in the namespace monitoring and gives what it printed; a failure fails the test.
    pub fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("kubectl");
        command.args(["-n", "monitoring"]).args(words);
        let (ok, text) = self.sandbox.run(command);
        assert!(ok, "kubectl {}: {text}", words.join(" "));
        text
    }

    /// Starts it and leaves it running, its output in a pipe.
    pub fn start(&self, words: &[&str]) -> Child {
        Command::new("kubectl")
            .args(["-n", "monitoring"])
            .args(words)
            .env("KUBECONFIG", self.sandbox.kubeconfig())
            .env("HOME", self.sandbox.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Asks until the answer contains that text.
    pub fn until(&self, words: &[&str], part: &str) -> String {
        let began = Instant::now();
        loop {
            let text = self.run(words);
            if text.contains(part) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "kubectl {}: no {part:?} in {text}", words.join(" "));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

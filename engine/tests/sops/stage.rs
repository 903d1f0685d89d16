//! Runs a step's script under the machine's own shell, with a PATH that holds nothing but recording stand-ins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::library::named;

/// What a step might call of a node. None of the machine's own is ever in reach.
const DANGEROUS: [&str; 14] = [
    "df",
    "dmesg",
    "journalctl",
    "kubectl",
    "nsenter",
    "nvidia-smi",
    "ps",
    "reboot",
    "shutdown",
    "sync",
    "sysctl",
    "systemctl",
    "timeout",
    "uptime",
];
/// Steps into the node: goes on with what stands behind the `--`.
const NSENTER: &str = "while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"";

/// What came of a step.
pub struct Ran {
    pub code: i32,
    /// What was called, one line each, but for the way into the node.
    pub calls: Vec<String>,
    pub told: String,
}

/// A step of a procedure with what its surroundings answer.
pub struct Stage {
    folder: TempDir,
    sop: &'static str,
    step: &'static str,
    details: Vec<(&'static str, &'static str)>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Stage {
    /// Every stand-in does nothing, and well.
    pub fn new(sop: &'static str, step: &'static str) -> Self {
        let stage =
            Self { folder: tempfile::tempdir().unwrap(), sop, step, details: Vec::new(), environment: Vec::new() };
        fs::create_dir(stage.bin()).unwrap();
        for name in DANGEROUS {
            stage.stand_in(name, "");
        }
        stage.stand_in("nsenter", NSENTER);
        stage.stand_in("timeout", "shift; exec \"$@\"");
        stage.unheard("sleep", "");
        stage.unheard("cat", "echo boot-1");
        for tool in ["date", "sed"] {
            let program = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            symlink(program.iter().find(|path| path.is_file()).unwrap(), stage.bin().join(tool)).unwrap();
        }
        stage
    }

    /// What a program does beside being recorded, in shell.
    pub fn answers(self, name: &str, body: &str) -> Self {
        self.stand_in(name, body);
        self
    }

    /// A detail of the alert.
    pub fn detail(mut self, name: &'static str, value: &'static str) -> Self {
        self.details.push((name, value));
        self
    }

    /// A variable that Argo would fill in.
    pub fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Takes a program away.
    pub fn without(self, name: &str) -> Self {
        fs::remove_file(self.bin().join(name)).unwrap();
        self
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    fn stand_in(&self, name: &str, body: &str) {
        self.write(name, &format!("echo \"{name} $*\" >> \"$CALLS\"\n{body}"));
    }

    fn unheard(&self, name: &str, body: &str) {
        self.write(name, body);
    }

    fn write(&self, name: &str, body: &str) {
        let path = self.bin().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Runs it.
    ///
    /// # Panics
    /// When the shell would call a program of its own in place of a stand-in, or the node was reached by another way
    /// than nsenter.
    pub fn run(self) -> Ran {
        let words = self.words();
        let (program, arguments) = words.split_first().unwrap();
        assert_eq!(program, "sh");
        for name in DANGEROUS.iter().filter(|name| self.bin().join(name).exists()) {
            let found = self.command(&["-c", &format!("command -v {name}")]).output().unwrap().stdout;
            let found = String::from_utf8(found).unwrap();
            assert_eq!(Path::new(found.trim()), self.bin().join(name), "this shell would call its own {name}");
        }
        let done = self.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
        let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        let heard = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        let (ways, calls): (Vec<&str>, Vec<&str>) = heard.lines().partition(|line| line.starts_with("nsenter "));
        // By its path: busybox' nsenter runs what busybox has itself of a bare name.
        const WAY: &str = "nsenter --mount=/node/proc/1/ns/mnt -- /usr/bin/env ";
        let entered: Vec<&str> =
            ways.iter().map(|way| way.strip_prefix(WAY).unwrap_or_else(|| panic!("another way: {way}"))).collect();
        let calls: Vec<String> =
            calls.into_iter().filter(|call| !call.starts_with("timeout ")).map(|call| call.trim().to_owned()).collect();
        // These are of the node or of nothing: in a container they would act on the container.
        for call in
            calls.iter().filter(|call| ["systemctl", "shutdown", "nvidia-smi"].iter().any(|p| call.starts_with(p)))
        {
            assert!(entered.iter().any(|way| way.trim() == call), "not on the node: {call}");
        }
        Ran { code: done.status.code().unwrap(), calls, told }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(arguments)
            .env_clear()
            .env("PATH", self.bin())
            .env("CALLS", self.folder.path().join("calls"))
            .env("STATE", self.folder.path())
            .envs(self.environment.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// The step's command as the kubelet would start it.
    fn words(&self) -> Vec<String> {
        let sop = named(self.sop);
        let object = sop.compiled().manifest.render(&sop.parameters(&self.details)).unwrap();
        let templates = object["spec"]["templates"].as_array().unwrap();
        let template = templates.iter().find(|template| template["name"] == self.step).unwrap();
        let words = template["container"]["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        assert!(template["container"].get("args").is_none_or(Value::is_null));
        words.map(|word| word.replace("$$", "$")).collect()
    }
}

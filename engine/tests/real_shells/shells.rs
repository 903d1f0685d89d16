//! The shells of this machine, run in a scratch folder with an empty environment and a PATH of a few links.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// A shell and the names that scripts ask for it by.
#[derive(Debug, Clone)]
pub struct Shell {
    pub name: &'static str,
    /// `sh` or `bash`.
    pub called: &'static str,
    program: PathBuf,
}

/// The shells found, each missing one named. With AEGIS_REQUIRE_TOOLS set a missing one is an error.
pub fn shells() -> Vec<Shell> {
    let wanted =
        [("dash", "dash", "sh"), ("bash", "bash", "bash"), ("bash as sh", "bash", "sh"), ("busybox", "busybox", "sh")];
    let mut found = Vec::new();
    for (name, file, called) in wanted {
        match find(file) {
            Some(program) => found.push(Shell { name, called, program }),
            None if std::env::var_os("AEGIS_REQUIRE_TOOLS").is_some() => {
                panic!("AEGIS_REQUIRE_TOOLS is set, but there is no {file}")
            }
            None => println!("skipped: no {file}"),
        }
    }
    found
}

fn find(file: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(file)).find(|program| program.is_file())
}

/// A folder to run scripts in, and what they may call.
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A folder with `show`, which prints its arguments, `cat`, and `touch`, which an injected command would call.
    pub fn new(shell: &Shell) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        for tool in ["cat", "touch"] {
            symlink(find(tool).expect("cat and touch are everywhere"), bin.join(tool)).unwrap();
        }
        symlink(&shell.program, bin.join(shell.called)).unwrap();
        let show = bin.join("show");
        let interpreter = bin.join(shell.called);
        std::fs::write(&show, format!("#!{}\n{SHOW_BODY}", interpreter.display())).unwrap();
        std::fs::set_permissions(&show, PermissionsExt::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// Runs a shell with arguments; what it prints comes back.
    ///
    /// # Panics
    /// When it does not end, or the canary appeared: something ran that came from a value.
    pub fn run(&self, shell: &Shell, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_run(shell, arguments, Duration::from_secs(60));
        output.unwrap_or_else(|| panic!("{} does not end: {arguments:?}", shell.name))
    }

    /// Runs a script that is too long for an argument.
    ///
    /// # Panics
    /// As [`Scratch::run`].
    pub fn run_file(&self, shell: &Shell, script: &str) -> Vec<u8> {
        let file = self.folder.path().join("script");
        std::fs::write(&file, script).unwrap();
        self.run(shell, &[file.to_str().unwrap()])
    }

    /// Runs a shell with arguments, for so long at most; what it prints comes back, nothing if it did not end.
    ///
    /// # Panics
    /// When the canary appeared.
    pub fn try_run(&self, shell: &Shell, arguments: &[&str], limit: Duration) -> Option<Vec<u8>> {
        let mut command = Command::new(&shell.program);
        command
            .arg0(shell.called)
            .args(arguments)
            .env_clear()
            .env("PATH", self.folder.path().join("bin"))
            .env("HOME", self.folder.path().join("work"))
            .env("LC_ALL", "C")
            .current_dir(self.folder.path().join("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let id = child.id().to_string();
        let (ended, watched) = mpsc::channel::<()>();
        let watcher = std::thread::spawn(move || {
            let late = watched.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                Command::new("kill").args(["-KILL", &id]).status().unwrap();
            }
            late
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        if let Some(canary) = canary(&self.folder.path().join("work")) {
            // So that the next script, perhaps a smaller one, can be judged by itself.
            std::fs::remove_file(&canary).unwrap();
            panic!(
                "{} ran what came from a value: {} exists\n{arguments:?}\n{}",
                shell.name,
                canary.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        (!watcher.join().unwrap()).then_some(output.stdout)
    }
}

/// A file that only an injected command makes. Scripts under test may make others.
fn canary(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| name.as_bytes() == CANARY.as_bytes()))
}

/// The name of the file that payloads make.
pub const CANARY: &str = "canary";

/// Prints each argument and a NUL.
pub const SHOW_BODY: &str = "for argument; do printf '%s\\0' \"$argument\"; done\n";

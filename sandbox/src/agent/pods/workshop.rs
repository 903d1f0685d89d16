//! Where containers are executed: a folder that is theirs alone, a PATH of chosen programs, and nobody's rights.
//!
//! Nothing of the machine's own environment is handed on. A script that names a program by its absolute path still
//! reaches it, with the rights of nobody when the sandbox was started by root and else with those of its user: what
//! must never happen on this machine is kept out by [`super::confine`], not by this.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The user and group that own nothing.
const NOBODY: u32 = 65534;
/// Programs of the machine that containers may find on their PATH. They read, change and print text; none removes,
/// moves or overwrites a file, for a sandbox that was not started by root runs them with its user's rights.
const TOOLS: &[&str] = &[
    "awk",
    "base64",
    "basename",
    "bash",
    "cat",
    "cmp",
    "comm",
    "cut",
    "dash",
    "date",
    "diff",
    "dirname",
    "echo",
    "env",
    "expr",
    "false",
    "fold",
    "getopt",
    "grep",
    "head",
    "id",
    "join",
    "jq",
    "ls",
    "md5sum",
    "mktemp",
    "nl",
    "od",
    "paste",
    "printf",
    "pwd",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "tac",
    "tail",
    "test",
    "tr",
    "true",
    "uniq",
    "wc",
    "xargs",
];
/// Where the machine keeps them. Its own PATH is not asked.
const TOOL_FOLDERS: &[&str] = &["/usr/bin", "/bin", "/run/current-system/sw/bin"];

/// The folder of one sandbox; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Workshop {
    root: PathBuf,
    kubeconfig: String,
    /// Whether to become nobody: the sandbox was started by root.
    drops_rights: bool,
    benches: AtomicU64,
}

/// The folder of one container; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Bench {
    /// HOME and working directory.
    pub(super) home: PathBuf,
    /// The only entry of PATH.
    pub(super) bin: PathBuf,
    /// The sandbox's kubeconfig.
    pub(super) kubeconfig: PathBuf,
    /// A script template's source, if there is one.
    pub(super) script: PathBuf,
    /// The user and group to become.
    pub(super) user: Option<u32>,
}

impl Workshop {
    /// Prepares the folder with these stand-ins on its PATH; a stand-in goes before a tool of the same name.
    pub(super) fn open(stand_ins: &[(String, PathBuf)], kubeconfig: String) -> Result<Self, String> {
        let drops_rights = rustix::process::geteuid().is_root();
        let root = make_root(drops_rights)?;
        let workshop = Self { root, kubeconfig, drops_rights, benches: AtomicU64::new(0) };
        let bin = workshop.bin();
        make_folder(&bin, 0o755).map_err(|error| format!("could not create {}: {error}", bin.display()))?;
        for (name, program) in stand_ins {
            workshop.install(name, program)?;
        }
        for name in TOOLS {
            let found = TOOL_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
            let link = bin.join(name);
            if let Some(program) = found
                && !link.exists()
            {
                symlink(&program, &link).map_err(|error| format!("could not link {}: {error}", link.display()))?;
            }
        }
        Ok(workshop)
    }

    fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    fn install(&self, name: &str, program: &Path) -> Result<(), String> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(format!("the stand-in {name:?} is not the name of a command; expected one such as kubectl"));
        }
        let refuse = |error: io::Error| format!("the stand-in {name} at {} cannot be used: {error}", program.display());
        let program = fs::canonicalize(program).map_err(refuse)?;
        let link = self.bin().join(name);
        let reached = !self.drops_rights || is_open_to_all(&program, 0o005);
        let done = if reached {
            symlink(&program, &link)
        } else {
            // Nobody could not even look into the folder in which it stands.
            fs::copy(&program, &link).and_then(|_| fs::set_permissions(&link, fs::Permissions::from_mode(0o755)))
        };
        done.map_err(refuse)
    }

    /// A fresh folder for one container, with its script's text.
    pub(super) fn bench(&self, source: Option<&str>) -> io::Result<Bench> {
        let number = self.benches.fetch_add(1, Ordering::Relaxed);
        let user = self.drops_rights.then_some(NOBODY);
        let home = self.root.join(format!("c{number}"));
        make_folder(&home, 0o700)?;
        let bench =
            Bench { kubeconfig: home.join(".kubeconfig"), script: home.join(".script"), bin: self.bin(), home, user };
        write(&bench.kubeconfig, &self.kubeconfig, user)?;
        if let Some(source) = source {
            write(&bench.script, source, user)?;
        }
        chown(&bench.home, user, user)?;
        Ok(bench)
    }
}

impl Bench {
    /// The program that a container's first word means: the command of that name on PATH, whatever folder the word
    /// names, for the machine's folders are not the image's.
    pub(super) fn program(&self, word: &str) -> Result<PathBuf, String> {
        let name = word.rsplit('/').next().unwrap_or(word);
        let program = self.bin.join(name);
        if !name.is_empty() && name != "." && name != ".." && program.exists() {
            return Ok(program);
        }
        Err(format!("the sandbox has no command {word:?}; it has its stand-ins and these tools: {}", TOOLS.join(", ")))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        remove(&self.home);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "could not remove {}", folder.display());
    }
}

fn make_root(for_nobody: bool) -> Result<PathBuf, String> {
    let candidates = [std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let usable =
        |folder: &&PathBuf| !for_nobody || fs::canonicalize(folder).is_ok_and(|folder| is_open_to_all(&folder, 0o001));
    let Some(folder) = candidates.iter().find(usable) else {
        return Err(
            "no folder for temporary files can be entered by the user nobody; set TMPDIR to one that can".to_owned()
        );
    };
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    for number in 0..100 {
        let root = folder.join(format!("aegis-sandbox-{}-{moment:x}-{number}", std::process::id()));
        match make_folder(&root, if for_nobody { 0o711 } else { 0o700 }) {
            Ok(()) => return Ok(root),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("could not create {}: {error}", root.display())),
        }
    }
    Err(format!("could not create a folder in {}: every name tried is taken", folder.display()))
}

/// Made with the mode that it is to have whatever the umask; fails if anything of that name is there.
fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn write(path: &Path, text: &str, owner: Option<u32>) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o400))?;
    chown(path, owner, owner)
}

/// Whether anybody may enter every folder above `path`, and has `bits` on `path` itself.
fn is_open_to_all(path: &Path, bits: u32) -> bool {
    let has = |path: &Path, bits: u32| fs::metadata(path).is_ok_and(|meta| meta.mode() & bits == bits);
    has(path, bits) && path.ancestors().skip(1).all(|folder| has(folder, 0o001))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\necho stand-in\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn path_holds_the_stand_ins_and_text_tools_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let stand_ins =
            [("kubectl".to_owned(), program(folder.path(), "k")), ("echo".to_owned(), program(folder.path(), "e"))];
        let workshop = Workshop::open(&stand_ins, "config".into()).unwrap();
        let bench = workshop.bench(Some("echo hi")).unwrap();
        assert_eq!(
            fs::read_to_string(bench.program("/usr/local/bin/kubectl").unwrap()).unwrap(),
            "#!/bin/sh\necho stand-in\n"
        );
        assert_eq!(
            fs::read_to_string(bench.program("echo").unwrap()).unwrap(),
            "#!/bin/sh\necho stand-in\n",
            "before the tool"
        );
        assert!(bench.program("/bin/sh").is_ok());
        for word in ["nsenter", "/usr/sbin/reboot", "systemctl", "mount", "python3", "", "..", "/", "curl", "kill"] {
            assert!(bench.program(word).unwrap_err().contains("the sandbox has no command"), "{word}");
        }
        let (root, home) = (workshop.root.clone(), bench.home.clone());
        assert_eq!(fs::read_to_string(&bench.script).unwrap(), "echo hi");
        drop(bench);
        assert!(!home.exists());
        drop(workshop);
        assert!(!root.exists());
    }

    #[test]
    fn what_a_container_gets_is_its_own() {
        let workshop = Workshop::open(&[], "config".into()).unwrap();
        let bench = workshop.bench(Some("x")).unwrap();
        let owner = bench.user.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        for path in [&bench.home, &bench.kubeconfig, &bench.script] {
            let meta = fs::metadata(path).unwrap();
            assert_eq!((meta.uid(), meta.mode() & 0o077), (owner, 0), "{}", path.display());
        }
    }

    #[test]
    fn a_stand_in_that_cannot_be_used_is_named() {
        let cases =
            [("kubectl", "/no/such/file", "/no/such/file"), ("../kubectl", "/bin/sh", "not the name of a command")];
        for (name, path, want) in cases {
            let found = Workshop::open(&[(name.to_owned(), path.into())], String::new()).unwrap_err();
            assert!(found.contains(want), "{found}");
        }
    }
}

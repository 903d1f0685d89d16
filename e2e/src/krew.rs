//! The plugin as people get it: the archive and the manifest that `make package` makes, installed by the real krew, found
//! by the real kubectl.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use aegis_package::archive::{self, Contents};
use aegis_package::krew::{self, Offer};
use aegis_package::platform::Platform;
use aegis_package::{REPOSITORY, VERSION};
use anyhow::ensure;
use tokio::process::Command;

use crate::aegis::{plugin, repository};
use crate::cluster::Cluster;
use crate::parts::{self, Part};

/// A kubectl, a krew and an empty folder for it to install into, with nothing else of ours in reach.
pub struct Bench {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    pub(crate) krew: Part,
    /// Where krew installs.
    pub(crate) root: PathBuf,
    /// Where archives and manifest are, and temporary files.
    pub(crate) folder: PathBuf,
    path: String,
}

impl Bench {
    /// One in which nothing is installed, not even an index.
    pub fn new(cluster: &Cluster, krew: Part) -> anyhow::Result<Self> {
        let folder = cluster.machine.folder().join("krew");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let (root, programs) = (folder.join("root"), folder.join("programs"));
        fs::create_dir_all(&root)?;
        fs::create_dir_all(&programs)?;
        // kubectl takes the word `krew` for a program on the PATH.
        std::os::unix::fs::symlink(krew.program("krew"), programs.join("kubectl-krew"))?;
        let kubectl = PathBuf::from(cluster.kubectl_command().as_std().get_program());
        std::os::unix::fs::symlink(&kubectl, programs.join("kubectl"))?;
        let path = format!("{}:{}:/usr/bin:/bin", root.join("bin").display(), programs.display());
        Ok(Self { kubectl, kubeconfig: cluster.kubeconfig(), krew, root, folder, path })
    }

    /// One in which krew has installed the plugin that was built for this machine.
    pub async fn with_the_plugin(cluster: &Cluster) -> anyhow::Result<Self> {
        let bench = Self::new(cluster, parts::ensure(&parts::KREW).await?)?;
        let manifest = bench.packs_the_plugin().await?;
        bench.has_an_index().await?;
        bench.krew_installs(&manifest, here()?, &[]).await?;
        Ok(bench)
    }

    /// Where kubectl finds what is installed, as PATH has it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Packs the plugin that was built for this machine; the manifest that offers it.
    pub async fn packs_the_plugin(&self) -> anyhow::Result<PathBuf> {
        let offer = self.pack(here()?, &self.bare(&plugin()?).await?)?;
        self.write(&[offer])
    }

    /// The program without what debuggers read, as a release has it: most of a build for tests is that.
    async fn bare(&self, program: &Path) -> anyhow::Result<PathBuf> {
        let bare = self.folder.join("bare");
        let output = Command::new("strip").arg("-o").arg(&bare).arg(program).output().await?;
        ensure!(output.status.success(), "strip failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(bare)
    }

    /// Packs a program as the plugin of a platform.
    pub fn pack(&self, platform: &'static Platform, program: &Path) -> anyhow::Result<Offer> {
        let path = self.archive(platform);
        let contents = Contents { platform, program, repository: &repository(""), manuals: None };
        archive::write(&contents, File::create(&path)?)?;
        let read = archive::read(&path, platform)?;
        Ok(Offer { platform, sha256: read.sha256, files: read.names })
    }

    /// Where the archive of a platform is.
    pub fn archive(&self, platform: &Platform) -> PathBuf {
        self.folder.join(platform.archive(VERSION))
    }

    /// Writes the manifest for those archives.
    pub fn write(&self, offers: &[Offer]) -> anyhow::Result<PathBuf> {
        let path = self.folder.join("aegis.yaml");
        fs::write(&path, krew::manifest(VERSION, REPOSITORY, offers)?)?;
        Ok(path)
    }

    /// krew does little without an index: one with the manifest, as a repository, which is what it takes for one.
    pub async fn has_an_index(&self) -> anyhow::Result<()> {
        let index = self.folder.join("index");
        fs::create_dir_all(index.join("plugins"))?;
        fs::copy(self.folder.join("aegis.yaml"), index.join("plugins/aegis.yaml"))?;
        let author = ["-c", "user.name=index", "-c", "user.email=index@example.org"];
        for words in
            [&["init", "--quiet"][..], &["add", "."], &[&author[..], &["commit", "--quiet", "-m", "index"]].concat()]
        {
            let mut command = self.command(PathBuf::from("git"));
            let output = command.args(words).current_dir(&index).output().await?;
            ensure!(output.status.success(), "git {words:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.kubectl(&["krew", "index", "add", "default", &index.display().to_string()]).await?;
        let found = self.kubectl(&["krew", "search", "aegis"]).await?;
        ensure!(found.contains("Turn alerts into safe, traceable repairs"), "krew finds {found}");
        let told = self.kubectl(&["krew", "info", "aegis"]).await?;
        ensure!(told.contains(&format!("VERSION: v{VERSION}")), "krew tells {told}");
        Ok(())
    }

    /// `kubectl krew install` from the archive of a platform; what it said.
    pub async fn krew_installs(
        &self,
        manifest: &Path,
        platform: &Platform,
        env: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let manifest = format!("--manifest={}", manifest.display());
        let archive = format!("--archive={}", self.archive(platform).display());
        let mut command = self.kubectl_command(&["krew", "install", &manifest, &archive]);
        let output = command.envs(env.iter().copied()).output().await?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "krew does not install it: {told}");
        Ok(told)
    }

    /// Runs kubectl, which must succeed; what it wrote.
    pub async fn kubectl(&self, words: &[&str]) -> anyhow::Result<String> {
        let (ended, told) = self.tries(words).await?;
        ensure!(ended == Some(0), "kubectl {words:?} ends with {ended:?}: {told}");
        Ok(told)
    }

    /// Runs kubectl: its exit code, and all that it said.
    pub async fn tries(&self, words: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
        let output = self.kubectl_command(words).output().await?;
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ok((output.status.code(), told.into_owned()))
    }

    /// A kubectl to start.
    pub fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut command = self.command(self.kubectl.clone());
        command.args(words);
        command
    }

    /// A program that knows this cluster, this folder and nothing of who runs the scenario.
    pub(crate) fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", &self.path).env("KUBECONFIG", &self.kubeconfig);
        command.env("HOME", &self.folder).env("TMPDIR", &self.folder);
        command.env("KREW_ROOT", &self.root).env("KREW_NO_UPGRADE_CHECK", "1");
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    }

    /// Nothing is installed.
    pub fn is_empty(&self) -> anyhow::Result<()> {
        for folder in ["bin", "store", "receipts"] {
            let left: Vec<_> = fs::read_dir(self.root.join(folder))?.collect::<Result<_, _>>()?;
            ensure!(left.is_empty(), "krew left {left:?}");
        }
        Ok(())
    }
}

/// The platform that this runs on.
pub fn here() -> anyhow::Result<&'static Platform> {
    Platform::of(&format!("{}-unknown-linux-musl", std::env::consts::ARCH))
}

//! The plugin as people get it: the archive and the manifest that `make package` makes, installed by the real krew, found
//! by the real kubectl, and taken away again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use aegis_package::archive::{self, Contents};
use aegis_package::krew::{self, Offer};
use aegis_package::platform::{self, Platform};
use aegis_package::{REPOSITORY, VERSION};
use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use super::Scenario;
use crate::aegis::{Aegis, plugin, repository};
use crate::cluster::Cluster;
use crate::parts::{self, Part};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "krew",
    about: "the real krew installs the archive, the real kubectl runs it, and krew takes it away",
    smoke: true,
    parts: &[&parts::KREW],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "krew";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let bench = Bench::new(cluster, parts::ensure(&parts::KREW).await?)?;
    bench.is_taken_by_the_index().await?;
    bench.has_an_index().await?;
    bench.refuses_another_archive().await?;
    bench.installs_each_platform().await?;

    let offer = bench.pack(here()?, &bench.bare(&plugin()?).await?)?;
    let manifest = bench.write(&[offer])?;
    let told = bench.krew_installs(&manifest, here()?, &[]).await?;
    for word in ["kubectl aegis", REPOSITORY, "kubectl aegis completion install"] {
        ensure!(told.contains(word), "krew does not say {word:?}: {told}");
    }
    let listed = bench.kubectl(&["krew", "list"]).await?;
    ensure!(listed.lines().any(|line| line.ends_with("/aegis")), "krew lists {listed}");
    let found = bench.kubectl(&["plugin", "list"]).await?;
    let link = bench.root.join("bin/kubectl-aegis").display().to_string();
    ensure!(found.contains(&link), "kubectl finds {found}");
    bench.is_used(cluster).await?;

    bench.kubectl(&["krew", "uninstall", "aegis"]).await?;
    let (ended, told) = bench.tries(&["aegis", "version", "--client"]).await?;
    ensure!(ended != Some(0) && told.contains("unknown command \"aegis\""), "it is still there: {told}");
    bench.is_empty()
}

/// A kubectl, a krew and an empty folder for it to install into, with nothing else of ours in reach.
struct Bench {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    krew: Part,
    /// Where krew installs.
    root: PathBuf,
    /// Where archives and manifest are, and temporary files.
    folder: PathBuf,
    path: String,
}

impl Bench {
    fn new(cluster: &Cluster, krew: Part) -> anyhow::Result<Self> {
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

    /// The program without what debuggers read, as a release has it: most of a build for tests is that.
    async fn bare(&self, program: &Path) -> anyhow::Result<PathBuf> {
        let bare = self.folder.join("bare");
        let output = Command::new("strip").arg("-o").arg(&bare).arg(program).output().await?;
        ensure!(output.status.success(), "strip failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(bare)
    }

    /// Packs a program as the plugin of a platform.
    fn pack(&self, platform: &'static Platform, program: &Path) -> anyhow::Result<Offer> {
        let path = self.archive(platform);
        let contents = Contents { platform, program, repository: &repository(""), manuals: None };
        archive::write(&contents, File::create(&path)?)?;
        let read = archive::read(&path, platform)?;
        Ok(Offer { platform, sha256: read.sha256, files: read.names })
    }

    fn archive(&self, platform: &Platform) -> PathBuf {
        self.folder.join(platform.archive(VERSION))
    }

    /// Writes the manifest for those archives.
    fn write(&self, offers: &[Offer]) -> anyhow::Result<PathBuf> {
        let path = self.folder.join("aegis.yaml");
        fs::write(&path, krew::manifest(VERSION, REPOSITORY, offers)?)?;
        Ok(path)
    }

    /// Archives of a small program for every platform: which one krew chooses, and how it unpacks it, does not depend on
    /// what the program does.
    fn pack_small(&self) -> anyhow::Result<Vec<Offer>> {
        let small = self.folder.join("small");
        fs::write(&small, "#!/bin/sh\necho small\n")?;
        platform::ALL.iter().map(|platform| self.pack(platform, &small)).collect()
    }

    /// krew's own validation, which its index runs over every manifest.
    async fn is_taken_by_the_index(&self) -> anyhow::Result<()> {
        let manifest = self.write(&self.pack_small()?)?;
        let mut command = self.command(self.krew.program("validate-krew-manifest"));
        let output = command.arg("-skip-install").arg("-manifest").arg(manifest).output().await?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "krew's validation refuses the manifest: {told}");
        ensure!(told.contains("structural validation OK"), "krew's validation says {told}");
        Ok(())
    }

    /// krew does little without an index: one with the manifest, as a repository, which is what it takes for one.
    async fn has_an_index(&self) -> anyhow::Result<()> {
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

    /// An archive that is not the one of the manifest is not installed.
    async fn refuses_another_archive(&self) -> anyhow::Result<()> {
        let manifest = self.write(&self.pack_small()?)?;
        let other = self.folder.join("other");
        fs::write(&other, "#!/bin/sh\necho other\n")?;
        self.pack(here()?, &other)?;
        let Err(refused) = self.krew_installs(&manifest, here()?, &[]).await else {
            bail!("krew took another archive")
        };
        ensure!(refused.to_string().contains("checksum does not match"), "krew refused it otherwise: {refused}");
        self.is_empty()
    }

    /// krew finds and unpacks the archive of each platform, with the licence.
    async fn installs_each_platform(&self) -> anyhow::Result<()> {
        let manifest = self.write(&self.pack_small()?)?;
        for platform in &platform::ALL {
            let words = [("KREW_OS", platform.os), ("KREW_ARCH", platform.arch)];
            self.krew_installs(&manifest, platform, &words).await.with_context(|| format!("{platform:?}"))?;
            let store = self.root.join("store/aegis").join(format!("v{VERSION}"));
            for name in [platform.program(), "LICENSE", "README.md", "README_CN.md"] {
                ensure!(store.join(name).is_file(), "{platform:?}: krew did not install {name}");
            }
            let link = self.root.join("bin").join(platform.program());
            ensure!(link.exists(), "{platform:?}: there is no {}", link.display());
            let mut command = self.kubectl_command(&["krew", "uninstall", "aegis"]);
            let output = command.envs(words).output().await?;
            ensure!(output.status.success(), "{platform:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.is_empty()
    }

    /// What it is installed for: the verbs through kubectl, from the installation of Aegis to its end.
    async fn is_used(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let client = self.aegis(&["version", "--client"]).await?;
        ensure!(client.contains(VERSION), "the installed plugin says that it is {client}");
        let aegis = Aegis::fresh(cluster, NAMESPACE).await?;
        // Earlier scenarios apply definitions and roles by kubectl.
        self.aegis(&["install", "--replicas=1", "--force-conflicts", "--wait", "--timeout=2m"]).await?;
        let version = self.aegis(&["version"]).await?;
        ensure!(
            version.contains("controller") && !version.contains("not to be seen"),
            "with a cluster it says {version}"
        );
        self.aegis(&["check", "--wait", "--timeout=1m"]).await?;
        self.aegis(&["alert", "send", "FromKrew", "--node", Cluster::NODE]).await?;
        aegis.until_alert("FromKrew", "RuleNotFound", "").await?;
        let alerts = self.aegis(&["get", "alerts"]).await?;
        ensure!(alerts.contains("FromKrew") && alerts.contains(Cluster::NODE), "it gets {alerts}");
        self.aegis(&["uninstall", "--timeout=2m"]).await?;
        aegis.delete().await
    }

    /// Runs `kubectl aegis` in the namespace, which must succeed; all that it said.
    async fn aegis(&self, words: &[&str]) -> anyhow::Result<String> {
        self.kubectl(&[&["aegis"], words, &["-n", NAMESPACE]].concat()).await
    }

    /// `kubectl krew install` from the archive of a platform; what it said.
    async fn krew_installs(
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
    async fn kubectl(&self, words: &[&str]) -> anyhow::Result<String> {
        let (ended, told) = self.tries(words).await?;
        ensure!(ended == Some(0), "kubectl {words:?} ends with {ended:?}: {told}");
        Ok(told)
    }

    /// Runs kubectl: its exit code, and all that it said.
    async fn tries(&self, words: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
        let output = self.kubectl_command(words).output().await?;
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ok((output.status.code(), told.into_owned()))
    }

    fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut command = self.command(self.kubectl.clone());
        command.args(words);
        command
    }

    /// A program that knows this cluster, this folder and nothing of who runs the scenario.
    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", &self.path).env("KUBECONFIG", &self.kubeconfig);
        command.env("HOME", &self.folder).env("TMPDIR", &self.folder);
        command.env("KREW_ROOT", &self.root).env("KREW_NO_UPGRADE_CHECK", "1");
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    }

    /// Nothing is installed.
    fn is_empty(&self) -> anyhow::Result<()> {
        for folder in ["bin", "store", "receipts"] {
            let left: Vec<_> = fs::read_dir(self.root.join(folder))?.collect::<Result<_, _>>()?;
            ensure!(left.is_empty(), "krew left {left:?}");
        }
        Ok(())
    }
}

/// The platform that this runs on.
fn here() -> anyhow::Result<&'static Platform> {
    Platform::of(&format!("{}-unknown-linux-musl", std::env::consts::ARCH))
}

//! The plugin as people get it: the archive and the manifest that `make package` makes, installed by the real krew, found
//! by the real kubectl, and taken away again.

use std::fs;

use aegis_package::krew::Offer;
use aegis_package::{REPOSITORY, VERSION, platform};
use anyhow::{Context as _, bail, ensure};

use super::Scenario;
use crate::aegis::Aegis;
use crate::cluster::Cluster;
use crate::krew::{Bench, here};
use crate::parts;

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

    let manifest = bench.packs_the_plugin().await?;
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

impl Bench {
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
}

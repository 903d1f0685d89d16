//! A person at the keyboard: the real kubectl, and the plugin as kubectl finds it, under that person's name and rights.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::aegis::plugin;
use crate::cluster::Cluster;

/// The administrator, who may do everything.
pub const ADMIN: &str = "admin";

/// Somebody who works in one namespace.
pub struct Person<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    name: &'a str,
    kubeconfig: PathBuf,
    path: OsString,
}

impl<'a> Person<'a> {
    /// Somebody of that name; [`ADMIN`] is the administrator. Whoever else may do what roles say.
    pub fn new(cluster: &'a Cluster, namespace: &'a str, name: &'a str) -> anyhow::Result<Self> {
        let kubeconfig = if name == ADMIN { cluster.kubeconfig() } else { as_user(cluster, name)? };
        // kubectl takes the word `aegis` for a program on the PATH.
        let plugin = plugin()?;
        let folder = plugin.parent().context("the plugin is in no folder")?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
        Ok(Self { cluster, namespace, name, kubeconfig, path })
    }

    /// The same with another PATH, on which kubectl finds the plugin.
    #[must_use]
    pub fn on_path(self, path: &str) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Gives them a role, such as "--clusterrole=aegis-approver".
    pub async fn is_given(&self, role: &str) -> anyhow::Result<()> {
        let user = format!("--user={}", self.name);
        let words = ["create", "rolebinding", self.name, role, &user, "-n", self.namespace];
        self.cluster.kubectl(&words).await.map(drop)
    }

    /// Runs kubectl, which must succeed; what it wrote to stdout.
    pub async fn kubectl(&self, words: &[&str]) -> anyhow::Result<String> {
        let (ended, out, error) = self.run(words).await?;
        ensure!(ended == Some(0), "{} kubectl {words:?} ends with {ended:?}: {}", self.name, error.trim());
        Ok(out)
    }

    /// Runs `kubectl aegis`, which must succeed; all that it said.
    pub async fn aegis(&self, words: &[&str]) -> anyhow::Result<String> {
        let (ended, told) = self.tries(words).await?;
        ensure!(ended == Some(0), "{} kubectl aegis {words:?} ends with {ended:?}: {told}", self.name);
        Ok(told)
    }

    /// Runs `kubectl aegis`: its exit code, and all that it said.
    pub async fn tries(&self, words: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
        let (ended, out, error) = self.run(&[&["aegis"], words].concat()).await?;
        Ok((ended, out + &error))
    }

    async fn run(&self, words: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
        let mut command: Command = self.cluster.kubectl_command();
        command.args(words).args(["-n", self.namespace]).env("KUBECONFIG", &self.kubeconfig).env("PATH", &self.path);
        let done = command.kill_on_drop(true).output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((done.status.code(), text(&done.stdout), text(&done.stderr)))
    }
}

/// The administrator's kubeconfig with another user in its place.
fn as_user(cluster: &Cluster, user: &str) -> anyhow::Result<PathBuf> {
    let mut kubeconfig: Value = serde_saphyr::from_str(&std::fs::read_to_string(cluster.kubeconfig())?)?;
    let login =
        kubeconfig.pointer_mut("/users/0/user").and_then(Value::as_object_mut).context("nobody's kubeconfig")?;
    login.insert("as".to_owned(), json!(user));
    let file = cluster.machine.folder().join(format!("as-{user}.kubeconfig"));
    std::fs::write(&file, kubeconfig.to_string())?;
    Ok(file)
}

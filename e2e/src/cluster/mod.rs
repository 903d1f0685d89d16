//! A single-node cluster of real parts in a machine of its own.

mod admission;
mod argo;
mod control;
mod images;
mod node;
mod pki;
mod second;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use http::Request;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::machine::{Machine, NAME};
use crate::parts::{self, Part};
use crate::wait::until;

pub use argo::ArgoInPod;
pub use control::NODE_GRACE;
pub use second::SecondNode;

/// Where the API server listens, on the machine's own address.
const PORT: u16 = 6443;
/// What stands in the folder once the cluster is complete.
const COMPLETE: &str = "complete";

/// A cluster that runs.
pub struct Cluster {
    /// The machine that it runs in.
    pub machine: Machine,
    /// Talks to it as its administrator.
    pub client: Client,
    kubernetes: Part,
    etcd: Part,
}

impl Cluster {
    /// The name of its node.
    pub const NODE: &'static str = NAME;

    /// Starts a cluster whose state is in a folder of its own. If that fails nothing is left but logs.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        images::ours()?;
        let kubernetes = parts::ensure(&parts::KUBERNETES).await?;
        let etcd = parts::ensure(&parts::ETCD).await?;
        let argo = parts::ensure(&parts::ARGO).await?;
        let machine = Machine::create(folder).await?;
        let admin = machine.folder().join("pki/admin.kubeconfig");
        let setup = Setup { machine, admin, kubernetes, etcd, argo };
        let begun = tokio::select! {
            begun = begin(&setup) => begun,
            _ = crate::interrupted() => Err(anyhow::anyhow!("interrupted")),
        };
        match begun {
            Ok(client) => {
                let Setup { machine, kubernetes, etcd, .. } = setup;
                Ok(Self { machine, client, kubernetes, etcd })
            }
            Err(error) => {
                let logs = keep_logs(&setup.machine)?;
                setup.machine.destroy().await?;
                Err(error.context(format!("the cluster did not start; its logs are in {}", logs.display())))
            }
        }
    }

    /// The cluster that runs with its state in that folder, if there is one and it is complete.
    pub async fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(machine) = Machine::open(folder)? else { return Ok(None) };
        if !machine.alive() || !machine.folder().join(COMPLETE).exists() {
            return Ok(None);
        }
        let client = kube_client(&machine.folder().join("pki/admin.kubeconfig")).await?;
        let (kubernetes, etcd) = (parts::ensure(&parts::KUBERNETES).await?, parts::ensure(&parts::ETCD).await?);
        Ok(Some(Self { machine, client, kubernetes, etcd }))
    }

    /// The administrator's kubeconfig. It works inside and outside of the machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.machine.folder().join("pki/admin.kubeconfig")
    }

    /// Where the API server is reached.
    pub fn server(&self) -> String {
        server(&self.machine)
    }

    /// Every request that the API server answered, one JSON object of audit.k8s.io a line.
    pub fn audit_log(&self) -> PathBuf {
        audit_log(&self.machine)
    }

    /// Runs kubectl as the administrator and returns what it wrote to stdout.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        kubectl(&self.kubernetes, &self.kubeconfig(), arguments).await
    }

    /// A kubectl to start, as the administrator.
    pub fn kubectl_command(&self) -> Command {
        kubectl_command(&self.kubernetes, &self.kubeconfig())
    }

    /// Applies manifests in a namespace.
    pub async fn apply(&self, namespace: &str, manifests: &str) -> anyhow::Result<()> {
        let mut command = self.kubectl_command();
        command.args(["apply", "--namespace", namespace, "-f", "-"]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut input = child.stdin.take().context("kubectl has no input")?;
        input.write_all(manifests.as_bytes()).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl apply failed: {}", told.trim());
        Ok(())
    }

    /// Makes a namespace and waits until pods can be made in it.
    pub async fn make_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &object).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        until("the default ServiceAccount exists", || async { Ok(accounts.get_opt("default").await?) }).await?;
        Ok(())
    }

    /// Deletes a namespace and waits until it is gone.
    pub async fn delete_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(name).await?.is_none() {
            return Ok(());
        }
        namespaces.delete(name, &DeleteParams::background()).await?;
        until(&format!("the namespace {name} is gone"), || async {
            Ok(namespaces.get_opt(name).await?.is_none().then_some(()))
        })
        .await
    }

    /// The certificate that whoever talks to the API server trusts.
    pub fn authority(&self) -> PathBuf {
        self.machine.folder().join("pki/ca.crt")
    }

    /// Writes a kubeconfig of that name for a ServiceAccount, with a token for a day, and returns its path. The API
    /// server is reached there: at [`Cluster::server`], or by way of somebody who passes on what is asked.
    pub async fn kubeconfig_of_account(
        &self,
        name: &str,
        namespace: &str,
        account: &str,
        server: &str,
    ) -> anyhow::Result<PathBuf> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86400},
        });
        let answer: Value = self.client.request(post(&path, &request)?).await?;
        let token = answer.pointer("/status/token").and_then(Value::as_str).context("the answer holds no token")?;
        let file = self.machine.folder().join(format!("{name}.kubeconfig"));
        pki::write_kubeconfig(&file, server, &self.authority().display().to_string(), json!({"token": token}))?;
        Ok(file)
    }

    /// A client with the rights of a ServiceAccount, which does not try again by itself.
    pub async fn client_of_account(&self, namespace: &str, account: &str) -> anyhow::Result<Client> {
        let name = format!("{namespace}-{account}");
        let kubeconfig = self.kubeconfig_of_account(&name, namespace, account, &self.server()).await?;
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// Ends etcd in order, and with it all that the API server can do. It is started again on the data that it left: by
    /// [`WithoutEtcd::end`], or when that is dropped.
    pub async fn stop_etcd(&self) -> anyhow::Result<WithoutEtcd<'_>> {
        self.machine.stop(control::ETCD).await?;
        Ok(WithoutEtcd { cluster: self, back: false })
    }

    /// What a setting of the kernel such as vm/drop_caches reads on a node, to which its containers may have written.
    pub fn kernel_setting(&self, node: &str, setting: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(node::kernel_file(&self.machine, node, setting))?.trim().to_owned())
    }

    /// Sets it for the containers of that node.
    pub fn set_kernel_setting(&self, node: &str, setting: &str, value: &str) -> anyhow::Result<()> {
        Ok(fs::write(node::kernel_file(&self.machine, node, setting), format!("{value}\n"))?)
    }

    /// Copies the logs of all parts to where they outlive the cluster, and returns that folder.
    pub fn keep_logs(&self) -> anyhow::Result<PathBuf> {
        keep_logs(&self.machine)
    }

    /// Ends it and removes every trace.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.machine.destroy().await
    }
}

/// A cluster whose etcd is stopped.
pub struct WithoutEtcd<'a> {
    cluster: &'a Cluster,
    back: bool,
}

impl WithoutEtcd<'_> {
    /// Starts etcd and waits until the API server serves.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.back = true;
        control::etcd(&self.cluster.machine, &self.cluster.etcd)?;
        until("the API server serves again", || async {
            self.cluster.client.request_text(get("/readyz")?).await?;
            Ok(Some(()))
        })
        .await
    }
}

impl Drop for WithoutEtcd<'_> {
    fn drop(&mut self) {
        if !self.back {
            // Whatever failed or was given up, the next scenario finds the cluster again.
            if let Err(error) = control::etcd(&self.cluster.machine, &self.cluster.etcd) {
                eprintln!("could not start etcd again: {error:#}");
            }
        }
    }
}

/// What the steps of the start share.
struct Setup {
    machine: Machine,
    /// The administrator's kubeconfig.
    admin: PathBuf,
    kubernetes: Part,
    etcd: Part,
    argo: Part,
}

impl Setup {
    /// The path of a file or folder of state.
    fn state(&self, name: &str) -> PathBuf {
        self.machine.folder().join(name)
    }

    fn server(&self) -> String {
        server(&self.machine)
    }

    fn audit_log(&self) -> PathBuf {
        audit_log(&self.machine)
    }

    /// One of Kubernetes' programs, to run in the machine.
    fn program(&self, name: &str) -> anyhow::Result<Command> {
        self.machine.command(self.kubernetes.program(name))
    }

    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        kubectl(&self.kubernetes, &self.admin, arguments).await
    }
}

async fn begin(setup: &Setup) -> anyhow::Result<Client> {
    let pki = pki::Pki::create(&setup.state("pki"))?;
    pki.kubeconfig(&setup.server(), "admin", "admin", Some("system:masters"))?;
    let (client, ()) = tokio::try_join!(control::start(setup, &pki), async {
        node::start_containerd(&setup.machine, &node::FIRST).await?;
        images::import(setup).await
    })?;
    control::start_controllers(setup, &pki)?;
    tokio::try_join!(node::start(setup, &pki, &client), admission::install(&client), argo::start(setup))?;
    fs::write(setup.state(COMPLETE), "")?;
    Ok(client)
}

fn server(machine: &Machine) -> String {
    format!("https://{}:{PORT}", machine.network().node())
}

fn audit_log(machine: &Machine) -> PathBuf {
    machine.folder().join("logs/audit.jsonl")
}

/// Logs stand in the checkout's target folder, each time anew.
fn keep_logs(machine: &Machine) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("e2e-logs");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(machine.folder().join("logs"))? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    Ok(folder)
}

async fn kube_client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn kubectl_command(kubernetes: &Part, kubeconfig: &Path) -> Command {
    let mut command = Command::new(kubernetes.program("kubectl"));
    command.env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
    command
}

async fn kubectl(kubernetes: &Part, kubeconfig: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = kubectl_command(kubernetes, kubeconfig).args(arguments).kill_on_drop(true).output().await?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("`kubectl {}` failed: {}", arguments.join(" "), told.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn get(path: &str) -> anyhow::Result<Request<Vec<u8>>> {
    Ok(Request::get(path).body(Vec::new())?)
}

fn post(path: &str, body: &Value) -> anyhow::Result<Request<Vec<u8>>> {
    Ok(Request::post(path).header("content-type", "application/json").body(body.to_string().into_bytes())?)
}

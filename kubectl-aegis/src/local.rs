//! A cluster in memory with Aegis in it: what `demo` and `sandbox` start.

use std::net::SocketAddr;
use std::time::Duration;

use aegis_controller::clock::Clock;
use aegis_controller::{Controller, Metrics, Settings};
use aegis_crds::{AegisAlertOpsRule, AegisOpsTemplate};
use aegis_sandbox::agent::{Agent, AgentOptions, Execution};
use aegis_sandbox::{Options as ServerOptions, Sandbox};
use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The namespace that the controller publishes alerts in.
pub(crate) const NAMESPACE: &str = "monitoring";

/// What procedures may run as, as in manifest/deploy.
const ACCOUNTS: [&str; 3] = ["aegis-workflow", "aegis-sop-drain", "aegis-sop-pods"];

/// What the cluster is like.
pub(crate) struct Options {
    /// Its nodes.
    pub(crate) nodes: Vec<String>,
    /// Whether the scripts of unprivileged containers are run.
    pub(crate) execute: bool,
}

/// A running cluster with a controller.
pub(crate) struct Local {
    sandbox: Sandbox,
    agent: Agent,
    webhook: SocketAddr,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), aegis_controller::Error>>,
}

impl Local {
    /// Starts all of it and returns when the controller takes alerts.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let crds = aegis_crds::definitions().iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        let server = ServerOptions { crds, nodes: options.nodes, ..ServerOptions::default() };
        let sandbox = Sandbox::start(server).await.context("could not start the API server in memory")?;
        let execution = if options.execute { scripts()? } else { Execution::Never };
        let agent = Agent::start(
            sandbox.client_as("sandbox-agent"),
            sandbox.logs().clone(),
            sandbox.kubeconfig(),
            AgentOptions { execution, ..AgentOptions::default() },
        )
        .await
        .context("could not start the simulated nodes")?;
        let accounts: Api<ServiceAccount> = Api::namespaced(sandbox.client_as("kubectl-aegis"), NAMESPACE);
        accounts
            .create(&PostParams::default(), &workflow_account())
            .await
            .context("could not create a ServiceAccount")?;
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let webhook = listener.local_addr()?;
        let stop = CancellationToken::new();
        let mut settings = Settings::default();
        NAMESPACE.clone_into(&mut settings.alert.publish_namespace);
        settings.action.service_accounts = ACCOUNTS.map(str::to_owned).to_vec();
        let controller = Controller {
            settings,
            client: sandbox.client_as("aegis-controller"),
            metrics: Metrics::new(),
            clock: Clock::default(),
        };
        let controller = tokio::spawn(controller.run_on(listener, stop.clone().cancelled_owned()));
        let local = Self { sandbox, agent, webhook, stop, controller };
        local.until_ready().await?;
        Ok(local)
    }

    /// Where the API server is.
    pub(crate) fn api_url(&self) -> String {
        self.sandbox.url()
    }

    /// Where the webhook is.
    pub(crate) fn webhook_url(&self) -> String {
        format!("http://{}", self.webhook)
    }

    /// A kubeconfig for kubectl.
    pub(crate) fn kubeconfig(&self) -> String {
        self.sandbox.kubeconfig()
    }

    /// A client under that name.
    pub(crate) fn client(&self, name: &str) -> Client {
        self.sandbox.client_as(name)
    }

    /// Posts a body to the webhook and gives its answer in a line; any answer but a success is an error.
    pub(crate) async fn post(&self, route: &str, body: &'static str) -> anyhow::Result<String> {
        let url = format!("{}{route}", self.webhook_url());
        let answer = reqwest::Client::new().post(&url).body(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{url} answered {status}: {text}");
        }
        Ok(status.to_string())
    }

    /// Stops the controller as SIGTERM does, then the cluster.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // What it says of its end was logged where it happened.
        let _ = self.controller.await;
        self.agent.stop().await;
        self.sandbox.stop().await;
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let url = format!("{}/readyz", self.webhook_url());
        let http = reqwest::Client::new();
        let ready = async {
            while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.context("the controller did not become ready")
    }
}

/// What procedures run as, as manifest/deploy has it. The sandbox knows no roles.
fn workflow_account() -> ServiceAccount {
    let metadata = ObjectMeta { name: Some("aegis-workflow".to_owned()), ..ObjectMeta::default() };
    ServiceAccount { metadata, ..ServiceAccount::default() }
}

/// Containers find this very binary as `kubectl`.
fn scripts() -> anyhow::Result<Execution> {
    let this = std::env::current_exe().context("could not find this program's own file")?;
    Ok(Execution::Scripts { stand_ins: vec![("kubectl".to_owned(), this)] })
}

/// Creates the rules and templates of a YAML text in that namespace.
pub(crate) async fn apply(client: &Client, namespace: &str, yaml: &str) -> anyhow::Result<()> {
    for document in serde_saphyr::from_multiple::<Value>(yaml)? {
        let post = PostParams::default();
        match document.get("kind").and_then(Value::as_str) {
            Some("AegisAlertOpsRule") => {
                let rule: AegisAlertOpsRule = serde_json::from_value(document)?;
                Api::namespaced(client.clone(), namespace).create(&post, &rule).await?;
            }
            Some("AegisOpsTemplate") => {
                let template: AegisOpsTemplate = serde_json::from_value(document)?;
                Api::namespaced(client.clone(), namespace).create(&post, &template).await?;
            }
            kind => bail!("expected an AegisAlertOpsRule or an AegisOpsTemplate, found {kind:?}"),
        }
    }
    Ok(())
}

/// Returns when the user or the system asks the process to end.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

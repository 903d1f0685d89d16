//! The way to the cluster: kubectl's own flags, as far as the present verbs need them.

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::failure::{Failure, Kind};

/// Flags that say which cluster is meant. They stand anywhere on the line, as with kubectl.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which cluster")]
pub(crate) struct ClusterArgs {
    /// The kubeconfig file; by default $KUBECONFIG, then ~/.kube/config, then the pod's own ServiceAccount
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,
    /// The context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The cluster of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// The user of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The namespace that Aegis publishes alerts in
    #[arg(short, long, global = true, value_name = "NAME", default_value = "monitoring")]
    pub(crate) namespace: String,
}

impl ClusterArgs {
    /// A client for that cluster.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        client(self.known_config().await?)
    }

    /// A client that passes on every answer as it is; other ones ask again for a while where the server is busy.
    pub(crate) async fn client_that_asks_once(&self) -> Result<Client, Failure> {
        let mut config = self.known_config().await?;
        config.default_retry = false;
        client(config)
    }

    async fn known_config(&self) -> Result<Config, Failure> {
        self.config().await.map_err(|error| {
            Failure::new(Kind::Cluster, "could not tell which cluster to use")
                .because(error)
                .hint("point at one with --kubeconfig, --context or $KUBECONFIG; `kubectl aegis sandbox` starts one to try things on")
        })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let options =
            KubeConfigOptions { context: self.context.clone(), cluster: self.cluster.clone(), user: self.user.clone() };
        if let Some(file) = &self.kubeconfig {
            return Ok(Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?);
        }
        if options.context.is_some() || options.cluster.is_some() || options.user.is_some() {
            return Ok(Config::from_kubeconfig(&options).await?);
        }
        Ok(Config::infer().await?)
    }
}

fn client(config: Config) -> Result<Client, Failure> {
    Client::try_from(config).map_err(|error| Failure::new(Kind::Cluster, "could not make a client").because(error))
}

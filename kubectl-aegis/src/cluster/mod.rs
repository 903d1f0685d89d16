//! The way to the cluster: kubectl's own flags, wherever they stand on the line.

mod login;

use std::time::Duration;

use clap::Args;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};

use crate::failure::{Failure, Kind};

/// Flags that say which cluster is meant, and as whom. They stand anywhere on the line, as with kubectl.
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
    /// Look into all namespaces, where a verb lists things
    #[arg(short = 'A', long, global = true)]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// The rest of kubectl's flags for the cluster and the login: rarely typed, so the verbs' own manuals leave them out.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LoginArgs {
    /// Act as this user
    #[arg(long = "as", global = true, hide = true, value_name = "USER")]
    pub(crate) as_user: Option<String>,
    /// Act as a member of this group; repeat it for more
    #[arg(long = "as-group", global = true, hide = true, value_name = "GROUP")]
    pub(crate) as_group: Vec<String>,
    /// Act as the user with this UID
    #[arg(long = "as-uid", global = true, hide = true, value_name = "UID")]
    pub(crate) as_uid: Option<String>,
    /// The bearer token to show
    #[arg(long, global = true, hide = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The address of the API server
    #[arg(short = 's', long, global = true, hide = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// How long one request may take, such as 5s; 0 is for ever. A watch is no such request
    #[arg(long, global = true, hide = true, value_name = "DURATION", value_parser = request_timeout)]
    pub(crate) request_timeout: Option<Timeout>,
    /// Take any certificate for the server's: what is sent can be read by others
    #[arg(long, global = true, hide = true, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) insecure_skip_tls_verify: Option<bool>,
    /// The name that the server's certificate must bear
    #[arg(long, global = true, hide = true, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// The file with the certificates of those who may vouch for the server
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub(crate) certificate_authority: Option<String>,
    /// The file with the certificate to show
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub(crate) client_certificate: Option<String>,
    /// The file with that certificate's key
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub(crate) client_key: Option<String>,
}

/// How long a request may take; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout(Option<Duration>);

/// Reads kubectl's forms: "0", seconds as a number, or a number with a unit.
fn request_timeout(text: &str) -> Result<Timeout, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Timeout((seconds > 0).then(|| Duration::from_secs(seconds))));
    }
    if text == "0s" {
        return Ok(Timeout(None));
    }
    let length = aegis_engine::duration::parse(text)?;
    Duration::try_from(length).map(|length| Timeout(Some(length))).map_err(|error| error.to_string())
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

    /// A client whose requests may last: nothing may come for long on a watch or a log that is followed.
    pub(crate) async fn client_that_waits(&self) -> Result<Client, Failure> {
        let mut config = self.known_config().await?;
        config.read_timeout = None;
        client(config)
    }

    /// The namespace that is meant; none for all of them.
    pub(crate) fn scope(&self) -> Option<&str> {
        (!self.all_namespaces).then_some(self.namespace.as_str())
    }

    async fn known_config(&self) -> Result<Config, Failure> {
        let mut config = self.config().await.map_err(|error| {
            Failure::new(Kind::Cluster, "could not tell which cluster to use")
                .because(error)
                .hint("point at one with --kubeconfig, --context or $KUBECONFIG; `kubectl aegis sandbox` starts one to try things on")
        })?;
        if config.cluster_url.scheme_str() == Some("http") {
            // Nobody's certificate is checked, and reading the machine's takes longer than all the rest.
            config.root_cert = Some(Vec::new());
        }
        let agent = concat!("kubectl-aegis/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        if let Some(Timeout(length)) = self.login.request_timeout {
            config.connect_timeout = length.or(config.connect_timeout);
            config.read_timeout = length;
            // Else a server that is busy would be asked again and again, each time for as long.
            config.default_retry = length.is_none();
        }
        Ok(config)
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let options =
            KubeConfigOptions { context: self.context.clone(), cluster: self.cluster.clone(), user: self.user.clone() };
        let named = options.context.is_some() || options.cluster.is_some() || options.user.is_some();
        let error = match login::kubeconfig(self.kubeconfig.as_deref()) {
            Ok(kubeconfig) => {
                let kubeconfig = login::with_flags(kubeconfig, &options, &self.login)?;
                match Config::from_custom_kubeconfig(kubeconfig, &options).await {
                    Ok(config) => return Ok(config),
                    Err(error) => error,
                }
            }
            Err(_) if self.login.server.is_some() && self.kubeconfig.is_none() && !named => {
                let kubeconfig = login::with_flags(kube::config::Kubeconfig::default(), &options, &self.login)?;
                return Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?);
            }
            Err(error) => error,
        };
        if self.kubeconfig.is_some() || named {
            return Err(error.into());
        }
        match Config::incluster() {
            Ok(mut config) => {
                login::impersonate(&mut config.auth_info, &self.login);
                Ok(config)
            }
            Err(_) => Err(error.into()),
        }
    }
}

fn client(config: Config) -> Result<Client, Failure> {
    Client::try_from(config).map_err(|error| Failure::new(Kind::Cluster, "could not make a client").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_in_kubectls_forms() {
        let seconds = |text: &str| request_timeout(text).map(|Timeout(length)| length.map(|length| length.as_secs()));
        let cases = [("0", Ok(None)), ("0s", Ok(None)), ("7", Ok(Some(7))), ("1m30s", Ok(Some(90)))];
        for (text, want) in cases {
            assert_eq!(seconds(text), want, "{text}");
        }
        assert!(request_timeout("soon").is_err());
    }
}

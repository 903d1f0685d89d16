//! `kubectl aegis version`: who is here, in which version, and whether they go together.

pub(crate) mod definitions;

use clap::{Args, ValueEnum};
use futures::future;
use kube::Client;
use serde::Serialize;

use self::definitions::{Definition, Standing};
use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::output;

/// Print the versions of this plugin, the controller, Kubernetes and the definitions, and whether they go together
///
/// The controller's version comes from its metrics, through the API server's proxy to its Service, which takes the verb
/// get on services/proxy. The definitions are compared field by field with those that this plugin was built with.
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis version
  kubectl aegis version --client
  kubectl aegis version -o json

Exit codes: 0 if they go together, 3 if the cluster cannot be reached, 7 if Aegis is not installed there or the \
versions do not go together.")]
pub(crate) struct Version {
    /// Only this plugin; no cluster is asked
    #[arg(long)]
    client: bool,
    /// The Service of the controller and its port, in the namespace of -n
    #[arg(long, value_name = "NAME:PORT", default_value = "aegis:8080")]
    service: String,
    /// How to print it
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Yaml,
}

/// All versions; what could not be told is left out.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Report {
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<String>,
    /// Why the controller's version is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    controller_unknown: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    definitions: Vec<Definition>,
    /// What does not go together, as sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skew: Vec<String>,
}

/// What it prints with `-o json`.
#[cfg(test)]
pub(crate) fn schema() -> serde_json::Value {
    crate::schemas::of::<Report>()
}

impl Version {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let own = env!("CARGO_PKG_VERSION").to_owned();
        let mut report = Report {
            client: own,
            controller: None,
            controller_unknown: None,
            kubernetes: None,
            definitions: Vec::new(),
            skew: Vec::new(),
        };
        if !self.client {
            self.ask(cluster, &mut report).await?;
        }
        self.show(&report)?;
        if report.skew.is_empty() {
            return Ok(());
        }
        let missing = report.definitions.iter().any(|one| one.standing == Standing::Missing);
        let failure = Failure::new(Kind::NotInstalled, report.skew.join("; "));
        Err(failure
            .hint(if missing {
                "an administrator installs them: kubectl aegis install"
            } else {
                "bring plugin, controller and definitions to one version: kubectl aegis upgrade"
            })
            .into())
    }

    async fn ask(&self, cluster: &ClusterArgs, report: &mut Report) -> Result<(), Failure> {
        let client = cluster.client_that_asks_once().await?;
        let path = format!("/api/v1/namespaces/{}/services/{}/proxy/metrics", cluster.namespace, self.service);
        let (kubernetes, definitions, controller) =
            future::join3(client.apiserver_version(), definitions::served(&client), text(&client, &path)).await;
        let kubernetes =
            kubernetes.map_err(|error| Failure::of_call("could not ask the API server its version", error))?;
        report.kubernetes = Some(kubernetes.git_version);
        report.definitions = definitions?;
        for definition in &report.definitions {
            report.skew.extend(definition.skew());
        }
        match controller {
            Ok(metrics) => match build(&metrics) {
                Some(version) => {
                    if minor(version) != minor(&report.client) {
                        report.skew.push(format!("the controller is {version}, this plugin {}", report.client));
                    }
                    report.controller = Some(version.to_owned());
                }
                None => report.controller_unknown = Some("its metrics do not name it".to_owned()),
            },
            Err(failure) => {
                let why = failure.status().map_or_else(|| failure.to_string(), |status| status.message.clone());
                report.controller_unknown = Some(why);
            }
        }
        Ok(())
    }

    fn show(&self, report: &Report) -> anyhow::Result<()> {
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(report)?),
            Format::Yaml => output::line(serde_saphyr::to_string(report)?.trim_end()),
            Format::Text => {
                output::line(&format!("client       {}", report.client));
                if let Some(version) = &report.controller {
                    output::line(&format!("controller   {version}"));
                }
                if let Some(why) = &report.controller_unknown {
                    output::line(&format!("controller   not to be seen: {why}"));
                }
                if let Some(version) = &report.kubernetes {
                    output::line(&format!("kubernetes   {version}"));
                }
                if !report.definitions.is_empty() {
                    let same = report.definitions.iter().filter(|one| one.standing == Standing::Same).count();
                    let all = report.definitions.len();
                    output::line(&format!("definitions  {same} of {all} as this plugin knows them"));
                }
            }
        }
        Ok(())
    }
}

async fn text(client: &Client, path: &str) -> Result<String, Failure> {
    let failed = |error| Failure::of_call("could not reach the controller", error);
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))?;
    client.request_text(request).await.map_err(failed)
}

/// The version in a page of metrics.
pub(crate) fn build(metrics: &str) -> Option<&str> {
    let line = metrics.lines().find(|line| line.starts_with("aegis_build_info{"))?;
    line.split_once("version=\"")?.1.split('"').next()
}

/// What must be equal for two versions to go together.
pub(crate) fn minor(version: &str) -> Vec<&str> {
    version.trim_start_matches('v').split('.').take(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controllers_version_stands_in_its_metrics() {
        let page = "# HELP aegis_build_info x\naegis_build_info{commit=\"x\",version=\"0.1.3\"} 1\n";
        assert_eq!(build(page), Some("0.1.3"));
        assert_eq!(build("up 1\n"), None);
        assert!(minor("v0.1.3") == minor("0.1.9") && minor("0.1.3") != minor("0.2.0"));
    }
}

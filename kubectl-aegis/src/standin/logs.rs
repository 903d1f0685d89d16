//! logs: what a pod's container has written so far.

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};

use super::{Error, target};
use crate::output;

#[derive(Args)]
pub(super) struct Logs {
    /// POD or pod/POD
    pod: String,
    /// Which container, where the pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// Of the run before the present one
    #[arg(short, long)]
    previous: bool,
    /// Only so many lines from the end, -1 for all
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,
    /// Only what is younger, such as 30s or 5m
    #[arg(long)]
    since: Option<kube::core::Duration>,
    /// The time before each line
    #[arg(long)]
    timestamps: bool,
}

/// Prints the log as it is.
pub(super) async fn logs(client: &Client, namespace: &str, logs: &Logs) -> Result<(), Error> {
    let name = match logs.pod.split_once('/') {
        Some((type_, name)) if target::Type::parse(type_)?.label == "pod" => name,
        Some((type_, _)) => return Err(Error::Usage(format!("logs of a pod only, not of a {type_}"))),
        None => &logs.pod,
    };
    let since = logs.since.map(|since| std::time::Duration::from(since).as_secs());
    let params = LogParams {
        container: logs.container.clone(),
        previous: logs.previous,
        tail_lines: Some(logs.tail).filter(|lines| *lines >= 0),
        since_seconds: since.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
        timestamps: logs.timestamps,
        ..LogParams::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    output::text(&pods.logs(name, &params).await?);
    Ok(())
}

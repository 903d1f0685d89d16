//! `kubectl aegis logs`: what the steps of an alert's actions wrote.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_crds::AegisAlert;
use clap::Args;
use futures::{AsyncBufReadExt, StreamExt, future};
use kube::{Client, ResourceExt};
use kubectl_aegis::view::kinds::{ALERT, POD};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::fetch;
use crate::output;
use crate::work::{self, Step};

/// How often to look for further pods while logs are followed.
const AGAIN: Duration = Duration::from_secs(1);

/// Print what the steps of an alert's Workflows and Jobs wrote
///
/// Where there are several steps, each line begins with the name of its own. With -f it goes on until all of them have
/// ended, those too that begin later.
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis logs default-nodehasemergencyevent-4vwzmc2dq5ylk
  kubectl aegis logs alert/default-nodehasemergencyevent-4vwzmc2dq5ylk -f --tail 5

Exit codes: 0 if they could be read, 4 if you may not, 5 if there is no such alert or nothing was made for it.")]
pub(crate) struct Logs {
    /// The alert, by its name
    #[arg(value_name = "ALERT")]
    alert: String,
    /// Go on until everything has ended
    #[arg(short, long)]
    follow: bool,
    /// Only so many lines from the end of each, -1 for all
    #[arg(long, value_name = "LINES", default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,
    /// Only the step of that name
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// The time before each line
    #[arg(long)]
    timestamps: bool,
}

impl Logs {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let client = if self.follow { cluster.client_that_waits().await? } else { cluster.client().await? };
        let namespace = &cluster.namespace;
        let name = self.alert.rsplit('/').next().unwrap_or_default();
        let Some(found) = fetch::get(&client, &ALERT, Some(namespace), name).await? else {
            return Err(Failure::new(Kind::NotFound, format!("there is no alert {name} in {namespace}"))
                .hint(format!("`kubectl aegis get alerts -n {namespace}` lists them"))
                .into());
        };
        let alert: AegisAlert = serde_json::from_value(found)?;
        let uid = alert.uid().unwrap_or_default();
        let (actions, steps) = self.steps(&client, namespace, &uid).await?;
        if actions == 0 {
            return Err(Failure::new(Kind::NotFound, format!("nothing was made for {name}, or it is gone"))
                .hint(format!("`kubectl aegis trace {name}` says why"))
                .into());
        }
        if self.follow {
            return self.go_on(&client, namespace, &uid).await;
        }
        let several = steps.len() > 1;
        for step in &steps {
            let lines = self.lines(&client, namespace, step, several, false).await?;
            lines.for_each(print).await;
        }
        Ok(())
    }

    /// How many actions there are, and their steps that have a pod.
    async fn steps(&self, client: &Client, namespace: &str, uid: &str) -> Result<(usize, Vec<Step>), Failure> {
        let (actions, failures) = work::of_alert(client, namespace, uid).await;
        if let Some((_, failure)) = failures.into_iter().next() {
            return Err(failure);
        }
        let mut steps = Vec::new();
        for action in &actions {
            steps.extend(work::steps(action, &work::pods(client, action).await?));
        }
        steps.retain(|step| step.pod.is_some() && self.step.as_ref().is_none_or(|name| *name == step.name));
        Ok((actions.len(), steps))
    }

    /// Follows every pod, those too that come later, until nothing is under way.
    async fn go_on(&self, client: &Client, namespace: &str, uid: &str) -> anyhow::Result<()> {
        let mut followed: BTreeSet<String> = BTreeSet::new();
        let mut tasks: JoinSet<()> = JoinSet::new();
        loop {
            let (_, steps) = self.steps(client, namespace, uid).await?;
            for step in steps {
                let pod = step.pod.clone().unwrap_or_default();
                if followed.contains(&pod) || matches!(step.status.as_str(), "Pending" | "") {
                    continue;
                }
                match self.lines(client, namespace, &step, true, true).await {
                    Ok(lines) => {
                        followed.insert(pod);
                        tasks.spawn(lines.for_each(print));
                    }
                    // Its container has not begun yet.
                    Err(failure) if failure.kind() == Kind::Usage => {}
                    Err(failure) => return Err(failure.into()),
                }
            }
            let (actions, _) = work::of_alert(client, namespace, uid).await;
            if actions.iter().all(ended) {
                while tasks.join_next().await.is_some() {}
                return Ok(());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The lines of a step's log as they come.
    async fn lines(
        &self,
        client: &Client,
        namespace: &str,
        step: &Step,
        with_name: bool,
        follow: bool,
    ) -> Result<impl futures::Stream<Item = String> + use<>, Failure> {
        let pod = step.pod.clone().unwrap_or_default();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("container", step.container.as_deref().unwrap_or_default());
        if follow {
            query.append_pair("follow", "true");
        }
        if self.timestamps {
            query.append_pair("timestamps", "true");
        }
        if self.tail >= 0 {
            query.append_pair("tailLines", &self.tail.to_string());
        }
        let url = format!("{}/{pod}/log?{}", POD.path(Some(namespace)), query.finish());
        let failed = |error| Failure::of_call(format!("could not read the log of pod {pod}"), error);
        let request =
            http::Request::get(url).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))?;
        let reader = client.request_stream(request).await.map_err(failed)?;
        let name = if with_name { format!("[{}] ", step.name) } else { String::new() };
        Ok(reader.lines().filter_map(move |line| future::ready(line.ok().map(|line| format!("{name}{line}")))))
    }
}

/// Prints a line of a log.
async fn print(line: String) {
    output::line(&line);
}

/// Whether a Workflow or Job has ended.
fn ended(action: &Value) -> bool {
    let phase = action.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    let conditions = action.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let over = |condition: &Value| {
        let word = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
        matches!(word("type"), "Complete" | "Failed") && word("status") == "True"
    };
    matches!(phase, "Succeeded" | "Failed" | "Error") || conditions.into_iter().any(over)
}

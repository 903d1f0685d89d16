//! `-w`: what changes after the list, without a gap: from the version of the list on, and listed anew where the server
//! has forgotten it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::Client;
use kubectl_aegis::view::kinds::Resource;
use kubectl_aegis::view::{Filter, Kind};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::List;
use crate::cluster::ClusterArgs;
use crate::failure::Failure;
use crate::fetch::{self, Listed, News, Wanted};
use crate::output;
use crate::print::Printer;

/// How long to wait before a connection that was lost is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// What is followed.
pub(super) struct Follow<'a> {
    pub(super) list: &'a List,
    pub(super) kind: &'static Kind,
    pub(super) filter: &'a Filter,
    pub(super) names: &'a [String],
    pub(super) cluster: &'a ClusterArgs,
}

/// One thing that happened: ADDED, MODIFIED or DELETED, and to what.
type Change = (&'static str, Value);

impl Follow<'_> {
    /// Shows what changes until the reader goes away.
    pub(super) async fn run(&self, client: &Client, lists: Vec<Listed>, printer: &mut Printer) -> anyhow::Result<()> {
        let wanted = self.list.wanted(self.cluster, self.kind);
        let (changes, mut arriving) = mpsc::channel::<Change>(64);
        let watches: Vec<_> = self
            .kind
            .resources
            .iter()
            .zip(lists)
            .map(|(resource, list)| one(client.clone(), *resource, wanted.clone(), list, changes.clone()))
            .collect();
        drop(changes);
        let watches = stream::iter(watches).map(Ok).try_for_each_concurrent(None, |watch| watch);
        let show = async {
            while let Some((what, item)) = arriving.recv().await {
                let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let is_named = self.names.is_empty() || self.names.iter().any(|wanted| wanted == name);
                let now = Timestamp::now();
                if is_named && self.list.is_shown(self.kind, self.filter, &item, now) {
                    tell(printer, self.list.output_watch_events, what, &item, now)?;
                }
            }
            Ok::<(), anyhow::Error>(())
        };
        tokio::select! {
            failed = watches => failed.map_err(Into::into),
            shown = show => shown,
        }
    }
}

/// Shows one change.
pub(super) fn tell(
    printer: &mut Printer,
    with_event: bool,
    what: &str,
    item: &Value,
    now: Timestamp,
) -> anyhow::Result<()> {
    if with_event && printer.is_json() {
        output::line(&json!({"type": what, "object": item}).to_string());
        return Ok(());
    }
    printer.next(item, now)
}

/// Follows one resource for ever; only what no waiting mends is a failure.
async fn one(
    client: Client,
    resource: Resource,
    wanted: Wanted,
    list: Listed,
    changes: mpsc::Sender<Change>,
) -> Result<(), Failure> {
    let mut known: BTreeMap<String, Value> = list.items.into_iter().map(|item| (key(&item), item)).collect();
    let mut version = list.version;
    let send = async |what, item| changes.send((what, item)).await.is_ok();
    loop {
        if version.is_empty() {
            match fetch::list_if_known(&client, &resource, &wanted).await {
                Ok(list) => {
                    let mut now: BTreeMap<String, Value> =
                        list.items.into_iter().map(|item| (key(&item), item)).collect();
                    std::mem::swap(&mut now, &mut known);
                    for (key, item) in &known {
                        match now.remove(key) {
                            None => _ = send("ADDED", item.clone()).await,
                            Some(before) if before == *item => {}
                            Some(_) => _ = send("MODIFIED", item.clone()).await,
                        }
                    }
                    for (_, gone) in now {
                        send("DELETED", gone).await;
                    }
                    version = list.version;
                }
                Err(failure) if is_final(&failure) => return Err(failure),
                Err(failure) => eprintln!("{failure}; it is tried again"),
            }
            if version.is_empty() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        match fetch::watch(&client, &resource, &wanted, &version).await {
            Ok(news) => {
                let mut news = std::pin::pin!(news);
                while let Some(next) = news.next().await {
                    let (what, item) = match next {
                        Ok(News::Added(item)) => ("ADDED", item),
                        Ok(News::Modified(item)) => ("MODIFIED", item),
                        Ok(News::Deleted(item)) => ("DELETED", item),
                        Ok(News::Version(at)) => {
                            version = at;
                            continue;
                        }
                        Ok(News::Expired) => {
                            version.clear();
                            break;
                        }
                        Err(_) => break,
                    };
                    if let Some(at) = item.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
                        at.clone_into(&mut version);
                    }
                    match what {
                        "DELETED" => _ = known.remove(&key(&item)),
                        _ => _ = known.insert(key(&item), item.clone()),
                    }
                    if !send(what, item).await {
                        return Ok(());
                    }
                }
            }
            Err(kube::Error::Api(status)) if status.code == 410 => version.clear(),
            Err(error) => {
                let failure = Failure::of_call(format!("could not watch {}", resource.plural), error);
                if is_final(&failure) {
                    return Err(failure);
                }
                eprintln!("{failure}; it is tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn key(item: &Value) -> String {
    let word = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{}/{}", word("/metadata/namespace"), word("/metadata/name"))
}

/// Who may not or is not known gets no further by waiting.
fn is_final(failure: &Failure) -> bool {
    failure.status().is_some_and(|status| matches!(status.code, 400 | 401 | 403 | 404))
}

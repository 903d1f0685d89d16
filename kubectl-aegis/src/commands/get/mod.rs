//! `kubectl aegis get`, and the lists of other verbs: which objects are meant, read, filtered, ordered, printed.

mod follow;

use std::collections::BTreeMap;

use clap::Args;
use futures::future;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kubectl_aegis::view::kinds::{ALERT, OPEN_ALERTS};
use kubectl_aegis::view::{Datum, Filter, Kind, filter};
use serde_json::{Value, json};

use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind as FailureKind};
use crate::fetch::{self, Listed, Wanted};
use crate::print::{Format, PrintArgs, Printer};

/// List alerts, rules, templates, workflows, diagnoses, inspections or nodes
///
/// KIND is one of alerts, rules, templates, workflows, diagnoses, inspections, nodes; workflows are what Aegis made for
/// alerts, Jobs included. Alerts, workflows, diagnoses and inspections stand with the latest first.
///
/// --filter takes terms side by side, and an object must meet all of them: a text that stands in any of its fields, or a
/// field with = (several values: a,b; any text: *), < or >. A ! before a term turns it round. Fields are the columns of
/// `-o wide`, in lower case; sev, ns and obj are short for severity, namespace and object. Times are lengths: age<1h.
#[derive(Args)]
#[command(after_help = "Examples:
  # What is going on
  kubectl aegis get alerts

  # The grave ones of the last hour that were not acted on, with the reason
  kubectl aegis get alerts --filter 'sev=critical age<1h !action=Succeeded,Running' -o wide

  # Alerts about a node, as they change, one JSON object a line
  kubectl aegis get alerts -w -o json --filter node=dev1

  # Names alone, for a script
  kubectl aegis get alerts -l alert-type=NodeHasEmergencyEvent -o name

  # One rule as it is stored
  kubectl aegis get rule/nodehasemergencyevent -o yaml

  # Where the templates of all namespaces stand
  kubectl aegis get templates -A -o jsonpath='{range .items[*]}{.metadata.name}: {.status.status}{\"\\n\"}{end}'

  # Nodes with what Aegis changed on them, and how many alerts are open
  kubectl aegis get nodes

Exit codes: 0 also if nothing is there, 2 if a flag cannot be read, 4 if you may not, 5 if a name is not there, \
7 if Aegis is not installed.")]
pub(crate) struct Get {
    /// What to list, and which by name; all without names
    #[arg(value_name = "KIND[/NAME]", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    list: List,
}

/// Which objects of a kind, and how they are shown.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct List {
    /// Those with these labels, as for kubectl
    #[arg(short = 'l', long, value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Those with these fields, as for kubectl; the server knows metadata.name and metadata.namespace
    #[arg(long, value_name = "FIELDS", default_value = "", hide_default_value = true)]
    field_selector: String,
    /// Those to which something happened within that time, such as 2h or 7d
    #[arg(long, value_name = "DURATION", value_parser = length)]
    since: Option<SignedDuration>,
    /// Those that meet every term, such as 'sev=critical age<1h !ns=dev text'
    #[arg(long, value_name = "TERMS", default_value = "", hide_default_value = true)]
    filter: String,
    /// Go on, and show what changes
    #[arg(short, long)]
    watch: bool,
    /// With -w and -o json: tell of each object whether it was ADDED, MODIFIED or DELETED
    #[arg(long, requires = "watch")]
    output_watch_events: bool,
    /// How many objects one request asks for; 0 for all at once
    #[arg(long, value_name = "NUMBER", default_value_t = fetch::PAGE)]
    chunk_size: u32,
    #[command(flatten)]
    print: PrintArgs,
}

/// Reads a length of time, whole days and weeks too.
pub(crate) fn length(text: &str) -> Result<SignedDuration, String> {
    filter::length(text).ok_or_else(|| format!("found {text:?}, expected a length of time such as 30m, 2h or 7d"))
}

impl Get {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let (kind, names) = named(&self.what)?;
        self.list.run(cluster, kind, &names).await
    }
}

/// The kind and the names of `KIND NAME...` or `KIND/NAME...`.
fn named(what: &[String]) -> Result<(&'static Kind, Vec<String>), Failure> {
    let mut words = what.iter();
    let first = words.next().map(String::as_str).unwrap_or_default();
    let (word, name) = first.split_once('/').map_or((first, None), |(word, name)| (word, Some(name)));
    let kind = known(word)?;
    let mut names: Vec<String> = name.map(str::to_owned).into_iter().collect();
    for word in words {
        match word.split_once('/') {
            Some((other, name)) if known(other)?.plural == kind.plural => names.push(name.to_owned()),
            Some((other, _)) => {
                return Err(Failure::new(FailureKind::Usage, format!("found {other} beside {}", kind.plural))
                    .hint("list one kind at a time"));
            }
            None if name.is_some() => {
                return Err(Failure::new(
                    FailureKind::Usage,
                    format!("found {word}, expected {first} and others alike"),
                ));
            }
            None => names.push(word.clone()),
        }
    }
    Ok((kind, names))
}

/// The kind of that word.
pub(crate) fn known(word: &str) -> Result<&'static Kind, Failure> {
    Kind::parse(word).ok_or_else(|| {
        let known: Vec<&str> = kubectl_aegis::view::kinds::ALL.iter().map(|kind| kind.plural).collect();
        Failure::new(FailureKind::Usage, format!("found {word:?}, expected one of {}", known.join(", ")))
    })
}

impl List {
    /// Lists objects of that kind; all of them without names.
    pub(crate) async fn run(&self, cluster: &ClusterArgs, kind: &'static Kind, names: &[String]) -> anyhow::Result<()> {
        let filter = self.filter(kind)?;
        if cluster.all_namespaces && !names.is_empty() && kind.resources.iter().any(|one| one.namespaced) {
            return Err(Failure::new(FailureKind::Usage, "a name means an object of one namespace")
                .hint("leave out -A, or the name")
                .into());
        }
        let now = Timestamp::now();
        let client = cluster.client().await?;
        let (lists, names_missing) = self.read(&client, cluster, kind, names).await?;
        let mut printer = Printer::new(kind, &self.print, cluster.all_namespaces);
        let read: usize = lists.iter().map(|list| list.items.len()).sum();
        let shown = self.shown(kind, &filter, &lists, now);
        if self.watch && printer.is_json() {
            for item in &shown {
                follow::tell(&mut printer, self.output_watch_events, "ADDED", item, now)?;
            }
        } else {
            printer.all(&shown, names.len() == 1, now)?;
        }
        if !names_missing.is_empty() {
            let what = format!("{} not found: {}", kind.singular, names_missing.join(", "));
            return Err(Failure::new(FailureKind::NotFound, what)
                .hint(format!("`kubectl aegis get {}` lists them; is -n right?", kind.plural))
                .into());
        }
        if shown.is_empty() && names.is_empty() && !printer.is_json() {
            let place = cluster.scope().filter(|_| kind.resources.iter().any(|one| one.namespaced));
            let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
            match read {
                0 => eprintln!("no {}{place}", kind.plural),
                _ => eprintln!("none of the {read} {}{place} is meant by --filter and --since", kind.plural),
            }
        }
        if self.watch {
            let client = cluster.client_that_waits().await?;
            let follow = follow::Follow { list: self, kind, filter: &filter, names, cluster };
            follow.run(&client, lists, &mut printer).await?;
        }
        Ok(())
    }

    /// A list with that filter and all else as usual.
    pub(crate) fn of(filter: &str, wide: bool) -> Self {
        let output = if wide { Format::Wide } else { Format::Table };
        Self {
            selector: String::new(),
            field_selector: String::new(),
            since: None,
            filter: filter.to_owned(),
            watch: false,
            output_watch_events: false,
            chunk_size: fetch::PAGE,
            print: PrintArgs { output, no_headers: false },
        }
    }

    /// How it is printed.
    pub(crate) fn print(&self) -> &PrintArgs {
        &self.print
    }

    /// What is to be shown, read now.
    pub(crate) async fn look(
        &self,
        client: &Client,
        cluster: &ClusterArgs,
        kind: &'static Kind,
    ) -> Result<Vec<Value>, Failure> {
        let filter = self.filter(kind)?;
        let (lists, _) = self.read(client, cluster, kind, &[]).await?;
        Ok(self.shown(kind, &filter, &lists, Timestamp::now()))
    }

    fn filter(&self, kind: &'static Kind) -> Result<Filter, Failure> {
        Filter::parse(&self.filter, kind.fields)
            .map_err(|flaw| Failure::new(FailureKind::Usage, format!("--filter: {flaw}")))
    }

    fn wanted(&self, cluster: &ClusterArgs, kind: &Kind) -> Wanted {
        let labels: Vec<&str> =
            [self.selector.as_str(), kind.selector].into_iter().filter(|one| !one.is_empty()).collect();
        Wanted {
            namespace: cluster.scope().map(str::to_owned),
            labels: labels.join(","),
            fields: self.field_selector.clone(),
            page: self.chunk_size,
        }
    }

    /// The lists of all resources of the kind, and the names that are in none. One name is asked for by itself, several
    /// are picked from the list: so there are never more than two requests for each page.
    async fn read(
        &self,
        client: &Client,
        cluster: &ClusterArgs,
        kind: &'static Kind,
        names: &[String],
    ) -> Result<(Vec<Listed>, Vec<String>), Failure> {
        if let [name] = names
            && !self.watch
        {
            let scope = cluster.scope();
            let reads = kind.resources.iter().map(|resource| fetch::get(client, resource, scope, name));
            let mut found = Vec::new();
            for read in future::join_all(reads).await {
                match read {
                    Ok(object) => found.extend(object),
                    // A cluster without Argo has no Workflows, and that is no mistake.
                    Err(failure) if kind.resources.len() > 1 && is_missing_kind(&failure) => {}
                    Err(failure) => return Err(failure),
                }
            }
            let missing = if found.is_empty() { vec![name.clone()] } else { Vec::new() };
            return Ok((vec![Listed { items: found, version: String::new() }], missing));
        }
        let wanted = self.wanted(cluster, kind);
        let mut lists = Vec::new();
        if kind.plural == "nodes" {
            lists.push(nodes(client, cluster, &wanted).await?);
        } else {
            let reads = kind.resources.iter().map(|resource| async {
                match resource.group {
                    "argoproj.io" => fetch::list_if_known(client, resource, &wanted).await,
                    _ => fetch::list(client, resource, &wanted).await,
                }
            });
            for list in future::join_all(reads).await {
                lists.push(list?);
            }
        }
        let mut missing = Vec::new();
        if !names.is_empty() {
            let name_of = |item: &Value| item.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
            for list in &mut lists {
                list.items.retain(|item| name_of(item).is_some_and(|name| names.contains(&name)));
            }
            let found: Vec<String> = lists.iter().flat_map(|list| list.items.iter().filter_map(name_of)).collect();
            missing = names.iter().filter(|name| !found.contains(name)).cloned().collect();
        }
        Ok((lists, missing))
    }

    /// What passes the filter, in its order.
    fn shown(&self, kind: &Kind, filter: &Filter, lists: &[Listed], now: Timestamp) -> Vec<Value> {
        let all = lists.iter().flat_map(|list| &list.items);
        let mut items: Vec<Value> = all.filter(|item| self.is_shown(kind, filter, item, now)).cloned().collect();
        if kind.latest_first {
            items.sort_by_key(|item| std::cmp::Reverse((kind.last)(item)));
        }
        items
    }

    fn is_shown(&self, kind: &Kind, filter: &Filter, item: &Value, now: Timestamp) -> bool {
        let young = |since: SignedDuration| (kind.last)(item).is_some_and(|last| now.duration_since(last) <= since);
        self.since.is_none_or(young) && filter.matches(item, now)
    }
}

fn is_missing_kind(failure: &Failure) -> bool {
    failure.status().is_some_and(crate::failure::is_unknown_kind)
}

/// The nodes, each with how many alerts about it are open. Who may not list alerts sees the nodes without.
async fn nodes(client: &Client, cluster: &ClusterArgs, wanted: &Wanted) -> Result<Listed, Failure> {
    let resource = &kubectl_aegis::view::kinds::NODE;
    let alerts = Wanted::all_in(cluster.scope());
    let (nodes, alerts) =
        future::join(fetch::list(client, resource, wanted), fetch::list(client, &ALERT, &alerts)).await;
    let mut nodes = nodes?;
    match alerts {
        Ok(alerts) => {
            let open = open_by_node(&alerts.items);
            for node in &mut nodes.items {
                let name = node.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let count = open.get(name).copied().unwrap_or_default();
                if let Some(fields) = node.as_object_mut() {
                    fields.insert(OPEN_ALERTS.to_owned(), json!(count));
                }
            }
        }
        Err(failure) => eprintln!("the open alerts are not shown: {failure}"),
    }
    Ok(nodes)
}

/// How many alerts are open about each node.
fn open_by_node(alerts: &[Value]) -> BTreeMap<String, u64> {
    let mut open = BTreeMap::new();
    let Some(kind) = Kind::parse("alert") else { return open };
    let read = |name: &str, alert: &Value| {
        let field = kind.fields.iter().find(|field| field.is_called(name));
        field.map_or(Datum::Nothing, |field| (field.read)(alert))
    };
    for alert in alerts {
        if let (Datum::Text(node), Datum::Text(status)) = (read("node", alert), read("status", alert))
            && status != "Resolved"
        {
            *open.entry(node).or_default() += 1;
        }
    }
    open
}

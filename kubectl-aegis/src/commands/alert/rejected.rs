//! `kubectl aegis alert rejected`: what senders sent and could never be stored.

use aegis_controller::ingest::{REJECTED_CONFIGMAP, REJECTED_KEY};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kubectl_aegis::view::table::{self, Look};
use kubectl_aegis::view::{Datum, Field, Place, Tone};
use serde_json::Value;

use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::output;

/// Show what senders sent that could never be stored, and why
///
/// The webhook keeps the last 100 in the ConfigMap aegis-rejected of -n, latest first; alike ones are one.
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis alert rejected
  kubectl aegis alert rejected -o json

Exit codes: 0 if nothing was rejected, 1 if something was.")]
pub(crate) struct Rejected {
    /// How to print it
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Leave out the line of titles
    #[arg(long)]
    no_headers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Wide,
    Json,
    Yaml,
}

const FIELDS: &[Field] = &[
    Field::time("last", "LAST", |entry| Datum::time_at(entry, "/last")),
    Field::number("count", "COUNT", |entry| Datum::at(entry, "/count")),
    Field::text("route", "ROUTE", |entry| Datum::at(entry, "/route")),
    Field::text("type", "TYPE", |entry| Datum::at(entry, "/type")),
    Field::time("first", "FIRST", |entry| Datum::time_at(entry, "/first")).at(Place::Wide),
    Field::text("fingerprint", "FINGERPRINT", |entry| Datum::at(entry, "/fingerprint")).at(Place::Wide),
    Field::text("message", "MESSAGE", |entry| Datum::at(entry, "/message")).toned(|_| Tone::Bad),
];

impl Rejected {
    pub(super) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let client = cluster.client().await?;
        let namespace = &cluster.namespace;
        let lists = Api::<ConfigMap>::namespaced(client, namespace);
        let found = lists.get_opt(REJECTED_CONFIGMAP).await;
        let found =
            found.map_err(|error| Failure::of_call(format!("could not read the list in {namespace}"), error))?;
        let text = found.as_ref().and_then(|list| list.data.as_ref()?.get(REJECTED_KEY)).map_or("[]", String::as_str);
        let entries: Vec<Value> = serde_json::from_str(text).map_err(|error| {
            Failure::new(
                Kind::NotInstalled,
                format!("the ConfigMap {REJECTED_CONFIGMAP} is not what this plugin knows"),
            )
            .because(error)
        })?;
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(&entries)?),
            Format::Yaml => output::line(serde_saphyr::to_string(&entries)?.trim_end()),
            Format::Table | Format::Wide => self.table(&entries),
        }
        if entries.is_empty() {
            eprintln!("nothing was rejected in {namespace}");
            return Ok(());
        }
        Err(Failure::new(Kind::Findings, format!("{} kinds of report were rejected", entries.len()))
            .hint("mend their senders; an entry leaves the list when others come")
            .into())
    }

    fn table(&self, entries: &[Value]) {
        if entries.is_empty() {
            return;
        }
        let columns = table::columns(FIELDS, Look { wide: self.output == Format::Wide, namespaces: false });
        let now = Timestamp::now();
        let titles = (!self.no_headers).then(|| table::titles(&columns));
        let rows: Vec<_> =
            titles.into_iter().chain(entries.iter().map(|entry| table::row(&columns, entry, now))).collect();
        let (widths, coloured) = (table::widths(&rows), output::coloured());
        for row in &rows {
            output::line(&table::line(row, &widths, |text, tone| output::toned(text, tone, coloured)));
        }
    }
}

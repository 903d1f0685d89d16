//! `-o`: one printer for every list, as kubectl prints.

use std::str::FromStr;

use clap::Args;
use jiff::Timestamp;
use kubectl_aegis::view::kinds::{OPEN_ALERTS, Resource};
use kubectl_aegis::view::table::{self, Cell, Look};
use kubectl_aegis::view::{Field, Kind};
use serde_json::{Value, json};

use crate::jsonpath::Template;
use crate::output;

/// How a list is printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct PrintArgs {
    /// How to print it
    #[arg(short, long, value_name = "table|wide|json|yaml|name|jsonpath=TEMPLATE", default_value = "table")]
    pub(crate) output: Format,
    /// Leave out the line of titles
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// A form of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
    JsonPath(Template),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" | "" => Ok(Self::Table),
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            _ => match text.strip_prefix("jsonpath=") {
                Some(template) => Template::parse(template).map(Self::JsonPath).map_err(|error| error.to_string()),
                None => Err("expected table, wide, json, yaml, name or jsonpath=TEMPLATE".to_owned()),
            },
        }
    }
}

/// Prints objects of one kind, now and as they change.
pub(crate) struct Printer {
    format: Format,
    headers: bool,
    columns: Vec<&'static Field>,
    resources: &'static [Resource],
    widths: Vec<usize>,
    coloured: bool,
    began: bool,
}

impl Printer {
    /// A printer for that kind; `namespaces` if objects of several may come.
    pub(crate) fn new(kind: &'static Kind, print: &PrintArgs, namespaces: bool) -> Self {
        let look = Look { wide: print.output == Format::Wide, namespaces };
        Self {
            format: print.output.clone(),
            headers: !print.no_headers,
            columns: table::columns(kind.fields, look),
            resources: kind.resources,
            widths: Vec::new(),
            coloured: output::coloured(),
            began: false,
        }
    }

    /// Prints all of them at once; `one` if one was asked for by name.
    pub(crate) fn all(&mut self, items: &[Value], one: bool, now: Timestamp) -> anyhow::Result<()> {
        match &self.format {
            Format::Table | Format::Wide => output::text(&self.table(items, now)),
            Format::Name => items.iter().for_each(|item| output::line(&self.named(item))),
            Format::Json => output::line(&serde_json::to_string_pretty(&collected(items, one))?),
            Format::Yaml => output::line(serde_saphyr::to_string(&collected(items, one))?.trim_end()),
            Format::JsonPath(template) => output::text(&template.fill(&collected(items, one))?),
        }
        Ok(())
    }

    /// The table, painted where the terminal takes it; empty without items.
    pub(crate) fn table(&mut self, items: &[Value], now: Timestamp) -> String {
        let rows = items.iter().map(|item| table::row(&self.columns, item, now));
        let titles = (self.headers && !self.began).then(|| table::titles(&self.columns));
        let rows: Vec<Vec<Cell>> = titles.into_iter().chain(rows).collect();
        if items.is_empty() {
            return String::new();
        }
        if !self.began {
            self.widths = table::widths(&rows);
            self.began = true;
        }
        let paint = |text: &str, tone| output::toned(text, tone, self.coloured);
        rows.iter().map(|row| format!("{}\n", table::line(row, &self.widths, paint))).collect()
    }

    /// Prints one object as it is now, on a line of its own where the form allows it.
    pub(crate) fn next(&mut self, item: &Value, now: Timestamp) -> anyhow::Result<()> {
        match &self.format {
            Format::Table | Format::Wide => output::text(&self.table(std::slice::from_ref(item), now)),
            Format::Name => output::line(&self.named(item)),
            Format::Json => output::line(&serde_json::to_string(&bare(item))?),
            Format::Yaml => output::line(&format!("---\n{}", serde_saphyr::to_string(&bare(item))?.trim_end())),
            Format::JsonPath(template) => output::line(&template.fill(item)?),
        }
        Ok(())
    }

    /// Whether the form is one for programs that takes any JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    fn named(&self, item: &Value) -> String {
        let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let kind = item.get("kind").and_then(Value::as_str).unwrap_or_default();
        match self.resources.iter().find(|resource| resource.kind == kind) {
            Some(resource) => resource.named(name),
            None => name.to_owned(),
        }
    }
}

/// The object alone, or a list of all, as kubectl makes it.
fn collected(items: &[Value], one: bool) -> Value {
    match items {
        [item] if one => bare(item),
        _ => json!({
            "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""},
            "items": items.iter().map(bare).collect::<Vec<_>>(),
        }),
    }
}

/// Without what was added for tables.
fn bare(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.remove(OPEN_ALERTS);
    }
    item
}

//! `kubectl aegis top`: tables that stay on the screen and are kept up to date.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kubectl_aegis::view::Kind;
use serde_json::Value;

use super::get::{List, known, length};
use crate::cluster::ClusterArgs;
use crate::failure::Failure;
use crate::output;
use crate::print::Printer;

/// Rows beyond these do not fit on the screen, where its size cannot be told.
const ROWS: usize = 40;

/// Watch tables in place: alerts, or any kinds that `get` lists
///
/// The tables are read again every --interval and drawn over the old ones until you press Ctrl-C; what does not fit on the
/// screen is left out. With --once, or where standard output is no terminal, they are printed once.
#[derive(Args)]
#[command(after_help = "Examples:
  # Alerts that are open, kept up to date
  kubectl aegis top

  # Alerts and nodes, once
  kubectl aegis top alerts nodes --once

  # What is under way
  kubectl aegis top workflows --filter '!status=Succeeded' --once

Exit codes: 0 if it could be read at first, 4 if you may not, 7 if Aegis is not installed.")]
pub(crate) struct Top {
    /// What to list; by default the alerts that are not resolved
    #[arg(value_name = "KIND")]
    kinds: Vec<String>,
    /// Print once and end
    #[arg(long)]
    once: bool,
    /// How often to read
    #[arg(long, value_name = "DURATION", value_parser = length, default_value = "2s")]
    interval: SignedDuration,
    /// Those that meet every term, as for `kubectl aegis get`
    #[arg(long, value_name = "TERMS")]
    filter: Option<String>,
    /// Show the columns of wide tables too
    #[arg(long)]
    wide: bool,
}

impl Top {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let mut kinds: Vec<&'static Kind> = Vec::new();
        for word in &self.kinds {
            kinds.push(known(word)?);
        }
        let filter = self
            .filter
            .clone()
            .unwrap_or_else(|| if kinds.is_empty() { "!status=Resolved".to_owned() } else { String::new() });
        if kinds.is_empty() {
            kinds.push(known("alerts")?);
        }
        let list = List::of(&filter, self.wide);
        let client = cluster.client().await?;
        let mut page = self.page(&client, cluster, &list, &kinds).await?;
        if self.once || !std::io::stdout().is_terminal() {
            output::text(&page);
            return Ok(());
        }
        let pause = Duration::try_from(self.interval).unwrap_or(Duration::from_secs(2));
        loop {
            draw(&page);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
            page = match self.page(&client, cluster, &list, &kinds).await {
                Ok(page) => page,
                // The old page stands, with the reason why it is old.
                Err(failure) => {
                    format!("{failure}; it is tried again\n{}", page.split_once('\n').map_or("", |(_, rest)| rest))
                }
            };
        }
    }

    async fn page(
        &self,
        client: &Client,
        cluster: &ClusterArgs,
        list: &List,
        kinds: &[&'static Kind],
    ) -> Result<String, Failure> {
        let now = Timestamp::now();
        let mut page = String::new();
        for kind in kinds {
            let items: Vec<Value> = list.look(client, cluster, kind).await?;
            let mut printer = Printer::new(kind, list.print(), cluster.all_namespaces);
            let place = cluster.scope().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
            let head = format!("{} {}{place}", items.len(), kind.plural);
            page.push_str(&format!("{}\n", output::painted(&head, output::STRONG, output::coloured())));
            page.push_str(&printer.table(&items, now));
            page.push('\n');
        }
        Ok(page)
    }
}

/// Draws the page over what is on the screen.
fn draw(page: &str) {
    let rows = terminal_size::terminal_size().map_or(ROWS, |(_, height)| usize::from(height.0));
    let lines: String =
        page.trim_end().lines().take(rows.saturating_sub(1)).map(|line| format!("{line}\x1b[K\r\n")).collect();
    let mut out = std::io::stdout().lock();
    // Home, what is new, and nothing below it. A terminal that went away ends the program by its signal.
    let _ = write!(out, "\x1b[H{lines}\x1b[J").and_then(|()| out.flush());
}

//! `kubectl aegis guard`: what holds actions back now, on one page.

use aegis_engine::duration;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kubectl_aegis::view::field::one_line;
use serde_json::Value;

use super::pause;
use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::guard;
use crate::output;

/// Show what holds actions back: pauses, breaker, places taken, policy
///
/// All of it stands in the AegisGuard "aegis" of -n. What the policy leaves out has its default, which
/// `kubectl explain aegisguard.spec --recursive` tells. Why a single alert is held stands in its own status.
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis guard
  kubectl aegis guard -o yaml

Exit codes: 0 if it could be shown, 5 if nothing was paused or judged there yet.")]
pub(crate) struct Guard {
    /// How to print it; json and yaml are the AegisGuard itself
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Yaml,
}

impl Guard {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let client = cluster.client().await?;
        let namespace = &cluster.namespace;
        let Some(mut found) = guard::Guard::new(&client, namespace).read().await? else {
            return Err(Failure::new(Kind::NotFound, format!("there is no AegisGuard in {namespace} yet"))
                .hint("the controller makes it when it leads, or `kubectl aegis pause` before; is -n right?")
                .into());
        };
        found.metadata.managed_fields = None;
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(&found)?),
            Format::Yaml => output::line(serde_saphyr::to_string(&found)?.trim_end()),
            Format::Text => output::line(text(&serde_json::to_value(&found)?, Timestamp::now())?.trim_end()),
        }
        Ok(())
    }
}

/// The page.
fn text(guard: &Value, now: Timestamp) -> anyhow::Result<String> {
    let word = |path: &str| guard.pointer(path).and_then(Value::as_str);
    let mut page = String::new();
    let valid = guard.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let valid = valid.filter(|condition| condition.get("type").and_then(Value::as_str) == Some("Valid"));
    let flaw = valid
        .filter(|condition| condition.get("status").and_then(Value::as_str) == Some("False"))
        .find_map(|condition| condition.get("message").and_then(Value::as_str));
    page.push_str(&format!(
        "status    {}\n",
        word("/status/status").unwrap_or("not judged yet: is a controller there?")
    ));
    if let Some(flaw) = flaw {
        page.push_str(&format!("          {flaw}\n"));
    }
    page.push_str(&format!("breaker   {}\n", breaker(guard)));

    let mut rows: Vec<Vec<String>> = Vec::new();
    if let Some(reason) = pause::annotation(guard) {
        rows.push(vec!["all".into(), one_line(reason), String::new(), String::new(), String::new(), "goes on".into()]);
    }
    for pause in pause::pauses(guard) {
        let part = |name: &str| pause.get(name).map(shown).unwrap_or_default();
        let recovery = pause.get("recoveryToo").and_then(Value::as_bool) == Some(true);
        let ends = pause.get("until").and_then(Value::as_str).and_then(|until| until.parse::<Timestamp>().ok());
        let until = if ends.is_some_and(|ends| ends <= now) { "over".to_owned() } else { part("until") };
        let recovery = if recovery { "paused" } else { "goes on" }.to_owned();
        rows.push(vec![part("target"), part("reason"), part("by"), part("since"), until, recovery]);
    }
    section(&mut page, "pauses", &["TARGET", "REASON", "BY", "SINCE", "UNTIL", "RECOVERY"], &rows);

    let claims: Vec<Vec<String>> = list(guard, "/status/claims")
        .iter()
        .map(|claim| {
            let part = |name: &str| claim.get(name).map(shown).unwrap_or_default();
            let since = claim.get("since").and_then(Value::as_str).and_then(|since| since.parse::<Timestamp>().ok());
            let age = since.map(|since| duration::brief(now.duration_since(since))).unwrap_or_default();
            vec![part("alert"), part("phase"), part("attempt"), part("rule"), part("target"), age]
        })
        .collect();
    section(&mut page, "places taken", &["ALERT", "PHASE", "ATTEMPT", "RULE", "TARGET", "AGE"], &claims);

    let invalid = guard.pointer("/status/status").and_then(Value::as_str) == Some("Invalid");
    let in_force = guard.pointer("/status/inForce").filter(|policy| invalid && policy.is_object());
    let head = if in_force.is_some() { "policy (an earlier one: the present one is invalid)" } else { "policy" };
    let mut policy = in_force.or_else(|| guard.get("spec")).cloned().unwrap_or_default();
    if let Some(fields) = policy.as_object_mut() {
        fields.remove("pauses");
        fields.remove("resumed");
    }
    if policy.as_object().is_none_or(serde_json::Map::is_empty) {
        page.push_str(&format!("{head}: defaults\n"));
    } else {
        page.push_str(&format!("{head}:\n"));
        for line in serde_saphyr::to_string(&policy)?.lines() {
            page.push_str(&format!("  {line}\n"));
        }
    }
    Ok(page)
}

fn breaker(guard: &Value) -> String {
    let word = |path: &str| guard.pointer(path).and_then(Value::as_str);
    let state = word("/status/breaker/state").unwrap_or("Closed");
    let opened = word("/status/breaker/opened").map(|time| format!(" since {time}")).unwrap_or_default();
    let closes = word("/status/breaker/closes").map(|time| format!(", closes at {time}")).unwrap_or_default();
    if state == "Open" { format!("{state}{opened}{closes}") } else { state.to_owned() }
}

fn list<'a>(guard: &'a Value, path: &str) -> &'a [Value] {
    guard.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A value as a cell of a table: one line.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), one_line)
}

/// A heading and a table as kubectl draws them.
fn section(page: &mut String, head: &str, columns: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        page.push_str(&format!("{head}: none\n"));
        return;
    }
    page.push_str(&format!("{head}:\n"));
    let titles: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&titles).chain(rows).collect();
    let width = |nth: usize| all.iter().filter_map(|row| row.get(nth)).map(|cell| cell.chars().count()).max();
    for row in &all {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(nth, cell)| format!("{cell:<width$}", width = width(nth).unwrap_or_default()))
            .collect();
        page.push_str(&format!("  {}\n", cells.join("   ").trim_end()));
    }
}

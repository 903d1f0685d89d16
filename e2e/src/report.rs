//! The page that tells, for people, what was run when and on what.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use jiff::Zoned;

use crate::cluster::Cluster;
use crate::parts;
use crate::run::Ended;

/// Writes the page.
pub(crate) fn write(file: &Path, ended: &[Ended], cluster: &Cluster) -> anyhow::Result<()> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let parts: Vec<String> = parts::ALL.iter().map(|recipe| recipe.title()).collect();
    let machine = format!(
        "Linux {} on {} processors, node {}",
        kernel.trim(),
        std::thread::available_parallelism().map_or(0, usize::from),
        cluster.machine.network().node()
    );
    let text = page(&Zoned::now().strftime("%Y-%m-%d").to_string(), &machine, &parts, ended)?;
    fs::write(file, text).with_context(|| format!("could not write {}", file.display()))
}

fn page(date: &str, machine: &str, parts: &[String], ended: &[Ended]) -> anyhow::Result<String> {
    let mut text = String::from("# End-to-end results\n\n");
    let passed = ended.iter().filter(|ended| ended.failure.is_none()).count();
    writeln!(text, "`make e2e` on {date}: {passed} of {} scenarios passed.\n", ended.len())?;
    writeln!(text, "Built from source: {}. {machine}.\n", parts.join(", "))?;
    writeln!(text, "| scenario | what it shows | result | time |\n|---|---|---|---|")?;
    for Ended { scenario, failure, took } in ended {
        let result = if failure.is_some() { "failed" } else { "passed" };
        writeln!(text, "| {} | {} | {result} | {:.1} s |", scenario.name, scenario.about, took.as_secs_f64())?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenarios::ALL;

    #[test]
    fn the_page_tells_what_failed_and_how_long_it_took() {
        let first = &ALL[0];
        let ended = [Ended { scenario: first, failure: Some("no".into()), took: Duration::from_millis(1_250) }];
        let text = page("2026-01-02", "Linux 6", &["etcd 3".into()], &ended).unwrap();
        assert!(text.contains("on 2026-01-02: 0 of 1 scenarios passed"), "{text}");
        assert!(text.contains(&format!("| {} | {} | failed | 1.2 s |", first.name, first.about)), "{text}");
    }
}

//! How findings are shown: for people, for programs, and for what draws test reports.

use serde::Serialize;

use super::finding::{Finding, Status};
use super::fire::Hop;
use crate::output;

/// All that was found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Where Aegis is, or is to be.
    pub(crate) namespace: String,
    pub(crate) summary: Summary,
    /// Everything that was looked at.
    pub(crate) checks: Vec<Finding>,
    /// The hops of the test alert, where one was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hops: Vec<Hop>,
}

/// How many checks stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) ok: usize,
    pub(crate) warnings: usize,
    pub(crate) unknown: usize,
    pub(crate) failed: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ok, warnings, unknown, failed } = self;
        write!(f, "{ok} ok, {warnings} warnings, {unknown} unknown, {failed} failed")
    }
}

impl Report {
    pub(crate) fn new(namespace: &str, checks: Vec<Finding>, hops: Vec<Hop>) -> Self {
        let count = |status| checks.iter().filter(|finding| finding.status == status).count();
        let summary = Summary {
            ok: count(Status::Ok),
            warnings: count(Status::Warning),
            unknown: count(Status::Unknown),
            failed: count(Status::Failed),
        };
        Self { namespace: namespace.to_owned(), summary, checks, hops }
    }

    /// A line for each check, and below it why it is so and what mends it.
    pub(crate) fn table(&self, coloured: bool) -> String {
        let label = |finding: &Finding| format!("{} / {}", finding.family, finding.name);
        let width = self.checks.iter().map(|finding| label(finding).chars().count()).max().unwrap_or_default();
        let mut page = format!("{:<8} {:<width$}  FOUND\n", "STATUS", "CHECK");
        for finding in &self.checks {
            let (word, style) = match finding.status {
                Status::Ok => ("ok", output::GOOD),
                Status::Warning => ("warning", output::BUSY),
                Status::Unknown => ("unknown", output::BUSY),
                Status::Failed => ("FAILED", output::BAD),
            };
            let word = output::painted(&format!("{word:<8}"), style, coloured);
            page.push_str(&format!("{word} {:<width$}  {}\n", label(finding), finding.message));
            if finding.status == Status::Ok {
                continue;
            }
            for (what, text) in [("because", &finding.cause), ("mend", &finding.remedy)] {
                if let Some(text) = text {
                    page.push_str(&format!("{:<9}{what:>7}: {text}\n", ""));
                }
            }
        }
        for hop in &self.hops {
            page.push_str(&format!("test alert {} after {} ms\n", hop.name, hop.milliseconds));
        }
        page
    }

    /// As JUnit has it: what failed is a failure, what cannot be told is skipped.
    pub(crate) fn junit(&self) -> String {
        let Summary { unknown, failed, .. } = self.summary;
        let mut page = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        page.push_str(&format!(
            "<testsuites>\n  <testsuite name=\"kubectl aegis check\" tests=\"{}\" failures=\"{failed}\" skipped=\"{unknown}\">\n",
            self.checks.len()
        ));
        for finding in &self.checks {
            let head = format!("    <testcase classname=\"{}\" name=\"{}\"", xml(finding.family), xml(&finding.name));
            let message = xml(&finding.message);
            let more = [("because", &finding.cause), ("mend", &finding.remedy)];
            let more: Vec<String> =
                more.iter().filter_map(|(what, text)| Some(format!("{what}: {}", xml(text.as_ref()?)))).collect();
            let more = more.join("\n");
            page.push_str(&match finding.status {
                Status::Ok => format!("{head}/>\n"),
                Status::Warning => format!("{head}><system-out>{message}\n{more}</system-out></testcase>\n"),
                Status::Unknown => format!("{head}><skipped message=\"{message}\"/></testcase>\n"),
                Status::Failed => format!("{head}><failure message=\"{message}\">{more}</failure></testcase>\n"),
            });
        }
        page.push_str("  </testsuite>\n</testsuites>\n");
        page
    }
}

/// Text as XML takes it, between tags and in attributes.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // What XML has no way to write.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let checks = vec![
            Finding::ok("api", "server", "reached"),
            Finding::failed("webhook", "ready", "no \"answer\" <yet> & none")
                .because("it is down")
                .mend("kubectl get pods"),
            Finding::denied("controller", "leader", "get on leases"),
        ];
        Report::new("monitoring", checks, vec![Hop { name: "accepted", milliseconds: 7 }])
    }

    #[test]
    fn a_failure_is_shown_with_its_cause_and_what_mends_it() {
        insta::assert_snapshot!(report().table(false), @r#"
        STATUS   CHECK                FOUND
        ok       api / server         reached
        FAILED   webhook / ready      no "answer" <yet> & none
                 because: it is down
                    mend: kubectl get pods
        unknown  controller / leader  you may not look: that takes the verb get on leases
                    mend: ask for a role with the verb get on leases
        test alert accepted after 7 ms
        "#);
    }

    #[test]
    fn junit_counts_and_escapes() {
        let page = report().junit();
        assert!(page.contains("tests=\"3\" failures=\"1\" skipped=\"1\""), "{page}");
        assert!(
            page.contains("message=\"no &quot;answer&quot; &lt;yet&gt; &amp; none\">because: it is down\nmend: "),
            "{page}"
        );
        assert_eq!(xml("a\u{1}b"), "a\u{fffd}b");
    }
}

//! The API server: its version, what it serves, and whether it knows our kinds as this plugin does.

use kube::Client;

use super::ask::Asked;
use super::finding::Finding;
use crate::commands::version::definitions::{self, Definition, Standing};
use crate::install::shipped::POLICIES;
use crate::install::survey;

const FAMILY: &str = "api";
const DEFINITIONS: &str = "definitions";

/// What was read.
pub(super) struct Seen {
    /// Such as v1.33.1.
    pub(super) version: String,
    pub(super) knows_policies: Asked<bool>,
    pub(super) definitions: Asked<Vec<Definition>>,
}

pub(super) async fn look(client: &Client, version: String) -> Seen {
    let trouble = |failure: crate::failure::Failure| Asked::Trouble(failure.to_string());
    let (policies, definitions) = futures::join!(survey::knows(client, POLICIES), definitions::served(client));
    Seen {
        version,
        knows_policies: policies.map_or_else(trouble, Asked::Known),
        definitions: definitions.map_or_else(|failure| Asked::Trouble(failure.to_string()), Asked::Known),
    }
}

/// `before` an installation, definitions need not be there.
pub(super) fn judge(seen: &Seen, before: bool) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(FAMILY, "server", format!("reached, Kubernetes {}", seen.version))];
    findings.push(match seen.knows_policies.or_unknown(FAMILY, "policies") {
        Ok(Some(true)) => Finding::ok(FAMILY, "policies", "it knows ValidatingAdmissionPolicy"),
        Ok(_) => Finding::warning(FAMILY, "policies", "it knows no ValidatingAdmissionPolicy: approvals cannot count")
            .because("that takes Kubernetes 1.30")
            .mend("kubectl aegis install --without-policies"),
        Err(unknown) => *unknown,
    });
    match seen.definitions.or_unknown(DEFINITIONS, "schemas") {
        Ok(Some(all)) => findings.extend(definitions_of(all, before)),
        Ok(None) => {}
        Err(unknown) => findings.push(*unknown),
    }
    findings
}

fn definitions_of(all: &[Definition], before: bool) -> Vec<Finding> {
    let missing: Vec<&str> =
        all.iter().filter(|one| one.standing == Standing::Missing).map(|one| one.kind.as_str()).collect();
    if missing.len() == all.len() {
        let finding = if before {
            Finding::ok(DEFINITIONS, "schemas", "none is there yet")
        } else {
            Finding::failed(DEFINITIONS, "schemas", "the cluster does not know Aegis")
                .skew()
                .mend("kubectl aegis install")
        };
        return vec![finding];
    }
    let skews: Vec<Finding> = all
        .iter()
        .filter_map(|one| {
            let skew = one.skew()?;
            let mend = match one.standing {
                Standing::Newer => "use a plugin of the cluster's version, or a later one",
                _ => "kubectl aegis upgrade",
            };
            // What is older is what an upgrade is for.
            let fine = before && one.standing != Standing::Newer;
            let finding = if fine { Finding::warning } else { Finding::failed };
            let finding = finding(DEFINITIONS, one.kind.clone(), skew).mend(mend);
            Some(if fine { finding } else { finding.skew() })
        })
        .collect();
    if skews.is_empty() {
        return vec![Finding::ok(DEFINITIONS, "schemas", format!("all {} are as this plugin knows them", all.len()))];
    }
    skews
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Status;

    fn seen(standings: &[Standing]) -> Seen {
        let one = |standing: &Standing| Definition {
            kind: "AegisAlert".into(),
            standing: *standing,
            lacks: vec!["spec.x".into()],
        };
        Seen {
            version: "v1.33.0".into(),
            knows_policies: Asked::Known(true),
            definitions: Asked::Known(standings.iter().map(one).collect()),
        }
    }

    fn last(seen: &Seen, before: bool) -> (Status, bool, String) {
        let found = judge(seen, before).pop().unwrap();
        (found.status, found.not_installed, found.remedy.unwrap_or_default())
    }

    #[test]
    fn definitions_are_judged_by_what_an_installation_would_find() {
        use Standing::{Missing, Newer, Older, Same};
        let cases = [
            ("as they should be", vec![Same, Same], false, (Status::Ok, false, "")),
            ("not installed", vec![Missing, Missing], false, (Status::Failed, true, "kubectl aegis install")),
            ("not yet installed", vec![Missing, Missing], true, (Status::Ok, false, "")),
            ("older", vec![Older, Same], false, (Status::Failed, true, "kubectl aegis upgrade")),
            ("to be upgraded", vec![Older, Same], true, (Status::Warning, false, "kubectl aegis upgrade")),
            ("one is missing", vec![Missing, Same], false, (Status::Failed, true, "kubectl aegis upgrade")),
            (
                "newer",
                vec![Newer],
                true,
                (Status::Failed, true, "use a plugin of the cluster's version, or a later one"),
            ),
        ];
        for (why, standings, before, (status, skew, remedy)) in cases {
            assert_eq!(last(&seen(&standings), before), (status, skew, remedy.to_owned()), "{why}");
        }
        let old = Seen { knows_policies: Asked::Known(false), ..seen(&[Same]) };
        assert_eq!(judge(&old, false)[1].status, Status::Warning);
    }
}

//! What a check finds: how it stands, why, and the exact command that mends it.

use serde::Serialize;

use crate::failure::Kind;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// It cannot be told; `missing` says which right that takes, if it is for want of one.
    Unknown,
    /// Something does not work.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The family of checks, such as controller.
    pub(crate) family: &'static str,
    /// What was looked at, such as Lease.
    pub(crate) name: String,
    /// How it stands.
    pub(crate) status: Status,
    /// What was found, as a sentence.
    pub(crate) message: String,
    /// Why it is so, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    /// The command that mends it, or what else does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
    /// The right that is missing to tell, as roles grant it: a verb, a resource and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<String>,
    /// Whether it means that Aegis is not installed, or in another version.
    #[serde(skip)]
    pub(crate) not_installed: bool,
}

impl Finding {
    fn new(family: &'static str, name: impl Into<String>, status: Status, message: impl Into<String>) -> Self {
        Self {
            family,
            name: name.into(),
            status,
            message: message.into(),
            cause: None,
            remedy: None,
            missing: None,
            not_installed: false,
        }
    }

    pub(crate) fn ok(family: &'static str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(family, name, Status::Ok, message)
    }

    pub(crate) fn warning(family: &'static str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(family, name, Status::Warning, message)
    }

    pub(crate) fn unknown(family: &'static str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(family, name, Status::Unknown, message)
    }

    pub(crate) fn failed(family: &'static str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(family, name, Status::Failed, message)
    }

    /// It may not be looked at: this right is missing.
    pub(crate) fn denied(family: &'static str, name: impl Into<String>, right: impl Into<String>) -> Self {
        let right = right.into();
        let mut finding = Self::unknown(family, name, format!("you may not look: that takes the verb {right}"));
        finding.remedy = Some(format!("ask for a role with the verb {right}"));
        finding.missing = Some(right);
        finding
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into()).filter(|cause| !cause.is_empty());
        self
    }

    pub(crate) fn mend(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same where nothing fails for it.
    pub(crate) fn at_most_a_warning(mut self) -> Self {
        if self.status == Status::Failed {
            self.status = Status::Warning;
        }
        self
    }

    /// It means that Aegis is not installed, or in another version.
    pub(crate) fn skew(mut self) -> Self {
        self.not_installed = true;
        self
    }
}

/// What all of it comes to, as the exit code tells it; `None` if all is well.
pub(crate) fn verdict(findings: &[Finding]) -> Option<Kind> {
    let failed = || findings.iter().filter(|finding| finding.status == Status::Failed);
    if failed().any(|finding| finding.not_installed) {
        return Some(Kind::NotInstalled);
    }
    if failed().next().is_some() {
        return Some(Kind::Findings);
    }
    findings.iter().any(|finding| finding.missing.is_some()).then_some(Kind::Forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_the_gravest() {
        let ok = Finding::ok("api", "version", "1.33");
        let warning = Finding::warning("argo", "definition", "no");
        let honest = Finding::unknown("alertmanager", "receiver", "nobody can tell");
        let denied = Finding::denied("controller", "Lease", "get on leases");
        let failed = Finding::failed("webhook", "ready", "no");
        let absent = Finding::failed("definitions", "AegisAlert", "no").skew();
        let cases = [
            ("nothing is wrong", vec![ok.clone(), warning, honest], None),
            ("something may not be seen", vec![ok.clone(), denied.clone()], Some(Kind::Forbidden)),
            ("something does not work", vec![denied, failed.clone()], Some(Kind::Findings)),
            ("nothing is there", vec![failed, absent], Some(Kind::NotInstalled)),
        ];
        for (why, findings, want) in cases {
            assert_eq!(verdict(&findings), want, "{why}");
        }
    }
}

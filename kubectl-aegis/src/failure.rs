//! How the plugin fails: message, cause, hint, and an exit code by kind.

use std::process::ExitCode;

use kube::core::Status;

/// The kinds of failure that a script can tell apart by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1: it worked, and what it found is bad.
    Findings,
    /// 2: the call's words are off.
    Usage,
    /// 3: the cluster, or the way to it.
    Cluster,
    /// 4: not allowed.
    Forbidden,
    /// 5: not there.
    NotFound,
    /// 6: refused by the guard, or somebody else was faster.
    Refused,
    /// 7: Aegis is not installed, or in another version.
    NotInstalled,
    /// 124: it did not happen within the time that was given.
    Timeout,
    /// 130: the user ended it.
    Interrupted,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Cluster => 3,
            Self::Forbidden => 4,
            Self::NotFound => 5,
            Self::Refused => 6,
            Self::NotInstalled => 7,
            Self::Timeout => 124,
            Self::Interrupted => 130,
        }
    }
}

/// A failure with what a person can do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<anyhow::Error>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn because(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A failed call to the API server, told apart by what the server said.
    pub(crate) fn of_call(doing: impl Into<String>, error: kube::Error) -> Self {
        let (kind, hint) = match &error {
            kube::Error::Api(status) => of_status(status),
            _ if is_timeout(&error) => (Kind::Timeout, None),
            kube::Error::Auth(_) => {
                (Kind::Cluster, Some("log in again; does `kubectl version` get through?".to_owned()))
            }
            _ => (Kind::Cluster, Some("is the cluster up, and does `kubectl version` reach it?".to_owned())),
        };
        let failure = Self::new(kind, doing).because(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// [`Failure::of_call`] for a kind of object that comes with Aegis: where the cluster does not know it, Aegis is not
    /// installed.
    pub(crate) fn of_aegis_call(doing: impl Into<String>, error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if is_unknown_kind(status) => Self::new(Kind::NotInstalled, doing)
                .because(error)
                .hint("the cluster does not know Aegis: an administrator installs it with `kubectl aegis install`"),
            _ => Self::of_call(doing, error),
        }
    }

    /// What the API server said, where it is a call to it that failed.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self.source.as_ref()?.downcast_ref::<kube::Error>()? {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// What a person can do about it, where that is known.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

fn of_status(status: &Status) -> (Kind, Option<String>) {
    match status.code {
        400 => (Kind::Usage, None),
        401 => (Kind::Cluster, Some("the credentials in your kubeconfig were refused: log in again".to_owned())),
        403 => (Kind::Forbidden, Some(missing_right(&status.message))),
        404 => (Kind::NotFound, None),
        409 => (Kind::Refused, None),
        408 | 504 => (Kind::Timeout, None),
        _ => (Kind::Cluster, None),
    }
}

/// The right that is missing, in the words in which roles grant it.
fn missing_right(message: &str) -> String {
    let after = |word: &str| message.split_once(word).and_then(|(_, rest)| rest.split('"').next());
    let verb = message.split_once(" cannot ").and_then(|(_, rest)| rest.split(' ').next());
    match (verb, after(" resource \"")) {
        (Some(verb), Some(resource)) => {
            let group = after(" in API group \"").filter(|group| !group.is_empty());
            let group = group.map(|group| format!(".{group}")).unwrap_or_default();
            let place = match after(" in the namespace \"") {
                Some(namespace) => format!("in namespace {namespace}"),
                None => "in the whole cluster".to_owned(),
            };
            format!("ask for a role with the verb {verb} on {resource}{group} {place}")
        }
        _ => "ask for a role that allows it; the message names the missing verb".to_owned(),
    }
}

/// Whether the API server knows no such kind of object, rather than no such object. Where it does not even know the
/// group, its answer is a line of text.
pub(crate) fn is_unknown_kind(status: &Status) -> bool {
    let names_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    let says_so =
        (status.reason == "NotFound" && !status.message.contains('"')) || status.message.trim() == "404 page not found";
    status.code == 404 && !names_object && says_so
}

/// Whether a time limit of ours ended the call.
fn is_timeout(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if found.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        cause = found.source();
    }
    false
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// Prints the failure on stderr and gives its exit code; anything that is not a [`Failure`] is 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(failure) = error.downcast_ref::<Failure>().filter(|failure| failure.kind == Kind::Interrupted) {
        // Whoever pressed Ctrl-C knows.
        return ExitCode::from(failure.kind.code());
    }
    eprintln!("error: {error}");
    let mut told = error.to_string();
    for cause in error.chain().skip(1) {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref::<kube::Error>() {
            // The rest of it is for programs.
            eprintln!("  because: {}", status.message);
            break;
        }
        let cause = cause.to_string();
        // Many errors print their own cause; it is not said twice.
        if !told.contains(&cause) {
            eprintln!("  because: {cause}");
            told = cause;
        }
    }
    let Some(failure) = error.downcast_ref::<Failure>() else {
        return ExitCode::FAILURE;
    };
    if let Some(hint) = &failure.hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(failure.kind.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_right_is_told_as_a_role_grants_it() {
        let cases = [
            (
                r#"aegisalerts.aegis.io is forbidden: User "ann" cannot list resource "aegisalerts" in API group "aegis.io" in the namespace "monitoring""#,
                "the verb list on aegisalerts.aegis.io in namespace monitoring",
            ),
            (
                r#"nodes is forbidden: User "ann" cannot list resource "nodes" in API group "" at the cluster scope"#,
                "the verb list on nodes in the whole cluster",
            ),
            ("a policy says no", "the message names the missing verb"),
        ];
        for (message, part) in cases {
            let hint = missing_right(message);
            assert!(hint.contains(part), "{message}: {hint}");
        }
    }

    #[test]
    fn an_unknown_kind_is_told_from_an_unknown_object() {
        let status = |message: &str, name: &str| Status {
            code: 404,
            reason: "NotFound".into(),
            message: message.into(),
            details: serde_json::from_value(serde_json::json!({"name": name})).unwrap(),
            ..Status::default()
        };
        assert!(is_unknown_kind(&status("the server could not find the requested resource", "")));
        assert!(!is_unknown_kind(&status(r#"aegisalerts.aegis.io "x" not found"#, "x")));
    }
}

//! How the plugin fails: message, cause, hint, and an exit code by kind.

use std::process::ExitCode;

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
            kube::Error::Api(status) if status.code == 401 => {
                (Kind::Cluster, Some("the credentials in your kubeconfig were refused: log in again"))
            }
            kube::Error::Api(status) if status.code == 403 => {
                (Kind::Forbidden, Some("ask for a role that allows it; the message names the missing verb"))
            }
            kube::Error::Api(status) if status.code == 404 => (Kind::NotFound, None),
            kube::Error::Api(_) => (Kind::Cluster, None),
            _ => (Kind::Cluster, Some("is the cluster up, and does `kubectl version` reach it?")),
        };
        let failure = Self::new(kind, doing).because(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
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

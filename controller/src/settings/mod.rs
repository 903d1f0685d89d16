//! Settings: everything an administrator can choose, checked once at start-up.
//!
//! Each setting is a flag, an environment variable and a key of the config file, in this order of precedence; what
//! none of them gives has the default that `--help` shows. A key of the file is the flag's name, where a '.' may also
//! be written as nesting.

mod file;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};

pub use value::SystemParameters;

/// Turns alerts into repairs: takes alerts over HTTP, matches them to rules,
/// runs the rules' templates as Workflows or Jobs, and tells what happened in
/// the alerts' status.
///
/// Every setting is a flag, an environment variable and a key of the config
/// file (--config), in this order of precedence. In the file a '.' of a name
/// may also be written as nesting:
///
///   alert:
///     publish-namespace: monitoring
///     system-parameters: {cluster: c1}
///   rule-namespaces: [team-a, team-b]
///
/// Durations are written as 90s, 5m, 1h30m or 2d; a bare number counts seconds.
#[derive(Clone, Debug, Parser)]
#[command(name = "aegis-controller", version, verbatim_doc_comment, max_term_width = 110)]
pub struct Settings {
    /// A YAML file with settings by their flags' names
    #[arg(id = "config", long = "config", env = "AEGIS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to reach the API server; left out: $KUBECONFIG, ~/.kube/config, or the pod's ServiceAccount
    #[arg(id = "kubeconfig", long = "kubeconfig", env = "AEGIS_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespaces whose rules and templates count, beside the publish namespace; '*' means all. Whoever may write
    /// rules there decides what runs, so keep the list short
    #[arg(
        id = "rule-namespaces",
        long = "rule-namespaces",
        env = "AEGIS_RULE_NAMESPACES",
        value_name = "NAMESPACE,...",
        value_delimiter = ',',
        value_parser = value::namespace_or_all
    )]
    pub rule_namespaces: Vec<String>,
    /// Plan and tell, but make no Workflow and no Job
    #[arg(
        id = "dry-run",
        long = "dry-run",
        env = "AEGIS_DRY_RUN",
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub dry_run: bool,
    /// How many objects are reconciled at the same time
    #[arg(id = "workers", long = "workers", env = "AEGIS_WORKERS", value_name = "COUNT", default_value = "16",
          value_parser = value::count)]
    pub workers: usize,
    /// After SIGTERM, how long requests and actions in hand may take to finish
    #[arg(id = "grace-period", long = "grace-period", env = "AEGIS_GRACE_PERIOD", value_name = "DURATION",
          default_value = "20s", value_parser = value::duration)]
    pub grace_period: Duration,
    /// The webhook and the other pages served over HTTP.
    #[command(flatten)]
    pub http: Http,
    /// How alerts are stored, told apart and forgotten.
    #[command(flatten)]
    pub alert: Alert,
    /// How actions are run.
    #[command(flatten)]
    pub action: Action,
    /// Who leads when there are several replicas.
    #[command(flatten)]
    pub lease: Lease,
    /// Who is told what became of alerts.
    #[command(flatten)]
    pub notify: Notify,
    /// What is written about the work.
    #[command(flatten)]
    pub log: Log,
}

/// The webhook and the other pages served over HTTP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct Http {
    /// The address to listen on
    #[arg(id = "http.listen", long = "http.listen", env = "AEGIS_HTTP_LISTEN", value_name = "ADDRESS:PORT",
          default_value = "0.0.0.0:8080", value_parser = value::address)]
    pub listen: SocketAddr,
    /// The port alone; kept for compatibility
    #[arg(id = "http-port", long = "http-port", env = "AEGIS_HTTP_PORT", value_name = "PORT", hide = true)]
    pub port: Option<u16>,
    /// What stands before every path, such as /aegis
    #[arg(id = "http.prefix", long = "http.prefix", alias = "web.route-prefix", env = "AEGIS_HTTP_PREFIX",
          value_name = "PATH", default_value = "/", value_parser = value::prefix)]
    pub prefix: String,
    /// The largest body that is read; a larger one is answered with 413
    #[arg(id = "http.body-limit", long = "http.body-limit", env = "AEGIS_HTTP_BODY_LIMIT", value_name = "SIZE",
          default_value = "4MiB", value_parser = value::size)]
    pub body_limit: usize,
    /// A file whose content is the token that senders must show, as a bearer (`Authorization: Bearer TOKEN`) or as
    /// `X-Aegis-Token: TOKEN`; it is read again when it changes. Left out: whoever can reach the port can raise alerts
    #[arg(id = "http.token-file", long = "http.token-file", env = "AEGIS_HTTP_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The certificate chain (PEM) to serve HTTPS with; it is read again when it changes
    #[arg(
        id = "http.tls-cert-file",
        long = "http.tls-cert-file",
        env = "AEGIS_HTTP_TLS_CERT_FILE",
        value_name = "FILE",
        requires = "http.tls-key-file"
    )]
    pub tls_cert_file: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(
        id = "http.tls-key-file",
        long = "http.tls-key-file",
        env = "AEGIS_HTTP_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "http.tls-cert-file"
    )]
    pub tls_key_file: Option<PathBuf>,
    /// How many connections are served at the same time; further ones wait
    #[arg(id = "http.max-connections", long = "http.max-connections", env = "AEGIS_HTTP_MAX_CONNECTIONS",
          value_name = "COUNT", default_value = "512", value_parser = value::count)]
    pub max_connections: usize,
    /// How many alerts may wait to be stored; a body that brings more is answered with 503 once the queue is full
    #[arg(id = "http.queue", long = "http.queue", env = "AEGIS_HTTP_QUEUE", value_name = "COUNT",
          default_value = "4096", value_parser = value::count)]
    pub queue: usize,
}

/// How alerts are stored, told apart and forgotten.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Alerts")]
pub struct Alert {
    /// The namespace that alerts are stored in
    #[arg(id = "alert.publish-namespace", long = "alert.publish-namespace", env = "AEGIS_ALERT_PUBLISH_NAMESPACE",
          value_name = "NAMESPACE", default_value = "monitoring", value_parser = value::namespace)]
    pub publish_namespace: String,
    /// Parameters that every template gets beside the alert's own
    #[arg(id = "alert.system-parameters", long = "alert.system-parameters", env = "AEGIS_ALERT_SYSTEM_PARAMETERS",
          value_name = "KEY:VALUE;...", default_value = "", hide_default_value = true,
          value_parser = value::system_parameters)]
    pub system_parameters: SystemParameters,
    /// How long an alert is kept after its action succeeded
    #[arg(id = "alert.ttl-after-success", long = "alert.ttl-after-success", alias = "alert.ttl-after-succeed",
          env = "AEGIS_ALERT_TTL_AFTER_SUCCESS", value_name = "DURATION", default_value = "48h",
          value_parser = value::duration)]
    pub ttl_after_success: Duration,
    /// How long an alert is kept after its action failed
    #[arg(id = "alert.ttl-after-failure", long = "alert.ttl-after-failure", alias = "alert.ttl-after-failed",
          env = "AEGIS_ALERT_TTL_AFTER_FAILURE", value_name = "DURATION", default_value = "96h",
          value_parser = value::duration)]
    pub ttl_after_failure: Duration,
    /// How long an alert without any action is kept after it was resolved
    #[arg(id = "alert.ttl-after-no-ops", long = "alert.ttl-after-no-ops", alias = "alert.ttl-after-noops",
          env = "AEGIS_ALERT_TTL_AFTER_NO_OPS", value_name = "DURATION", default_value = "24h",
          value_parser = value::duration)]
    pub ttl_after_no_ops: Duration,
    /// How far two reports of one incident may lie apart: an alert that fires again later than this after its end, or
    /// with a start this much later than it was last heard, is a new incident
    #[arg(id = "alert.settle-window", long = "alert.settle-window", env = "AEGIS_ALERT_SETTLE_WINDOW",
          value_name = "DURATION", default_value = "2m", value_parser = value::duration)]
    pub settle_window: Duration,
    /// For alerts without a start: once the action has ended and nothing was heard for this long, the next report is
    /// a new incident
    #[arg(id = "alert.repeat-window", long = "alert.repeat-window", env = "AEGIS_ALERT_REPEAT_WINDOW",
          value_name = "DURATION", default_value = "60s", value_parser = value::duration)]
    pub repeat_window: Duration,
    /// An alert that was not heard for this long is no longer acted on
    #[arg(id = "alert.stale-after", long = "alert.stale-after", env = "AEGIS_ALERT_STALE_AFTER",
          value_name = "DURATION", default_value = "24h", value_parser = value::duration)]
    pub stale_after: Duration,
    /// How many alerts are stored at the same time
    #[arg(id = "alert.workers", long = "alert.workers", env = "AEGIS_ALERT_WORKERS", value_name = "COUNT",
          default_value = "32", value_parser = value::count)]
    pub workers: usize,
}

/// How actions are run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Actions")]
pub struct Action {
    /// The ServiceAccounts that a template's Workflow or Job may run as
    #[arg(id = "action.service-accounts", long = "action.service-accounts", env = "AEGIS_ACTION_SERVICE_ACCOUNTS",
          value_name = "NAME,...", value_delimiter = ',', default_value = "aegis-workflow",
          value_parser = value::object_name)]
    pub service_accounts: Vec<String>,
    /// How long an action may take before it is stopped and counts as failed; a template's own timeout comes first
    #[arg(id = "action.timeout", long = "action.timeout", env = "AEGIS_ACTION_TIMEOUT", value_name = "DURATION",
          default_value = "1h", value_parser = value::duration)]
    pub timeout: Duration,
    /// When an action that nobody picked up is reported with the likely cause
    #[arg(id = "action.pick-up-after", long = "action.pick-up-after", env = "AEGIS_ACTION_PICK_UP_AFTER",
          value_name = "DURATION", default_value = "2m", value_parser = value::duration)]
    pub pick_up_after: Duration,
}

/// Who leads when there are several replicas.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Leader election")]
pub struct Lease {
    /// The name of the Lease
    #[arg(id = "lease.name", long = "lease.name", alias = "election-id", env = "AEGIS_LEASE_NAME",
          value_name = "NAME", default_value = "aegis-controller", value_parser = value::object_name)]
    pub name: String,
    /// The namespace of the Lease; left out: the publish namespace
    #[arg(id = "lease.namespace", long = "lease.namespace", env = "AEGIS_LEASE_NAMESPACE", value_name = "NAMESPACE",
          value_parser = value::namespace)]
    pub namespace: Option<String>,
    /// The Lease of a controller of an earlier version, in the same namespace: while somebody holds it, nothing is
    /// begun. Only needed where that controller's pods do not show it: they run elsewhere, or are not labelled
    /// component=aegis
    #[arg(id = "lease.predecessor", long = "lease.predecessor", env = "AEGIS_LEASE_PREDECESSOR", value_name = "NAME",
          value_parser = value::object_name)]
    pub predecessor: Option<String>,
    /// Who this replica is; left out: the host's name and a random part
    #[arg(id = "lease.identity", long = "lease.identity", env = "AEGIS_LEASE_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
    /// How long a leader is believed without a sign of life
    #[arg(id = "lease.duration", long = "lease.duration", env = "AEGIS_LEASE_DURATION", value_name = "DURATION",
          default_value = "15s", value_parser = value::duration)]
    pub duration: Duration,
    /// A leader that could not renew for this long stops acting; shorter than lease.duration
    #[arg(id = "lease.renew-deadline", long = "lease.renew-deadline", env = "AEGIS_LEASE_RENEW_DEADLINE",
          value_name = "DURATION", default_value = "10s", value_parser = value::duration)]
    pub renew_deadline: Duration,
    /// How often the Lease is renewed; a replica that does not lead looks four times as often whether it may. Shorter than lease.renew-deadline
    #[arg(id = "lease.retry-period", long = "lease.retry-period", env = "AEGIS_LEASE_RETRY_PERIOD",
          value_name = "DURATION", default_value = "2s", value_parser = value::duration)]
    pub retry_period: Duration,
}

/// Who is told what became of alerts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Notifications")]
pub struct Notify {
    /// A YAML file, mounted from a Secret, that says which webhooks are told what became of alerts:
    /// docs/guides/notifications.md. It is read again when it changes, and need not exist
    #[arg(id = "notify.file", long = "notify.file", env = "AEGIS_NOTIFY_FILE", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// What is written about the work.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// Lines for people or objects for machines
    #[arg(
        id = "log.format",
        long = "log.format",
        env = "AEGIS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    pub format: LogFormat,
    /// What is written: error, warn, info, debug or trace, also by module as in info,aegis_controller::ingest=debug
    #[arg(id = "log.level", long = "log.level", env = "AEGIS_LOG_LEVEL", value_name = "LEVEL",
          default_value = "info", value_parser = value::log_level)]
    pub level: String,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Why the settings cannot be used. Each names the setting, what was found, and what is expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or environment variable is wrong, or help or the version was asked for: `clap::Error::exit` does it all.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// The config file could not be read.
    #[error("could not read the config file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The config file is no YAML mapping.
    #[error("{path} is not a YAML mapping from settings to values: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// The config file has a key that is no setting.
    #[error("{path}: unknown key {key}; expected one of the settings that --help lists, without the dashes")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with its parents.
        key: String,
    },
    /// The config file gives a setting a value that it cannot have.
    #[error("{path}: {key}: found {found}; {expected}")]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The key, with its parents.
        key: String,
        /// The value as written.
        found: String,
        /// What is expected instead.
        expected: String,
    },
    /// Two settings contradict each other.
    #[error("{key} is {found}; expected {expected}")]
    Contradiction {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What the other setting asks for.
        expected: String,
    },
}

impl Settings {
    /// The settings of this process: its arguments, its environment and the config file that they name.
    pub fn load() -> Result<Self, Error> {
        Self::from_arguments(std::env::args_os())
    }

    /// The same from given arguments, the first being the program's name.
    pub fn from_arguments<I, T>(arguments: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString>,
    {
        // A variable's value may be a secret's path or worse, and help is pasted into tickets.
        Self::parsed(Self::command().mut_args(|argument| argument.hide_env_values(true)), arguments)
    }

    /// The same, whatever the environment says: for those who ask what a controller elsewhere would do.
    pub fn from_arguments_alone<I, T>(arguments: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString>,
    {
        Self::parsed(Self::deaf_to_the_environment(), arguments)
    }

    /// Whether rules and templates of that namespace count.
    pub fn trusts(&self, namespace: &str) -> bool {
        namespace == self.alert.publish_namespace
            || self.rule_namespaces.iter().any(|trusted| trusted == "*" || trusted == namespace)
    }

    /// The namespace of the Lease.
    pub fn lease_namespace(&self) -> &str {
        self.lease.namespace.as_deref().unwrap_or(&self.alert.publish_namespace)
    }

    /// The address to listen on.
    pub fn listen(&self) -> SocketAddr {
        match self.http.port {
            Some(port) => SocketAddr::new(self.http.listen.ip(), port),
            None => self.http.listen,
        }
    }

    /// Whether other machines can reach the webhook without showing a token.
    pub fn is_open(&self) -> bool {
        self.http.token_file.is_none() && !self.http.listen.ip().is_loopback()
    }

    fn parsed<I, T>(mut command: clap::Command, arguments: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString>,
    {
        let arguments: Vec<std::ffi::OsString> = arguments.into_iter().map(Into::into).collect();
        if let Some(path) = file::named_in(command.clone(), &arguments) {
            command = file::with_defaults_of(command, path)?;
        }
        let settings = Self::from_arg_matches(&command.try_get_matches_from(arguments)?)?;
        settings.checked()
    }

    fn deaf_to_the_environment() -> clap::Command {
        Self::command().mut_args(|argument| argument.env(clap::builder::Resettable::Reset))
    }

    fn checked(self) -> Result<Self, Error> {
        let Lease { duration, renew_deadline, retry_period, .. } = self.lease;
        if self.lease.predecessor.as_ref() == Some(&self.lease.name) {
            return Err(Error::Contradiction {
                key: "lease.predecessor",
                found: self.lease.name,
                expected:
                    "another Lease than lease.name: replicas of one version share one, and exclude each other by it"
                        .to_owned(),
            });
        }
        if renew_deadline >= duration {
            return Err(Error::Contradiction {
                key: "lease.renew-deadline",
                found: format!("{renew_deadline:?}"),
                expected: format!("less than lease.duration, which is {duration:?}"),
            });
        }
        if retry_period >= renew_deadline || retry_period.is_zero() {
            return Err(Error::Contradiction {
                key: "lease.retry-period",
                found: format!("{retry_period:?}"),
                expected: format!("more than 0 and less than lease.renew-deadline, which is {renew_deadline:?}"),
            });
        }
        Ok(self)
    }
}

impl Default for Settings {
    /// Every default, whatever the environment says.
    fn default() -> Self {
        let matches = Self::deaf_to_the_environment().try_get_matches_from(["aegis-controller"]);
        match matches.and_then(|matches| Self::from_arg_matches(&matches)) {
            Ok(settings) => settings,
            Err(error) => error.exit(),
        }
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

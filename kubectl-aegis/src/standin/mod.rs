//! Answers as `kubectl` for the verbs that procedures use, so that an image for them needs this one static binary.
//! Output and exit codes are kubectl's; what it does not know it refuses by name.

mod logs;
mod nodes;
mod objects;
mod patch;
mod taints;
mod target;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kube::{Client, Config};

/// kubectl, as far as procedures need it
#[derive(Parser)]
#[command(name = "kubectl", version, disable_help_subcommand = true)]
struct Kubectl {
    /// The namespace
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Mark nodes as unschedulable
    Cordon(Nodes),
    /// Mark nodes as schedulable
    Uncordon(Nodes),
    /// Cordon a node and evict its pods
    Drain(Drain),
    /// Set or remove taints: KEY=VALUE:EFFECT, KEY:EFFECT, KEY:EFFECT- or KEY-
    Taint(Change),
    /// Set or remove labels: KEY=VALUE or KEY-
    Label(Change),
    /// Set or remove annotations: KEY=VALUE or KEY-
    Annotate(Change),
    /// Show objects
    Get(Get),
    /// Change fields of objects
    Patch(patch::Patch),
    /// Delete objects
    Delete(Delete),
    /// Print what a pod's container wrote
    Logs(logs::Logs),
}

#[derive(Args)]
struct Nodes {
    /// Names of nodes, with or without "node/"
    nodes: Vec<String>,
    /// Select nodes by label
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

#[derive(Args)]
struct Drain {
    #[command(flatten)]
    nodes: Nodes,
    /// Leave the pods of DaemonSets alone instead of refusing
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Evict pods that keep data in an emptyDir
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Evict pods that no controller would make again
    #[arg(long)]
    force: bool,
    /// Seconds for pods to end in, -1 for their own
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// How long to wait for the pods, such as 60s or 5m; 0s waits for ever
    #[arg(long, default_value = "0s")]
    timeout: kube::core::Duration,
}

#[derive(Args)]
struct Change {
    /// TYPE NAME or TYPE/NAME, then the changes
    #[arg(required = true, num_args = 2..)]
    words: Vec<String>,
    /// Replace a value that is already there
    #[arg(long)]
    overwrite: bool,
}

#[derive(Args)]
struct Get {
    /// TYPE, TYPE NAME or TYPE/NAME
    #[arg(required = true, num_args = 1..)]
    words: Vec<String>,
    /// json, yaml, name or jsonpath={...}; a short table by default
    #[arg(short, long)]
    output: Option<objects::Format>,
    /// Select objects by label
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Select objects by field
    #[arg(long)]
    field_selector: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// No error if it is not there
    #[arg(long)]
    ignore_not_found: bool,
    /// No header line
    #[arg(long)]
    no_headers: bool,
}

#[derive(Args)]
struct Delete {
    /// TYPE NAME or TYPE/NAME; TYPE alone with -l or --all
    #[arg(required = true, num_args = 1..)]
    words: Vec<String>,
    /// Select objects by label
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Select objects by field
    #[arg(long)]
    field_selector: Option<String>,
    /// Every object of the type, in the namespace
    #[arg(long)]
    all: bool,
    /// No error if it is not there
    #[arg(long)]
    ignore_not_found: bool,
    /// Seconds for it to end in, -1 for its own
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Return before it is gone
    #[arg(long = "wait", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    wait: bool,
    /// With --grace-period=0: do not wait for the node to confirm
    #[arg(long)]
    force: bool,
}

/// What went wrong, in kubectl's words.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("error: {0}")]
    Usage(String),
    #[error("Error from server ({}): {}", .0.reason, .0.message)]
    Server(Box<kube::core::Status>),
    #[error("Unable to connect to the server: {0}")]
    Connection(kube::Error),
    #[error("error: {0}")]
    Config(String),
}

impl From<crate::jsonpath::Error> for Error {
    fn from(error: crate::jsonpath::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Server(status),
            other => Self::Connection(other),
        }
    }
}

/// Runs one kubectl command line: 0 if all went well, else 1 with the reason on stderr.
pub(crate) async fn run() -> ExitCode {
    let call = match Kubectl::try_parse() {
        Ok(call) => call,
        Err(refusal) => {
            let _ = refusal.print();
            return if refusal.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match answer(call).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(call: Kubectl) -> Result<(), Error> {
    let config = Config::infer().await.map_err(|error| Error::Config(error.to_string()))?;
    let namespace = call.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config)?;
    match call.verb {
        Verb::Cordon(on) => nodes::set_unschedulable(&client, &on, true).await,
        Verb::Uncordon(on) => nodes::set_unschedulable(&client, &on, false).await,
        Verb::Drain(drain) => nodes::drain(&client, &drain).await,
        Verb::Taint(change) => taints::taint(&client, &change).await,
        Verb::Label(change) => objects::set_metadata(&client, &namespace, &change, objects::Field::Labels).await,
        Verb::Annotate(change) => {
            objects::set_metadata(&client, &namespace, &change, objects::Field::Annotations).await
        }
        Verb::Get(get) => objects::get(&client, &namespace, &get).await,
        Verb::Patch(change) => patch::patch(&client, &namespace, &change).await,
        Verb::Logs(wanted) => logs::logs(&client, &namespace, &wanted).await,
        Verb::Delete(delete) => objects::delete(&client, &namespace, &delete).await,
    }
}

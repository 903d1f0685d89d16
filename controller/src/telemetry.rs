//! The log: lines for people or objects for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::settings::{Log, LogFormat};

/// The log was begun twice in one process, or the level cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("could not begin the log: {0}")]
pub struct Error(String);

/// Begins the log of this process on standard error.
///
/// The client library is left out below `trace`: it prints bodies that it cannot decode, and those hold alert text.
/// Its failures are logged where they are handled.
pub fn begin(log: &Log) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| Error(error.to_string()))?;
    let quiet = "kube_client=off".parse().map_err(|error| Error(format!("{error}")))?;
    let filter =
        if log.level.contains("kube_client") || log.level == "trace" { filter } else { filter.add_directive(quiet) };
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    }
    .map_err(|error| Error(error.to_string()))
}

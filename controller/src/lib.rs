//! The controller: webhooks in, actions out, status told. Everything here touches the cluster, the network or the
//! clock; what to do is decided in `aegis-engine`.

pub mod alert;
pub mod backoff;
pub mod cache;
pub mod client;
pub mod clock;
pub mod context;
pub mod definition;
pub mod events;
pub mod executors;
pub mod guard;
pub mod ingest;
pub mod leader;
pub mod metrics;
pub mod notify;
pub mod patience;
pub mod queue;
pub mod settings;
pub mod takeover;
pub mod tally;
pub mod telemetry;
pub mod term;

mod policy;
mod rule;
mod run;
mod template;

pub use metrics::Metrics;
pub use run::{Controller, Error, run};
pub use settings::Settings;

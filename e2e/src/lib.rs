//! A real single-node cluster, built from source and run without touching the machine, and the scenarios that run on it.
//!
//! In the flow: [`needs`] says what a machine lacks, [`parts`] builds the programs once, [`machine`] is a machine of its
//! own made of namespaces, [`cluster`] starts the cluster in it, [`scenarios`] is what is shown on it and [`bench`] what is
//! measured.
#![cfg(target_os = "linux")]

pub mod aegis;
pub mod alertmanager;
pub mod audit;
pub mod bench;
pub mod cli;
pub mod cluster;
pub mod gate;
pub mod held;
pub mod krew;
pub mod lists;
pub mod machine;
pub mod metrics;
pub mod needs;
pub mod parts;
pub mod person;
pub mod procedure;
pub mod proxy;
pub mod receiver;
mod report;
mod rights;
pub mod run;
pub mod scenarios;
pub mod sender;
pub mod simulated;
pub mod wait;

/// Waits until a person or a supervisor wants this program to end.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
        }
        // Without handlers such a signal ends the program at once.
        _ => std::future::pending().await,
    }
}

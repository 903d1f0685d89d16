//! The contract suite: one test per promise of the API server.
//!
//! Against the sandbox, unless AEGIS_CONTRACT_KUBECONFIG names the kubeconfig of a real cluster that may be played with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use aegis_sandbox::{Options, Sandbox, contract, contract_cases};
use kube::config::{KubeConfigOptions, Kubeconfig};

const PATIENCE: Duration = Duration::from_secs(120);

async fn check(name: &str) {
    let outcome = match std::env::var_os("AEGIS_CONTRACT_KUBECONFIG") {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).unwrap();
            let mut config =
                kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            config.default_retry = false;
            let client = kube::Client::try_from(config).unwrap();
            tokio::time::timeout(PATIENCE, contract::run(name, client)).await
        }
        None => {
            let sandbox = Sandbox::start(Options::default()).await.unwrap();
            let outcome = tokio::time::timeout(PATIENCE, contract::run(name, sandbox.client())).await;
            sandbox.stop().await;
            outcome
        }
    };
    if let Err(error) = outcome.expect("the case did not end") {
        panic!("{error:#}");
    }
}

macro_rules! tests {
    ($($group:ident :: $promise:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                check(concat!(stringify!($group), "::", stringify!($promise))).await;
            }
        )*
    };
}

contract_cases!(tests);

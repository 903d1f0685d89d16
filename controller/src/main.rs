//! The binary of the controller.

use aegis_controller::clock::Clock;
use aegis_controller::{Controller, Metrics, Settings, client, settings, telemetry};
use anyhow::Context as _;

// musl's own allocator takes one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let settings = match Settings::load() {
        Err(settings::Error::Flags(error)) => error.exit(),
        settings => settings?,
    };
    telemetry::begin(&settings.log)?;
    let provider = rustls::crypto::ring::default_provider();
    // An error says that one is installed already.
    let _ = provider.install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let metrics = Metrics::new();
        let client = client::connect(&settings, &metrics).await?;
        let stop = signalled()?;
        let controller = Controller { settings, client, metrics, clock: Clock::default() };
        controller.run(stop).await.context("the controller stopped")
    })
}

/// Resolves at the first SIGTERM or SIGINT, which are listened for from now on.
#[cfg(unix)]
fn signalled() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves at the first Ctrl-C.
#[cfg(not(unix))]
fn signalled() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without the signal there is no graceful stop, and nothing else to do about it.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

//! The binary of the controller.

use aegis_controller::{Settings, settings, telemetry};

fn main() -> anyhow::Result<()> {
    let settings = match Settings::load() {
        Err(settings::Error::Flags(error)) => error.exit(),
        settings => settings?,
    };
    telemetry::begin(&settings.log)?;
    Ok(())
}

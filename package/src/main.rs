//! `aegis-package`: what scripts/package calls once for each program that was built, and once at the end.

use std::path::PathBuf;

use aegis_package::archive::Contents;
use aegis_package::platform::Platform;
use aegis_package::release;
use clap::{Parser, Subcommand};

/// Writes what a release of the plugin consists of
#[derive(Parser)]
#[command(name = "aegis-package", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The folder of the release
    #[arg(long, global = true, value_name = "FOLDER", default_value = "target/package")]
    out: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Write the archive and the bill of materials of one platform; run it in the root of the repository
    Add {
        /// The platform, as Rust calls it
        target: String,
        /// The plugin that was built for it
        program: PathBuf,
        /// A folder with manual pages
        #[arg(long, value_name = "FOLDER")]
        manuals: Option<PathBuf>,
    },
    /// Write checksums and krew's manifest for all archives of this version that are there, and hold them to their limits
    Finish {
        /// The controller, to be held to its limit too
        #[arg(long, value_name = "FILE")]
        controller: Option<PathBuf>,
        /// Where krew's manifest is written
        #[arg(long, value_name = "FILE", default_value = "krew/aegis.yaml")]
        manifest: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Add { target, program, manuals } => {
            let repository = std::env::current_dir()?;
            let platform = Platform::of(&target)?;
            let contents =
                Contents { platform, program: &program, repository: &repository, manuals: manuals.as_deref() };
            release::add(&contents, &cli.out)
        }
        Command::Finish { controller, manifest } => {
            for line in release::finish(&cli.out, controller.as_deref(), &manifest)? {
                println!("{line}");
            }
            println!("in {}, and krew's manifest in {}", cli.out.display(), manifest.display());
            Ok(())
        }
    }
}

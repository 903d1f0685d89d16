//! What a release of the plugin consists of: an archive and a bill of materials for each platform, checksums, and the
//! manifest that krew installs by.
//!
//! In the flow: `scripts/package` builds the programs; [`archive`] and [`bill`] write what belongs to one of them;
//! [`release`] then looks at all that is there, holds it to its limits, and has [`krew`] render the manifest.

pub mod archive;
pub mod bill;
pub mod krew;
pub mod platform;
pub mod release;

/// The version of everything here, without a "v".
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where releases are found, as the root Cargo.toml names it.
pub const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

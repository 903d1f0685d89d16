//! Installing, upgrading and uninstalling: the files of manifest/ as this plugin carries them, what is there already,
//! and what stands in the way.

pub(crate) mod bring;
mod changes;
pub(crate) mod objections;
pub(crate) mod receiver;
pub(crate) mod remove;
pub(crate) mod rollout;
pub(crate) mod scrape;
pub(crate) mod secrets;
pub(crate) mod shipped;
pub(crate) mod survey;

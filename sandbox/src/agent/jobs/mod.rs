//! Running Jobs as the cluster's own controller does.

pub(super) mod driver;
mod plan;
mod pod;

//! Real shells run what was rendered: each sees exactly the value, and no value ever runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod forms;
mod kubelet;
mod mixtures;
mod objects;
mod shells;
mod values;

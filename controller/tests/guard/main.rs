//! What holds actions back, by requests to the API server alone: budgets that no storm exceeds, pauses that take effect
//! at once, cordons that belong to somebody, and failures that end in front of a person.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;
mod cordons;
mod holds;
mod storm;
mod takeovers;
mod world;

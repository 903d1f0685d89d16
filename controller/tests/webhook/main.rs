//! The webhooks against an API server in memory: real HTTP in, real requests out, and the cluster looked at afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected should say so and stop"
)]

mod answers;
mod bodies;
mod bounds;
mod caches;
mod contradictions;
mod repeats;
mod resolved;
mod storms;
mod world;

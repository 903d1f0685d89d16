//! The library of procedures in manifest/sops: each is sound, free of findings, takes any value as the value that it is,
//! and calls what it says it calls.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod library;
mod scripts;
mod stage;
mod values;

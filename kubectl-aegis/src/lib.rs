//! What the plugin shares with other programs of this repository: images written without a container runtime.

pub mod image;

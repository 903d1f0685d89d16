//! What the plugin shares with other programs of this repository: images written without a container runtime, and what
//! people see of objects.

pub mod image;
pub mod view;

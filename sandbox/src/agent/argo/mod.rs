//! Running Workflows as Argo's controller does: read, advance, and carry out what the advance asks for.
//!
//! [`read`] turns the object into a [`manifest::Workflow`] or refuses it by naming the field; [`advance`] decides,
//! without a client or a clock; the driver makes pods and writes status.

pub(super) mod fields;
pub(super) mod manifest;
pub(super) mod read;
mod read_calls;

mod condition;
mod depends;
pub(super) mod names;
pub(super) mod node;
pub(super) mod pod_view;
mod scope;
mod tags;

pub(super) mod advance;
mod dag;
pub(super) mod driver;
mod execute;
pub(super) mod pod;
mod retry;
mod steps;

#[cfg(test)]
mod tests;

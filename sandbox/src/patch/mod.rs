//! How patches change an object, apart from where the object is kept.

pub(crate) mod merge;
pub(crate) mod strategic;

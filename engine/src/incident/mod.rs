//! Step 1 of the loop, between a signal and the object stored for it: which incident does a report belong to?
//!
//! Senders repeat themselves, at least every few hours and after every error, and lose and double what they send.
//! One incident is one stored alert, and with it one action. All of it follows from the signal, the alerts that are
//! stored, and the time.

mod duplicate;
mod identity;
mod judge;
mod resolve;
pub mod status;
mod stored;
#[cfg(test)]
mod testing;

pub use duplicate::{duplicate_of, is_marked_duplicate, stands};
pub use identity::{IncidentId, same_identity};
pub use judge::{Judgement, Windows, judge};
pub use resolve::{Ending, Resolve, resolve};
pub use stored::{LEGACY_ACTION_LASTS, Stored};

//! What people see of an object: fields by name, tables of them, and the filter that picks rows. Pure functions over
//! the object's JSON and the time, so that every list reads, prints and filters alike, in a terminal or a pipe.
//!
//! ```text
//! field     one thing to know of an object: its name, its column, and how it is read
//! kinds     the fields of each kind
//! filter    `sev=critical age<1h !ns=dev text`
//! table     rows of fields as lines
//! ```

pub mod field;
pub mod filter;
pub mod kinds;
pub mod table;

pub use field::{Datum, Field, Place, Tone, What};
pub use filter::{Filter, FilterFlaw};
pub use kinds::Kind;

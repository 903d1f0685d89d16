//! The decisions of Aegis: functions over data, without a client, a clock or a socket.

pub mod duration;
pub mod flaw;
pub mod guard;
pub mod incident;
pub mod intake;
pub mod lint;
pub mod outcome;
pub mod plan;
pub mod render;
pub mod retention;
pub mod rules;
pub mod scope;
pub mod signal;

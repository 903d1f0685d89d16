//! The decisions of Aegis: functions over data, without a client, a clock or a socket.

pub mod duration;
pub mod render;
pub mod rules;
pub mod scope;

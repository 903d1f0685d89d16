//! The Aegis controller. 
fn main() {}

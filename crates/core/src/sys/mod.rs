//! The system calls: one function each, no decisions.

mod signal;
mod unix;

pub use signal::*;
pub use unix::*;

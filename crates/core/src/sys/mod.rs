//! The system calls: one function each, no decisions.

mod unix;

pub use unix::*;

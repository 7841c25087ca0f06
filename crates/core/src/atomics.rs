//! The atomics of the gate. The concurrency tests put those of a model checker in their place.

pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use std::thread::yield_now;

//! The system calls: one function each, no decisions.

mod guard;
#[cfg(unix)]
mod signal;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_std;

pub use guard::{is_guarded, set_guard};
#[cfg(unix)]
pub use signal::*;
#[cfg(unix)]
pub use unix::*;
#[cfg(unix)]
pub use unix_std::*;

//! The system calls: one function each, no decisions.

#[cfg(unix)]
mod futex;
mod guard;
#[cfg(unix)]
mod shared;
#[cfg(unix)]
mod signal;
mod types;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_std;
mod watcher;

#[cfg(windows)]
mod exception;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
mod windows_error;
#[cfg(windows)]
mod windows_lacks;
#[cfg(windows)]
mod windows_room;
#[cfg(windows)]
mod windows_section;
#[cfg(windows)]
mod windows_std;

#[cfg(unix)]
pub use futex::*;
pub use guard::{is_guarded, set_guard};
#[cfg(unix)]
pub use shared::*;
#[cfg(unix)]
pub use signal::*;
pub use types::*;
#[cfg(unix)]
pub use unix::*;
#[cfg(unix)]
pub use unix_std::*;

#[cfg(windows)]
pub use exception::*;
#[cfg(windows)]
pub use windows::*;
#[cfg(windows)]
pub use windows_error::*;
#[cfg(windows)]
pub use windows_lacks::*;
#[cfg(windows)]
pub use windows_room::*;
#[cfg(windows)]
pub use windows_section::*;
#[cfg(windows)]
pub use windows_std::*;

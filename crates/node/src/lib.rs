//! The Node-API binding: converts arguments and results, and nothing else.
//!
//! Numbers arrive as JavaScript numbers and are checked here again, whatever the TypeScript above did. Failures leave
//! as errors whose message `src/errors.ts` takes apart (see `error.rs`).

// The numbers of POSIX, by the names that they have elsewhere.
#[cfg(windows)]
extern crate mmap_native_posix as libc;

mod advice;
mod error;
mod external;
mod faults;
mod mapping;
mod raw;
mod resize;
mod search;
mod sharing;
mod stat;
mod tasks;
mod wait;

use napi_derive::{module_init, napi};

/// The version, which the loader compares with its own.
#[napi]
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

#[module_init]
fn init() {
    mmap_native_core::sys::keep_library_loaded();
}

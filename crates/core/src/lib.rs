//! The memory side of mmap-native, without Node.
//!
//! ```text
//!   raw.rs  region.rs           what the binding calls: POSIX calls, and typed mappings
//!        \   /  \--- advice, evict, lock, prefetch, protect, residency, resize, search, stat, waiters: what a region can do
//!         | |         huge, memfd, shm: how else one is made; share: who holds it
//!      registry.rs ---> table.rs, gate.rs     which addresses are ours, who still looks at them
//!          |                    |
//!          |                 fault.rs         accesses that the kernel refuses: patched, recorded, told
//!          |                    |
//!        sys/unix.rs         sys/signal.rs    one function for each system call; the signal handler
//!        sys/windows.rs      sys/exception.rs    the same for Windows
//! ```
//!
//! Every range of addresses that this crate maps is known to the [`registry`]; nothing outside it is
//! ever unmapped, replaced or handed out. `range.rs` holds the arithmetic on addresses.
#![warn(clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

// The numbers of POSIX, by the names that they have elsewhere.
#[cfg(windows)]
extern crate mmap_native_posix as libc;

pub mod advice;
mod atomics;
pub mod error;
pub mod evict;
pub mod fault;
pub mod flags;
pub mod futex;
pub mod gate;
pub mod huge;
pub mod lock;
pub mod memfd;
pub mod prefetch;
pub mod protect;
pub mod range;
pub mod raw;
pub mod region;
pub mod registry;
pub mod residency;
pub mod resize;
mod room;
pub mod search;
pub mod share;
#[cfg_attr(windows, path = "shm_windows.rs")]
pub mod shm;
mod slice;
pub mod stat;
pub mod sys;
pub mod table;
pub mod waiters;

pub use error::{Error, Result};

//! What can go wrong, in the terms that a caller needs to build a Node error of it.

use std::borrow::Cow;

use crate::fault::Fault;
use crate::sys;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure. Nothing was changed when one is returned, unless the function says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A system call failed, or was refused with the number that the system would use.
    System {
        /// The `errno` value, positive.
        errno: i32,
        /// The name of the call, as in the man pages.
        syscall: &'static str,
        /// Why, where the number alone does not say it. May be empty.
        detail: Cow<'static, str>,
    },
    /// The mapping was unmapped before, or while the call ran.
    Closed,
    /// The kernel could not deliver, or not store, a part of the mapping.
    Fault(Fault),
    /// An argument lies outside what the mapping or the file allows.
    OutOfRange {
        /// The name of the argument.
        name: &'static str,
        /// The largest value that would have been accepted.
        max: u64,
        /// What sets that limit.
        limit: &'static str,
    },
    /// The platform has nothing of the kind.
    Unavailable {
        /// What was asked for.
        feature: &'static str,
        /// Why it cannot be had.
        reason: &'static str,
    },
}

impl Error {
    /// What this platform lacks.
    pub fn unavailable(feature: &'static str, reason: &'static str) -> Self {
        Self::Unavailable { feature, reason }
    }

    /// The failure of `syscall` with `errno`.
    pub fn system(syscall: &'static str, errno: i32) -> Self {
        Self::refused(syscall, errno, "")
    }

    /// A refusal of our own, with the number that the system would use and the reason.
    pub fn refused(syscall: &'static str, errno: i32, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::System { errno, syscall, detail: detail.into() }
    }

    /// The failure of `syscall` with the calling thread's current `errno`.
    pub fn last(syscall: &'static str) -> Self {
        Self::from_io(syscall, &std::io::Error::last_os_error())
    }

    /// The failure of `syscall` that an [`std::io::Error`] stands for.
    pub fn from_io(syscall: &'static str, error: &std::io::Error) -> Self {
        Self::system(syscall, sys::errno_of(error).unwrap_or(libc::EINVAL))
    }

    /// The `errno` value, if this is the failure of a system call.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            Self::Closed | Self::Fault(_) | Self::OutOfRange { .. } | Self::Unavailable { .. } => None,
        }
    }

    /// The same failure under the name of the call that the user made.
    #[must_use]
    pub fn in_call(self, name: &'static str) -> Self {
        match self {
            Self::System { errno, detail, .. } => Self::System { errno, syscall: name, detail },
            other => other,
        }
    }
}

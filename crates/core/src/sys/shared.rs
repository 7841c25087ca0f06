//! Memory that several processes share: objects by name, files without a name, and seals.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::FromRawFd;

use crate::error::{Error, Result};

/// The longest name of a shared memory object, in bytes, without the slash before it.
#[cfg(target_os = "macos")]
pub const LONGEST_SHM_NAME: usize = 30;
/// The longest name of a shared memory object, in bytes, without the slash before it: `NAME_MAX`.
#[cfg(not(target_os = "macos"))]
pub const LONGEST_SHM_NAME: usize = 255;

/// `shm_open(3)`. The descriptor is closed on exec.
///
/// # Errors
/// `EACCES`, `EEXIST`, `ENOENT`, `EMFILE`, `ENAMETOOLONG`, `EINVAL`.
pub fn shm_open(name: &CStr, flags: i32, mode: u32) -> Result<File> {
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    let mode = libc::c_uint::from(mode);
    // The mode is narrower than it was given on some systems: the caller has cut it to permission bits.
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    let mode = libc::mode_t::from(mode);
    // SAFETY: the name ends with a zero; the call reads it and keeps nothing.
    let fd = unsafe { libc::shm_open(name.as_ptr(), flags, mode) };
    if fd < 0 {
        return Err(Error::last("shm_open"));
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// `shm_unlink(3)`.
///
/// # Errors
/// `EACCES`, `ENOENT`, `ENAMETOOLONG`.
pub fn shm_unlink(name: &CStr) -> Result<()> {
    // SAFETY: the name ends with a zero; the call reads it and keeps nothing.
    match unsafe { libc::shm_unlink(name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Error::last("shm_unlink")),
    }
}

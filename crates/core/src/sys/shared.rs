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
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    #[allow(clippy::unnecessary_fallible_conversions)] // the type differs between platforms
    let mode = libc::mode_t::try_from(mode).map_err(|_| Error::system("shm_open", libc::EINVAL))?;
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

/// `memfd_create(2)`: an anonymous file that can be sealed, and not be executed where the kernel can forbid it (Linux 6.3). The
/// descriptor is closed on exec.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`, `EINVAL` for a name that is too long; `ENOSYS` on systems without it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn memfd_create(name: &CStr) -> Result<File> {
    const MFD_NOEXEC_SEAL: libc::c_uint = 8;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let create = |flags: libc::c_uint| {
        // Not the function of the C library, which glibc has since 2.27: it would keep the addon from loading on older ones.
        // SAFETY: the name ends with a zero; the call reads it and keeps a copy.
        let fd = unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) };
        match libc::c_int::try_from(fd) {
            // SAFETY: just opened, and nobody else's.
            Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
            _ => Err(Error::last("memfd_create")),
        }
    };
    match create(flags | MFD_NOEXEC_SEAL) {
        Err(error) if error.errno() == Some(libc::EINVAL) => create(flags),
        result => result,
    }
}

/// There is no such call here.
///
/// # Errors
/// Always `ENOSYS`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn memfd_create(_name: &CStr) -> Result<File> {
    Err(Error::system("memfd_create", libc::ENOSYS))
}

/// `fcntl(F_ADD_SEALS)`.
///
/// # Errors
/// `EBUSY` for sealing against writing while a writable shared mapping exists; `EPERM` for a descriptor that may not write, and
/// for a file that no seal can be added to; `EINVAL` for a file that has no seals.
pub fn add_seals(file: &File, seals: i32) -> Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: a plain call on a descriptor that `file` keeps open.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } {
            0 => Ok(()),
            _ => Err(Error::last("fcntl")),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (file, seals);
        Err(Error::system("fcntl", libc::ENOSYS))
    }
}

/// `fcntl(F_GET_SEALS)`; `None` for a file that has no seals.
pub fn seals(file: &File) -> Option<i32> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: a plain call on a descriptor that `file` keeps open.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        (seals >= 0).then_some(seals)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = file;
        None
    }
}

/// The same file, open for reading and writing, by its place in `/proc/self/fd` (Linux).
///
/// # Errors
/// As `open(2)`.
pub fn open_again(file: &File) -> Result<File> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    File::options().read(true).write(true).open(path).map_err(|error| Error::from_io("open", &error))
}

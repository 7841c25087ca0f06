//! What Rust's standard library has for Unix under names of its own, and Windows in another way.

use std::ffi::{c_void, CStr, OsStr};
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result};
use crate::range::Span;
use crate::table::FileIdentity;

pub use std::os::fd::RawFd;

/// Whether a mapping can only be unmapped as a whole.
pub const WHOLE_MAPPINGS: bool = false;

/// Unmapped addresses become zeros for so many bytes at once.
pub const MOST_ZEROS: usize = usize::MAX;

/// What sets the limit of [`lock_limit`](super::lock_limit).
pub const LOCK_LIMIT: &str = "RLIMIT_MEMLOCK";

/// Mappings start at a multiple of this many bytes of their file.
pub fn offset_unit() -> usize {
    super::page_size()
}

/// The `errno` value that an error of the standard library stands for.
pub fn errno_of(error: &std::io::Error) -> Option<i32> {
    error.raw_os_error()
}

/// How to open a file to map it; `mode` are the permission bits of one that is made.
pub fn open_options(writable: bool, mode: Option<u32>) -> OpenOptions {
    let mut options = OpenOptions::new();
    // O_NONBLOCK: opening a FIFO must not wait for its other end; it means nothing for a file.
    options.read(true).write(writable).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    if let Some(mode) = mode {
        options.mode(mode);
    }
    options
}

/// A file as a fault handler knows it again.
pub fn identify(file: &File, metadata: &Metadata) -> FileIdentity {
    FileIdentity { fd: file.as_raw_fd(), device: metadata.dev(), inode: metadata.ino() }
}

/// Whether it has a size and can be given another: all that is mapped here can.
pub fn is_file(_file: FileIdentity) -> bool {
    true
}

/// Whether it is a disk or the like.
pub fn is_block_device(kind: FileType) -> bool {
    kind.is_block_device()
}

/// Whether the descriptor is one of `shm_open(3)`: on macOS that is no file, and of no type at all.
pub fn is_shared_memory(metadata: &Metadata) -> bool {
    cfg!(target_os = "macos") && metadata.mode() & 0o170_000 == 0
}

/// `pread(2)`.
///
/// # Errors
/// As the call.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    file.read_at(buffer, offset)
}

/// `pwrite(2)`, until all is written.
///
/// # Errors
/// As the call.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// The file that a raw call maps, where its mapping has to keep it open.
///
/// # Errors
/// None here.
pub fn file_to_keep(_fd: RawFd) -> Result<Option<File>> {
    Ok(None)
}

/// The name of a file that was given as bytes.
///
/// # Errors
/// None: every byte but 0 may be in a name.
pub fn path_of_bytes(bytes: &[u8]) -> Result<&Path> {
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

/// A function that the process has under this name.
pub fn find_symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a look-up by name among the symbols that are loaded.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!symbol.is_null()).then_some(symbol)
}

/// Never needed: pages that are this process's own are moved as they are.
///
/// # Safety
/// None is needed.
///
/// # Errors
/// Always `ENOSYS`.
pub unsafe fn carry_own_pages(_from: Span, _to: Span) -> Result<()> {
    Err(Error::system("mremap", libc::ENOSYS))
}

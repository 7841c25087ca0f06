//! What Rust's standard library has for Windows under names of its own, and Unix in another way.

use std::ffi::{c_void, CStr};
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_READONLY, FILE_FLAG_BACKUP_SEMANTICS};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};

use crate::error::{Error, Result};
use crate::table::FileIdentity;

/// A descriptor of the C runtime that Node.js uses.
pub type RawFd = i32;

/// Whether a mapping can only be unmapped as a whole.
pub const WHOLE_MAPPINGS: bool = true;

/// Unmapped addresses become zeros for so many bytes at once: they count as memory in use.
pub const MOST_ZEROS: usize = 16 * 1024 * 1024;

/// How to open a file to map it. Of `mode`, the permission bits of one that is made, Windows has the owner's to write.
pub fn open_options(writable: bool, mode: Option<u32>) -> OpenOptions {
    let mut options = OpenOptions::new();
    // A directory is opened, too, to tell that it is one.
    options.read(true).write(writable).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
    if mode.is_some_and(|mode| mode & 0o200 == 0) {
        options.attributes(FILE_ATTRIBUTE_READONLY);
    }
    options
}

/// A file as a fault handler knows it again.
pub fn identify(file: &File, _metadata: &Metadata) -> FileIdentity {
    super::windows_section::identity_of_file(file)
}

/// Whether it is a disk or the like: Windows has no such files.
pub fn is_block_device(_kind: FileType) -> bool {
    false
}

/// Shared memory is no file here.
pub fn is_shared_memory(_metadata: &Metadata) -> bool {
    false
}

/// `ReadFile` at an offset.
///
/// # Errors
/// As the call.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// `WriteFile` at an offset, until all is written.
///
/// # Errors
/// As the call.
pub fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let count = file.seek_write(bytes, offset)?;
        if count == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(count..).unwrap_or_default();
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// Has the device store what `FlushViewOfFile` has handed over (`FlushFileBuffers`).
///
/// # Errors
/// As the call.
pub fn flush_file(file: &File) -> Result<()> {
    match file.sync_all() {
        // A file opened to be read has nothing of ours to store.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(|error| Error::from_io("msync", &error)),
    }
}

/// The name of a file that was given as bytes, which have to be UTF-8.
///
/// # Errors
/// `ENOENT` for bytes that no name has.
pub fn path_of_bytes(bytes: &[u8]) -> Result<&Path> {
    let name = std::str::from_utf8(bytes)
        .map_err(|_| Error::refused("open", libc::ENOENT, "the bytes of the path are not UTF-8"))?;
    Ok(Path::new(name))
}

/// A function that the program of this process exports under this name, as `node.exe` does those of Node-API and libuv.
pub fn find_symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: asks for the program itself, which stays.
    let program = unsafe { GetModuleHandleW(std::ptr::null()) };
    // SAFETY: a look-up by name.
    let found = unsafe { GetProcAddress(program, name.as_ptr().cast()) }?;
    Some(found as *mut c_void)
}

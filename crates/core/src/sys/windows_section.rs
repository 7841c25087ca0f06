//! Sections: what Windows maps. One is made of a file each time that it is mapped; one with a name is memory that processes share.

use std::fs::File;
use std::os::windows::io::{AsRawHandle, FromRawHandle};

use windows_sys::Win32::Foundation::{
    CloseHandle, GetLastError, SetLastError, ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_INVALID_HANDLE,
    ERROR_PATH_NOT_FOUND, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, MapViewOfFile, OpenFileMappingW, UnmapViewOfFile, FILE_MAP_READ, FILE_MAP_WRITE,
    MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE,
};

use super::types::Access;
use super::windows::{allocation, at, check, map_section, placeholders, process, protection_for, size_of_file};
use crate::error::{Error, Result};
use crate::range::{Layout, Span};
use crate::table::FileIdentity;

/// The longest name of shared memory, in bytes.
pub const LONGEST_SHM_NAME: usize = 255;

/// What is behind a mapping, as the number in a [`FileIdentity`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backing {
    File(HANDLE),
    Section(HANDLE),
}

/// Handles are multiples of 4: this bit says that one is a section's.
const SECTION: i32 = 1;

impl Backing {
    pub(super) fn of(fd: i32) -> Self {
        let handle = |number| usize::try_from(number).map_or(std::ptr::null_mut(), std::ptr::without_provenance_mut);
        match fd & SECTION {
            0 => Self::File(handle(fd)),
            _ => Self::Section(handle(fd ^ SECTION)),
        }
    }
}

/// A file as a fault handler knows it again. Handles have 32 bits that count, and ours are closed by nobody else.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
pub(super) fn identity_of_file(file: &File) -> FileIdentity {
    FileIdentity { fd: file.as_raw_handle().addr() as i32, device: 0, inode: 0 }
}

/// A section as a fault handler knows it again.
pub fn identify_section(section: &File) -> FileIdentity {
    let file = identity_of_file(section);
    FileIdentity { fd: file.fd | SECTION, ..file }
}

/// Whether it is a file, which has a size and can be given another. A section is none.
pub fn is_file(file: FileIdentity) -> bool {
    file.fd & SECTION == 0
}

/// The size of an open file in bytes. A section has its pages as long as somebody has it.
pub fn size_if_same(file: FileIdentity) -> Option<u64> {
    match Backing::of(file.fd) {
        Backing::File(file) => size_of_file(file),
        Backing::Section(_) => Some(u64::MAX),
    }
}

/// A section: a file, or memory, that can be mapped. Views of it live on when it is dropped.
pub(super) struct Section {
    handle: HANDLE,
    /// Bytes of the file when the section was made.
    size: u64,
    /// Somebody else closes it.
    borrowed: bool,
}

impl Section {
    /// `CreateFileMapping`, for all of a file.
    pub(super) fn of_file(file: HANDLE, protection: u32) -> Result<Self> {
        // SAFETY: no name and no attributes; the call checks the handle.
        let section = unsafe { CreateFileMappingW(file, std::ptr::null(), protection, 0, 0, std::ptr::null()) };
        if !section.is_null() {
            return Ok(Self { handle: section, size: size_of_file(file).unwrap_or(0), borrowed: false });
        }
        // SAFETY: the thread's own value.
        match unsafe { GetLastError() } {
            ERROR_ACCESS_DENIED => Err(Error::refused("mmap", libc::EACCES, "the file was not opened for this")),
            _ => Err(Error::last("mmap")),
        }
    }

    /// The section with the name, or one of the file.
    pub(super) fn of(backing: Backing, protection: u32) -> Result<Self> {
        match backing {
            Backing::File(file) => Self::of_file(file, protection),
            Backing::Section(handle) => Ok(Self { handle, size: u64::MAX, borrowed: true }),
        }
    }

    /// Maps a part of the section into a placeholder, which has the size of the part's whole pages. The last page of a file is
    /// seldom whole: what is behind its end is not counted.
    pub(super) unsafe fn map_into(&self, placeholder: Span, offset: u64, length: usize, protection: u32) -> Result<()> {
        let calls = placeholders()?;
        let room = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut failure = Error::system("mmap", libc::EINVAL);
        // That a placeholder takes a length that is no multiple of a page is not documented.
        for length in [length.min(room), placeholder.len()] {
            let null = std::ptr::null_mut();
            // SAFETY: the caller owns the placeholder.
            let view = unsafe {
                (calls.map)(
                    self.handle,
                    process(),
                    at(placeholder.start()),
                    offset,
                    length,
                    MEM_REPLACE_PLACEHOLDER,
                    protection,
                    null,
                    0,
                )
            };
            if view.addr() == placeholder.start() {
                return Ok(());
            }
            failure = Error::last("mmap");
        }
        Err(failure)
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if !self.borrowed {
            // SAFETY: ours, and closed once.
            unsafe { CloseHandle(self.handle) };
        }
    }
}

/// A name as the calls take it.
fn wide(name: &str) -> Vec<u16> {
    name.encode_utf16().chain([0]).collect()
}

/// The thread's last error, of a call with the name of a section.
fn name_error() -> Error {
    let refused = |errno, why: &'static str| Error::refused("shm_open", errno, why);
    // SAFETY: the thread's own value.
    match unsafe { GetLastError() } {
        ERROR_ACCESS_DENIED => refused(libc::EACCES, "this user, or this session, has no right to it"),
        ERROR_INVALID_HANDLE => refused(libc::EEXIST, "something else has this name: an event, say, or a mutex"),
        ERROR_PATH_NOT_FOUND => refused(libc::EINVAL, "there is no such folder for names"),
        _ => Error::last("shm_open"),
    }
}

/// A handle of a call; null if it failed.
fn section(handle: HANDLE) -> Result<File> {
    if handle.is_null() {
        return Err(name_error());
    }
    // SAFETY: a new handle of ours, which the `File` does nothing with but to close it.
    Ok(unsafe { File::from_raw_handle(handle) })
}

/// Makes a section of zeroed memory with a name, or opens the one that has it (`CreateFileMapping`). Returns whether it was made.
///
/// # Errors
/// `EACCES`; `EEXIST` if the name is another object's; `ENOMEM`.
pub fn create_section(name: &str, length: u64) -> Result<(File, bool)> {
    let name = wide(name);
    #[allow(clippy::cast_possible_truncation)]
    let (high, low) = ((length >> 32) as u32, length as u32);
    let null = std::ptr::null();
    // SAFETY: the thread's own value.
    unsafe { SetLastError(0) };
    // SAFETY: the name ends with 0; no attributes, and memory instead of a file.
    let made = unsafe { CreateFileMappingW(INVALID_HANDLE_VALUE, null, PAGE_READWRITE, high, low, name.as_ptr()) };
    // SAFETY: the thread's own value.
    let is_new = unsafe { GetLastError() } != ERROR_ALREADY_EXISTS;
    section(made).map(|section| (section, is_new))
}

fn view_rights(access: Access) -> u32 {
    if access == Access::Write {
        FILE_MAP_READ | FILE_MAP_WRITE
    } else {
        FILE_MAP_READ
    }
}

/// Opens the section of a name (`OpenFileMapping`).
///
/// # Errors
/// `ENOENT`, `EACCES`; `EEXIST` if the name is another object's.
pub fn open_section(name: &str, access: Access) -> Result<File> {
    let name = wide(name);
    // SAFETY: the name ends with 0.
    section(unsafe { OpenFileMappingW(view_rights(access), 0, name.as_ptr()) })
}

/// The size of a section, in whole pages: that of a view of all of it.
///
/// # Errors
/// `ENOMEM` for want of addresses.
pub fn section_size(section: &File) -> Result<u64> {
    // SAFETY: adds a view where there is nothing.
    let view = unsafe { MapViewOfFile(section.as_raw_handle(), FILE_MAP_READ, 0, 0, 0) };
    if view.Value.is_null() {
        return Err(Error::last("mmap"));
    }
    let size = allocation(view.Value.addr()).map_or(0, |(whole, _)| whole.len());
    // SAFETY: just mapped, seen by nobody.
    check("munmap", unsafe { UnmapViewOfFile(view) })?;
    u64::try_from(size).map_err(|_| Error::system("mmap", libc::EOVERFLOW))
}

/// Maps a section from its start at an address of the system's choice. Returns the whole pages; they are the caller's to unmap.
///
/// # Errors
/// `EACCES`, `ENOMEM`.
pub fn map_shared(section: &File, layout: Layout, access: Access) -> Result<Span> {
    let protection = protection_for(access);
    let section = Section::of(Backing::Section(section.as_raw_handle()), protection)?;
    map_section(&section, 0, layout.page_offset, layout.map_length, protection)
}

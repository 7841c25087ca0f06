//! The calls of Windows that do what POSIX's do, under the same names, one function each.
//!
//! # What holds the addresses
//! A file is mapped into a *placeholder* (Windows 10 1803, Windows Server 2019): addresses that are taken before the file is
//! mapped, and that stay taken when it is unmapped, without a moment in between in which another thread could be given
//! them. [`retire`] makes a reservation of what is left, which needs no memory until pages of it are committed.
//!
//! # What differs from POSIX
//! A mapping is unmapped as a whole (`WHOLE_MAPPINGS`), starts at a multiple of 64 KiB of its file, and keeps others from making
//! the file shorter. Where a page has to become other than its file's, it is made copy-on-write; a view that was not mapped
//! with that right is mapped again with it, in the same placeholder.
//!
//! Functions that could pull memory from under somebody are `unsafe`: the [`registry`](crate::registry)
//! calls them, and only for addresses that it owns.

use std::borrow::Cow;
use std::ffi::c_void;
use std::fs::File;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::windows::fs::FileExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{
    DuplicateHandle, GetLastError, DUPLICATE_SAME_ACCESS, ERROR_INVALID_ADDRESS, ERROR_NOT_LOCKED, HANDLE,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{GetFileSizeEx, GetFileType, FILE_TYPE_DISK};
use windows_sys::Win32::System::Diagnostics::Debug::{ReadProcessMemory, WriteProcessMemory};
use windows_sys::Win32::System::LibraryLoader::{
    GetModuleHandleExW, GetModuleHandleW, GetProcAddress, GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
    GET_MODULE_HANDLE_EX_FLAG_PIN,
};
use windows_sys::Win32::System::Memory::{
    FlushViewOfFile, GetProcessWorkingSetSizeEx, PrefetchVirtualMemory, VirtualAlloc, VirtualFree, VirtualLock,
    VirtualProtect, VirtualQuery, VirtualUnlock, MEMORY_BASIC_INFORMATION, MEM_COMMIT, MEM_DECOMMIT, MEM_FREE,
    MEM_MAPPED, MEM_PRESERVE_PLACEHOLDER, MEM_RELEASE, MEM_REPLACE_PLACEHOLDER, MEM_RESERVE, MEM_RESERVE_PLACEHOLDER,
    PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY, PAGE_NOACCESS, PAGE_READONLY,
    PAGE_READWRITE, PAGE_WRITECOPY, WIN32_MEMORY_RANGE_ENTRY,
};
use windows_sys::Win32::System::ProcessStatus::{K32QueryWorkingSetEx, PSAPI_WORKING_SET_EX_INFORMATION};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, GetTickCount64, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::types::{Access, MapOptions};
use super::windows_section::{Backing, Section};
use super::windows_std::RawFd;
use crate::error::{Error, Result};
use crate::range::{round_down, Layout, Span};

/// `BOOL`, as a `Result`.
pub(super) fn check(syscall: &'static str, succeeded: i32) -> Result<()> {
    if succeeded == 0 {
        Err(Error::last(syscall))
    } else {
        Ok(())
    }
}

pub(super) fn at(address: usize) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address)
}

pub(super) fn process() -> HANDLE {
    // SAFETY: a constant.
    unsafe { GetCurrentProcess() }
}

fn info() -> &'static (usize, usize) {
    static INFO: OnceLock<(usize, usize)> = OnceLock::new();
    INFO.get_or_init(|| {
        let mut info = MaybeUninit::<SYSTEM_INFO>::zeroed();
        // SAFETY: the call fills the structure.
        unsafe { GetSystemInfo(info.as_mut_ptr()) };
        // SAFETY: filled, and all zeroes is a valid value.
        let info = unsafe { info.assume_init() };
        let size = |value, least| usize::try_from(value).unwrap_or(least).max(least);
        (size(info.dwPageSize, 4096), size(info.dwAllocationGranularity, 65_536))
    })
}

/// Bytes in a page.
pub fn page_size() -> usize {
    info().0
}

/// Mappings start at a multiple of this many bytes of their file: the allocation granularity.
pub fn offset_unit() -> usize {
    info().1
}

type VirtualAlloc2 = unsafe extern "system" fn(HANDLE, *const c_void, usize, u32, u32, *mut c_void, u32) -> *mut c_void;
type MapViewOfFile3 =
    unsafe extern "system" fn(HANDLE, HANDLE, *const c_void, u64, usize, u32, u32, *mut c_void, u32) -> *mut c_void;
type UnmapViewOfFile2 = unsafe extern "system" fn(HANDLE, *const c_void, u32) -> i32;

/// The calls that work on placeholders. Older systems lack them, so they are looked up and never linked.
#[derive(Clone, Copy)]
pub(super) struct Placeholders {
    alloc: VirtualAlloc2,
    pub(super) map: MapViewOfFile3,
    unmap: UnmapViewOfFile2,
}

static PLACEHOLDERS: OnceLock<Option<Placeholders>> = OnceLock::new();

fn find_placeholders() -> Option<Placeholders> {
    let name: Vec<u16> = "kernelbase.dll\0".encode_utf16().collect();
    // SAFETY: a name that ends with 0, of a library that every process has.
    let library = unsafe { GetModuleHandleW(name.as_ptr()) };
    let find = |name: &std::ffi::CStr| {
        // SAFETY: a look-up by name.
        unsafe { GetProcAddress(library, name.as_ptr().cast()) }
    };
    let alloc = find(c"VirtualAlloc2")?;
    let map = find(c"MapViewOfFile3")?;
    let unmap = find(c"UnmapViewOfFile2")?;
    Some(Placeholders {
        // SAFETY: the function of this name has this signature (memoryapi.h).
        alloc: unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, VirtualAlloc2>(alloc) },
        // SAFETY: as above.
        map: unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, MapViewOfFile3>(map) },
        // SAFETY: as above.
        unmap: unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, UnmapViewOfFile2>(unmap) },
    })
}

/// Fails on systems without placeholders. Nothing is mapped before this was asked, so a handler need not look them up.
///
/// # Errors
/// [`Error::Unavailable`].
pub(super) fn require_placeholders() -> Result<()> {
    placeholders().map(|_| ())
}

pub(super) fn placeholders() -> Result<Placeholders> {
    let missing = Error::unavailable("Mapping", "it needs Windows 10 1803, Windows Server 2019 or newer");
    PLACEHOLDERS.get_or_init(find_placeholders).ok_or(missing)
}

/// What the system says of the pages around an address.
#[derive(Clone, Copy)]
pub(super) struct Pages {
    /// Pages with the same properties.
    span: Span,
    /// Where the call that took these addresses put them.
    base: usize,
    pub(super) state: u32,
    pub(super) kind: u32,
    /// 0 where nothing is committed.
    protection: u32,
    /// The protection of the call that took the addresses.
    first_protection: u32,
}

fn query(address: usize) -> Option<Pages> {
    let mut found = MaybeUninit::<MEMORY_BASIC_INFORMATION>::zeroed();
    // SAFETY: the call fills the structure, or returns 0 for an address that no process can have.
    let size = unsafe { VirtualQuery(at(address), found.as_mut_ptr(), size_of::<MEMORY_BASIC_INFORMATION>()) };
    if size == 0 {
        return None;
    }
    // SAFETY: filled, and all zeroes is a valid value.
    let found = unsafe { found.assume_init() };
    Some(Pages {
        span: Span::new(found.BaseAddress.addr(), found.RegionSize)?,
        base: found.AllocationBase.addr(),
        state: found.State,
        kind: found.Type,
        protection: found.Protect & 0xff,
        first_protection: found.AllocationProtect & 0xff,
    })
}

impl Pages {
    /// Whether writes to a view stay in this process.
    fn is_copied(&self) -> bool {
        matches!(self.first_protection, PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)
    }
}

/// The pieces of `span` that have the same properties each; it ends where there is nothing any more.
pub(super) fn pieces(span: Span) -> impl Iterator<Item = (Span, Pages)> {
    let mut reached = span.start();
    std::iter::from_fn(move || {
        let rest = span.from(reached)?;
        let pages = query(rest.start())?;
        let piece = pages.span.intersect(rest)?;
        reached = piece.end();
        Some((piece, pages))
    })
}

/// All that one call has mapped or reserved around an address.
pub(super) fn allocation(address: usize) -> Option<(Span, Pages)> {
    let first = query(address).filter(|pages| pages.state != MEM_FREE)?;
    let mut whole = Span::between(first.base, first.span.end())?;
    while let Some(next) = query(whole.end()).filter(|next| next.state != MEM_FREE && next.base == first.base) {
        whole = whole.union(next.span);
    }
    Some((whole, first))
}

/// The allocations that make up `span`. Fails where it has a part of one.
pub(super) fn allocations(span: Span) -> Result<Vec<(Span, Pages)>> {
    let mut whole = Vec::new();
    let mut rest = Some(span);
    while let Some(left) = rest {
        let found = allocation(left.start()).filter(|(one, _)| one.start() == left.start() && left.contains(*one));
        let one = found.ok_or(Error::refused("munmap", libc::EINVAL, "only a whole mapping can be unmapped here"))?;
        whole.push(one);
        rest = span.from(one.0.end());
    }
    Ok(whole)
}

/// The protection of pages, for `PROT_*`; `copied` for those of a file whose writes stay in this process.
pub(super) fn protection(prot: i32, copied: bool) -> u32 {
    let writable = prot & libc::PROT_WRITE != 0;
    match (prot & libc::PROT_EXEC != 0, writable) {
        _ if prot & (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) == 0 => PAGE_NOACCESS,
        (false, false) => PAGE_READONLY,
        (false, true) if copied => PAGE_WRITECOPY,
        (false, true) => PAGE_READWRITE,
        (true, false) if prot & libc::PROT_READ == 0 => PAGE_EXECUTE,
        (true, false) => PAGE_EXECUTE_READ,
        (true, true) if copied => PAGE_EXECUTE_WRITECOPY,
        (true, true) => PAGE_EXECUTE_READWRITE,
    }
}

/// `VirtualProtect`, on pages of one allocation.
unsafe fn protect(span: Span, protection: u32) -> bool {
    let mut before = 0;
    // SAFETY: the caller owns the pages.
    unsafe { VirtualProtect(at(span.start()), span.len(), protection, &raw mut before) != 0 }
}

/// Takes addresses, at `hint` if that is not 0.
fn placeholder(hint: usize, length: usize) -> Result<Span> {
    let calls = placeholders()?;
    let kind = MEM_RESERVE | MEM_RESERVE_PLACEHOLDER;
    let null = std::ptr::null_mut();
    // SAFETY: adds a reservation where there is nothing.
    let start = unsafe { (calls.alloc)(process(), at(hint), length, kind, PAGE_NOACCESS, null, 0) };
    if start.is_null() {
        return Err(Error::last("mmap"));
    }
    Span::new(start.expose_provenance(), length).ok_or(Error::system("mmap", libc::EOVERFLOW))
}

/// Gives a placeholder, or a reservation, back.
fn release(span: Span) -> Result<()> {
    // SAFETY: the caller made it, or owns it, and nothing is in it.
    check("munmap", unsafe { VirtualFree(at(span.start()), 0, MEM_RELEASE) })
}

/// Maps a part of a file, which ends within `span`'s last page.
pub(super) fn map_section(section: &Section, hint: usize, offset: u64, length: usize, protection: u32) -> Result<Span> {
    let pages = Span::pages(0, length).ok_or(Error::system("mmap", libc::EINVAL))?.len();
    let span = placeholder(hint, pages).or_else(|error| match hint {
        0 => Err(error),
        _ => placeholder(0, pages),
    })?;
    // SAFETY: just taken.
    let mapped = unsafe { section.map_into(span, offset, length, protection) };
    mapped.map(|()| span).inspect_err(|_| {
        let _ = release(span);
    })
}

/// `mmap(2)`, without `MAP_FIXED`. Returns the address.
///
/// # Safety
/// None is needed: nothing is replaced.
///
/// # Errors
/// `EACCES`, `EBADF`, `EINVAL`, `ENODEV`, `ENOMEM`; [`Error::Unavailable`] for flags that Windows has nothing for.
pub unsafe fn mmap(addr: usize, length: usize, prot: i32, flags: i32, fd: RawFd, offset: i64) -> Result<usize> {
    if flags & !(libc::MAP_SHARED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) != 0 {
        let reason = "Windows has MAP_SHARED, MAP_PRIVATE and MAP_ANONYMOUS, and no other flags";
        return Err(Error::unavailable("these flags of mmap", reason));
    }
    let copied = match flags & (libc::MAP_SHARED | libc::MAP_PRIVATE) {
        libc::MAP_SHARED => false,
        libc::MAP_PRIVATE => true,
        _ => return Err(Error::refused("mmap", libc::EINVAL, "neither MAP_SHARED nor MAP_PRIVATE")),
    };
    let hint = round_down(addr, offset_unit());
    if flags & libc::MAP_ANONYMOUS != 0 {
        // A process here has no children that could share its memory: shared and private are the same.
        return allocate_pages(hint, length, protection(prot, false)).map(Span::start);
    }
    let offset = u64::try_from(offset).map_err(|_| Error::system("mmap", libc::EINVAL))?;
    let unit = u64::try_from(offset_unit()).unwrap_or(u64::MAX);
    if offset.checked_rem(unit) != Some(0) {
        let why = "the offset is not a multiple of 65536, as Windows wants it";
        return Err(Error::refused("mmap", libc::EINVAL, why));
    }
    let file = handle_of_descriptor(fd).map_err(|error| error.in_call("mmap"))?;
    // SAFETY: asks only.
    if unsafe { GetFileType(file) } != FILE_TYPE_DISK {
        return Err(Error::refused("mmap", libc::ENODEV, "not a file"));
    }
    let exec = prot & libc::PROT_EXEC;
    let most = libc::PROT_READ | libc::PROT_WRITE | exec;
    // As much as the file allows, so that `mprotect` can allow more later than now, as POSIX has it.
    let with_all = Section::of_file(file, protection(most, copied)).map(|section| (section, most));
    let (section, most) = match with_all {
        Err(_) if prot & libc::PROT_WRITE == 0 => {
            let least = libc::PROT_READ | exec;
            (Section::of_file(file, protection(least, false))?, least)
        }
        other => other?,
    };
    let size = size_of_file(file).unwrap_or(0);
    let wanted = u64::try_from(length).unwrap_or(u64::MAX);
    let room = size.saturating_sub(offset);
    let page = u64::try_from(page_size()).unwrap_or(u64::MAX);
    if wanted > room.checked_next_multiple_of(page).unwrap_or(room) {
        return Err(Error::refused("mmap", libc::EINVAL, "Windows maps nothing behind the end of a file"));
    }
    let length = usize::try_from(wanted.min(room)).map_err(|_| Error::system("mmap", libc::ENOMEM))?;
    let view = map_section(&section, hint, offset, length, protection(most, copied))?;
    // SAFETY: just mapped, seen by nobody.
    if prot != most && !unsafe { protect(view, protection(prot, copied)) } {
        let error = Error::last("mmap");
        // SAFETY: as above.
        let _ = unsafe { munmap(view) };
        return Err(error);
    }
    Ok(view.start())
}

/// Memory of this process.
fn allocate_pages(hint: usize, length: usize, protection: u32) -> Result<Span> {
    let pages = Span::pages(0, length).ok_or(Error::system("mmap", libc::ENOMEM))?.len();
    let take = |hint| {
        // SAFETY: adds memory where there is nothing.
        let start = unsafe { VirtualAlloc(at(hint), pages, MEM_RESERVE | MEM_COMMIT, protection) };
        if start.is_null() {
            Err(Error::last("mmap"))
        } else {
            Span::new(start.expose_provenance(), pages).ok_or(Error::system("mmap", libc::EOVERFLOW))
        }
    };
    match take(hint) {
        Err(_) if hint != 0 => take(0),
        result => result,
    }
}

/// The handle behind a descriptor of the C runtime that Node.js uses: its libuv is the one to ask. The handle is not ours.
fn handle_of_descriptor(fd: RawFd) -> Result<HANDLE> {
    type GetHandle = unsafe extern "C" fn(i32) -> HANDLE;
    static FOUND: OnceLock<Option<GetHandle>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let symbol = super::find_symbol(c"uv_get_osfhandle")?;
        // SAFETY: the function of this name has this signature (uv.h).
        Some(unsafe { std::mem::transmute::<*mut c_void, GetHandle>(symbol) })
    });
    let missing = Error::unavailable("a file descriptor", "this runtime does not export uv_get_osfhandle");
    let call = found.ok_or(missing)?;
    if fd < 0 {
        return Err(Error::system("open", libc::EBADF));
    }
    // SAFETY: libuv has told the C runtime not to end the process for a descriptor that is not open.
    let handle = unsafe { call(fd) };
    // -2 is a descriptor without a file, as a program without a console has them.
    if handle == INVALID_HANDLE_VALUE || handle.addr() == usize::MAX.wrapping_sub(1) || handle.is_null() {
        return Err(Error::system("open", libc::EBADF));
    }
    Ok(handle)
}

/// A new handle for the file open as a descriptor of Node.js.
///
/// # Errors
/// `EBADF`; [`Error::Unavailable`] in runtimes that have no such descriptors.
pub fn duplicate(fd: RawFd) -> Result<File> {
    let handle = handle_of_descriptor(fd)?;
    let mut copy = std::ptr::null_mut();
    // SAFETY: the call checks the handle, and fills `copy`.
    let done = unsafe { DuplicateHandle(process(), handle, process(), &raw mut copy, 0, 0, DUPLICATE_SAME_ACCESS) };
    check("open", done)?;
    // SAFETY: a new handle of ours.
    let file = unsafe { File::from_raw_handle(copy) };
    // SAFETY: asks only.
    if unsafe { GetFileType(copy) } == FILE_TYPE_DISK {
        Ok(file)
    } else {
        Err(Error::refused("mmap", libc::ENODEV, "not a regular file"))
    }
}

/// The file that a raw call maps: faults and `msync` need it.
///
/// # Errors
/// As [`duplicate`].
pub fn file_to_keep(fd: RawFd) -> Result<Option<File>> {
    duplicate(fd).map(Some)
}

/// Unmaps what is mapped in the range.
///
/// # Safety
/// The caller owns every page in the range, and nothing reads or writes them any more.
///
/// # Errors
/// `EINVAL` for a part of a mapping; nothing was unmapped then.
pub unsafe fn munmap(span: Span) -> Result<()> {
    let calls = placeholders()?;
    for (one, pages) in allocations(span)? {
        if pages.kind == MEM_MAPPED {
            // SAFETY: the caller's contract.
            check("munmap", unsafe { (calls.unmap)(process(), at(one.start()), 0) })?;
        } else {
            release(one)?;
        }
    }
    Ok(())
}

/// Lets go of what is mapped in the range and keeps its addresses, without access or memory.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// As [`munmap`].
pub unsafe fn retire(span: Span) -> Result<()> {
    if pieces(span).all(|(_, pages)| pages.kind != MEM_MAPPED) {
        // A part of it will do.
        for (part, _) in pieces(span).filter(|(_, pages)| pages.state == MEM_COMMIT) {
            // SAFETY: the caller's contract.
            check("munmap", unsafe { VirtualFree(at(part.start()), part.len(), MEM_DECOMMIT) })?;
        }
        return Ok(());
    }
    for (one, pages) in allocations(span)? {
        if pages.kind == MEM_MAPPED {
            // SAFETY: the caller's contract.
            unsafe { unmap_but_keep(one) }?;
            // Where this fails the placeholder stays, and holds the addresses as well.
            let _ = reserve_placeholder(one);
        } else if pieces(one).any(|(_, piece)| piece.state == MEM_COMMIT) {
            // SAFETY: the caller's contract.
            check("munmap", unsafe { VirtualFree(at(one.start()), one.len(), MEM_DECOMMIT) })?;
        }
    }
    Ok(())
}

/// Unmaps a view; its addresses are a placeholder then, in one step.
pub(super) unsafe fn unmap_but_keep(view: Span) -> Result<()> {
    let calls = placeholders()?;
    // SAFETY: the caller's contract.
    check("munmap", unsafe { (calls.unmap)(process(), at(view.start()), MEM_PRESERVE_PLACEHOLDER) })
}

/// Makes a placeholder a reservation, in which pages can be committed.
fn reserve_placeholder(span: Span) -> Result<()> {
    let calls = placeholders()?;
    let kind = MEM_RESERVE | MEM_REPLACE_PLACEHOLDER;
    let null = std::ptr::null_mut();
    // SAFETY: replaces a placeholder of ours, and nothing else.
    let start = unsafe { (calls.alloc)(process(), at(span.start()), span.len(), kind, PAGE_NOACCESS, null, 0) };
    if start.is_null() {
        Err(Error::last("munmap"))
    } else {
        Ok(())
    }
}

/// Takes addresses for a mapping to grow into: a placeholder. The system charges nothing for them.
///
/// # Errors
/// `ENOMEM`.
pub fn reserve_anywhere(length: usize) -> Result<Span> {
    placeholder(0, length)
}

/// Copies private memory to addresses that are reserved. What is copied stays until it is retired.
///
/// # Safety
/// The caller owns every page of both ranges, and nobody writes to the first meanwhile.
///
/// # Errors
/// `ENOMEM`.
pub unsafe fn move_away(from: Span, to: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    unsafe { map_zeros(to) }?;
    let source = std::ptr::with_exposed_provenance::<u8>(from.start());
    let target = std::ptr::with_exposed_provenance_mut::<u8>(to.start());
    // SAFETY: the caller's contract; the target can be written.
    unsafe { std::ptr::copy_nonoverlapping(source, target, from.len().min(to.len())) };
    Ok(())
}

/// Copies what was written to the copy-on-write view at `from` to the one at `to`, which has the same part of the file.
///
/// # Safety
/// The caller owns every page of both ranges; a write to the first faults, and comes back when it is mapped no more.
///
/// # Errors
/// `ENOMEM` if there is no memory to copy it; all is as before then.
pub unsafe fn carry_own_pages(from: Span, to: Span) -> Result<()> {
    let before: Vec<(Span, Pages)> = pieces(from).collect();
    // SAFETY: the caller's contract.
    let own = unsafe { own_pages(&before) }.inspect_err(|_| {
        // SAFETY: as above.
        unsafe { protect_as(&before, from) };
    })?;
    let moved =
        |(address, bytes): (usize, Vec<u8>)| (address.saturating_sub(from.start()).saturating_add(to.start()), bytes);
    put_back(&own.into_iter().map(moved).collect());
    Ok(())
}

/// Makes the pages of the range, which were retired or have no file, zeros of this process.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// `ENOMEM`; `ENOTSUP` for pages of a file.
pub unsafe fn map_zeros(span: Span) -> Result<()> {
    for (part, pages) in pieces(span) {
        if pages.state == MEM_FREE || pages.kind == MEM_MAPPED {
            return Err(Error::system("mmap", libc::ENOTSUP));
        }
        if pages.state == MEM_COMMIT {
            // SAFETY: the caller's contract.
            check("mmap", unsafe { VirtualFree(at(part.start()), part.len(), MEM_DECOMMIT) })?;
        }
        let commit = || {
            // SAFETY: the caller's contract.
            let start = unsafe { VirtualAlloc(at(part.start()), part.len(), MEM_COMMIT, PAGE_READWRITE) };
            if start.is_null() {
                Err(Error::last("mmap"))
            } else {
                Ok(())
            }
        };
        commit().or_else(|_| {
            // A placeholder: of a mapping that can grow, or one that `retire` could not make a reservation.
            let (whole, _) = allocation(part.start()).ok_or(Error::system("mmap", libc::ENOMEM))?;
            reserve_placeholder(whole)?;
            commit()
        })?;
    }
    Ok(())
}

/// Makes pages of a file ones whose changes stay in this process.
///
/// # Safety
/// The caller owns the whole mapping, and nobody else replaces pages of it meanwhile.
///
/// # Errors
/// `ENOMEM`; as [`map_file`].
pub unsafe fn map_private(span: Span, fd: RawFd, offset: i64) -> Result<()> {
    let pages = query(span.start()).ok_or(UNMAPPED)?;
    let protection = if pages.kind == MEM_MAPPED { PAGE_WRITECOPY } else { PAGE_READWRITE };
    if pages.kind == MEM_MAPPED && !pages.is_copied() {
        // A view that was not mapped with the right to it must not be asked: where it is granted all the same, the file sees
        // what is written.
        let offset = u64::try_from(offset).map_err(|_| UNMAPPED)?;
        // SAFETY: the caller's contract.
        unsafe { cut_out(span, Backing::of(fd), offset, Middle::Copied) }?;
    }
    // SAFETY: the caller's contract.
    check("mmap", i32::from(unsafe { protect(span, protection) }))
}

pub(super) const UNMAPPED: Error = Error::System { errno: libc::EINVAL, syscall: "mmap", detail: Cow::Borrowed("") };

/// What the pages in the middle of a view become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Middle {
    /// The file's, until they are written.
    Copied,
    /// Memory, with what can be read of the file.
    Memory,
}

/// Makes the pages of `span`, and those that share an allocation unit with them, a copy-on-write view of their own, or memory, and
/// what is before and behind them views as before. Returns them. Accesses of other threads fault meanwhile, and come back.
unsafe fn cut_out(span: Span, backing: Backing, offset: u64, becomes: Middle) -> Result<Span> {
    let (view, pages) = allocation(span.start()).ok_or(UNMAPPED)?;
    let skipped = u64::try_from(span.start().saturating_sub(view.start())).unwrap_or(u64::MAX);
    let offset = offset.checked_sub(skipped).ok_or(UNMAPPED)?;
    let middle = span.widened(offset_unit()).and_then(|units| units.intersect(view)).ok_or(UNMAPPED)?;
    let rest = [view.before(middle.start()), view.from(middle.end())];
    let as_before = Section::of(backing, pages.first_protection)?;
    let copied = match becomes {
        Middle::Copied => Some(Section::of(backing, PAGE_WRITECOPY)?),
        Middle::Memory => None,
    };
    let before: Vec<(Span, Pages)> = pieces(view).collect();
    // SAFETY: the caller's contract.
    let own = if pages.is_copied() { unsafe { own_pages(&before) } } else { Ok(Vec::new()) };
    let own = own.inspect_err(|_| {
        // SAFETY: as above: nothing was replaced.
        unsafe { protect_as(&before, view) };
    })?;
    // SAFETY: the caller's contract.
    unsafe { unmap_but_keep(view) }?;
    for part in rest.into_iter().flatten() {
        // SAFETY: splits the placeholder that the view has left. The part in the middle is what remains.
        let split = unsafe { VirtualFree(at(part.start()), part.len(), MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) };
        if split == 0 {
            let error = Error::last("mmap");
            // SAFETY: the placeholders that are there.
            unsafe { fill(view, &as_before, offset, view, pages.first_protection) }?;
            put_back(&own);
            // SAFETY: the caller's contract.
            unsafe { protect_as(&before, view) };
            return Err(error);
        }
    }
    let result = match &copied {
        // SAFETY: the placeholder in the middle.
        Some(copied) => unsafe { fill(view, copied, offset, middle, PAGE_WRITECOPY) },
        // SAFETY: as above.
        None => unsafe { read_into(view, backing, offset, middle) },
    };
    let result = result.inspect_err(|_| {
        // For want of memory, say. What can be had is better than nothing.
        // SAFETY: as above.
        let _ = unsafe { fill(view, &as_before, offset, middle, pages.first_protection) };
    });
    for part in rest.into_iter().flatten() {
        // SAFETY: the placeholders before and behind it.
        unsafe { fill(view, &as_before, offset, part, pages.first_protection) }?;
    }
    put_back(&own);
    for part in rest.into_iter().flatten() {
        // SAFETY: the caller's contract.
        unsafe { protect_as(&before, part) };
    }
    for (part, was) in &before {
        let Some(part) = part.intersect(middle) else { continue };
        let writable = !matches!(was.protection, PAGE_NOACCESS | PAGE_READONLY | PAGE_EXECUTE_READ | PAGE_EXECUTE);
        let now = match becomes {
            _ if was.protection == PAGE_NOACCESS => PAGE_NOACCESS,
            Middle::Memory if writable => PAGE_READWRITE,
            _ => PAGE_READONLY,
        };
        // SAFETY: the caller's contract.
        unsafe { protect(part, now) };
    }
    result.map(|()| middle)
}

/// Gives the pages of `part`, which were just mapped again, the protection that they had `before`.
pub(super) unsafe fn protect_as(before: &[(Span, Pages)], part: Span) {
    for (piece, was) in before {
        let protection = match was.protection {
            // What was written had become so.
            PAGE_READWRITE if was.is_copied() => PAGE_WRITECOPY,
            PAGE_EXECUTE_READWRITE if was.is_copied() => PAGE_EXECUTE_WRITECOPY,
            other => other,
        };
        if let Some(piece) = piece.intersect(part) {
            // SAFETY: the caller's contract.
            unsafe { protect(piece, protection) };
        }
    }
}

/// Pages of a view that are this process's own, since they were written: with where they are.
pub(super) type OwnPages = Vec<(usize, Vec<u8>)>;

/// Copies what was written to a copy-on-write view, whose pages are not to be written from now on: a write faults, and comes back.
///
/// The system tells of a page that it was written by its protection. Of one that may not be written any more it does not
/// tell: that is taken for written, if it can be read.
pub(super) unsafe fn own_pages(view: &[(Span, Pages)]) -> Result<OwnPages> {
    let mut own = Vec::new();
    for page in
        view.iter().filter(|(_, was)| was.protection != PAGE_NOACCESS).flat_map(|(part, _)| part.pieces(page_size()))
    {
        let mut was = 0;
        // One at a time: the answer is that of the first page.
        // SAFETY: the caller's contract.
        let done = unsafe { VirtualProtect(at(page.start()), page.len(), PAGE_READONLY, &raw mut was) };
        if done == 0 || matches!(was & 0xff, PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY) {
            continue;
        }
        // It may be much, and this a handler: where there is no memory for it, nothing ends.
        let no_memory = |_| Error::refused("mmap", libc::ENOMEM, "no memory for a copy of what was written");
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(page.len()).map_err(no_memory)?;
        bytes.resize(page.len(), 0);
        own.try_reserve(1).map_err(no_memory)?;
        let mut count = 0;
        // A copy by the system: what cannot be read is an error and no fault.
        // SAFETY: as many bytes as there are in the buffer.
        let read = unsafe {
            ReadProcessMemory(process(), at(page.start()), bytes.as_mut_ptr().cast(), bytes.len(), &raw mut count)
        };
        if read != 0 && count == bytes.len() {
            own.push((page.start(), bytes));
        }
    }
    Ok(own)
}

/// Writes pages where they were. Those that cannot be written are as the file has them.
pub(super) fn put_back(own: &OwnPages) {
    for (address, bytes) in own {
        let mut count = 0;
        // A copy by the system: what the device cannot deliver, to be copied on write, is an error and no fault.
        // SAFETY: as many bytes as there are in the buffer, to pages of the caller's that were mapped again.
        unsafe { WriteProcessMemory(process(), at(*address), bytes.as_ptr().cast(), bytes.len(), &raw mut count) };
    }
}

/// Makes the placeholder `part` memory, with what can be read of the file; what cannot be are zeros.
unsafe fn read_into(view: Span, backing: Backing, offset: u64, part: Span) -> Result<()> {
    reserve_placeholder(part)?;
    // SAFETY: reserved just now.
    let start = unsafe { VirtualAlloc(at(part.start()), part.len(), MEM_COMMIT, PAGE_READWRITE) };
    if start.is_null() {
        let error = Error::last("mmap");
        // SAFETY: as above: a placeholder again.
        unsafe { VirtualFree(at(part.start()), part.len(), MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) };
        return Err(error);
    }
    // A section cannot be read but by mapping it.
    let Backing::File(file) = backing else { return Ok(()) };
    // SAFETY: the caller's, who closes it: it is not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_handle(file) });
    for page in part.pieces(page_size()) {
        let skipped = u64::try_from(page.start().saturating_sub(view.start())).unwrap_or(u64::MAX);
        // Not into the memory itself, which other threads may look at.
        let mut bytes = vec![0_u8; page.len()];
        let Ok(count) = file.seek_read(&mut bytes, offset.saturating_add(skipped)) else { continue };
        let bytes = bytes.get(..count).unwrap_or_default();
        let target = std::ptr::with_exposed_provenance_mut::<u8>(page.start());
        // SAFETY: within the page, which was committed and can be written.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }
    Ok(())
}

/// Makes a page that the device cannot deliver memory of this process, and with it those of its allocation unit. Of these, what can
/// be read is kept. Returns which pages these are. `offset` is that of the page in the file.
///
/// # Safety
/// The caller owns the whole mapping, and nobody else replaces pages of it meanwhile.
///
/// # Errors
/// `ENOMEM`; as [`map_file`].
pub unsafe fn replace_broken(page: Span, fd: RawFd, offset: u64) -> Result<Span> {
    match query(page.start()) {
        // SAFETY: the caller's contract.
        Some(pages) if pages.kind == MEM_MAPPED => unsafe { cut_out(page, Backing::of(fd), offset, Middle::Memory) },
        // Another thread was here before.
        Some(pages) if pages.state == MEM_COMMIT => Ok(page),
        _ => Err(UNMAPPED),
    }
}

/// Maps a file into the placeholder `part`, of addresses at whose start, that of `view`, the file's `offset` is.
unsafe fn fill(view: Span, section: &Section, offset: u64, part: Span, protection: u32) -> Result<()> {
    let skipped = u64::try_from(part.start().saturating_sub(view.start())).unwrap_or(u64::MAX);
    // SAFETY: the caller's contract.
    unsafe { section.map_into(part, offset.saturating_add(skipped), part.len(), protection) }
}

/// Makes pages of a file the file's again; without a file, reserved addresses memory.
///
/// # Safety
/// The caller owns the whole mapping, and nobody else replaces pages of it meanwhile.
///
/// # Errors
/// As [`map_file`]; `ENOTSUP` for a mapping whose writes stay in this process, which would be lost.
pub unsafe fn map_again(span: Span, prot: i32, flags: i32, fd: RawFd, offset: u64) -> Result<()> {
    if flags & libc::MAP_ANONYMOUS != 0 {
        // SAFETY: the caller's contract.
        return unsafe { map_zeros(span) };
    }
    if flags & libc::MAP_SHARED == 0 {
        return Err(Error::system("mmap", libc::ENOTSUP));
    }
    let protection = if prot & libc::PROT_WRITE == 0 { PAGE_READONLY } else { PAGE_READWRITE };
    let section = Section::of(Backing::of(fd), protection)?;
    let mut rest = Some(span);
    while let Some(left) = rest {
        let (view, pages) = allocation(left.start()).ok_or(UNMAPPED)?;
        rest = span.from(view.end());
        let is_memory = pages.kind != MEM_MAPPED;
        if !is_memory && !pages.is_copied() {
            continue;
        }
        let skipped = |from: usize, to: usize| u64::try_from(to.saturating_sub(from)).unwrap_or(u64::MAX);
        let offset = offset.saturating_add(skipped(span.start(), view.start()));
        let offset = offset.checked_sub(skipped(view.start(), span.start())).ok_or(UNMAPPED)?;
        if is_memory {
            // What was a placeholder becomes one again.
            let keep = MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER;
            // SAFETY: the caller's contract.
            check("mmap", unsafe { VirtualFree(at(view.start()), view.len(), keep) })?;
        } else {
            // SAFETY: the caller's contract.
            unsafe { unmap_but_keep(view) }?;
        }
        // SAFETY: the placeholder that is left.
        unsafe { fill(view, &section, offset, view, protection) }?;
    }
    Ok(())
}

/// Never needed: what a full disk could not take is not kept here.
///
/// # Errors
/// Always `ENOSYS`.
pub fn write_from_memory(_fd: RawFd, _span: Span, _length: u64, _offset: u64) -> Result<()> {
    Err(Error::system("pwrite", libc::ENOSYS))
}

/// Never needed: every mapping of a file has that at hand.
///
/// # Safety
/// None is needed.
///
/// # Errors
/// Always `ENOSYS`.
pub unsafe fn copy_privately(_span: Span) -> Result<()> {
    Err(Error::system("mmap", libc::ENOSYS))
}

/// Windows replaces no part of a mapping.
///
/// # Safety
/// None is needed.
///
/// # Errors
/// Always `ENOSYS`.
pub unsafe fn copy_from_file(_span: Span, _prot: i32, _fd: RawFd, _offset: u64) -> Result<()> {
    Err(Error::system("mmap", libc::ENOSYS))
}

/// Lets pages be read, whatever their protection was.
pub fn make_readable(span: Span) -> bool {
    // SAFETY: no access becomes forbidden and nothing is written.
    unsafe { protect(span, PAGE_READONLY) }
}

/// Whether there is something to read in pages that may be read: nobody makes a file shorter that is mapped.
pub fn can_be_read(_span: Span) -> bool {
    true
}

/// There is no such call here.
///
/// # Errors
/// Always `ENOSYS`.
pub fn populate(_span: Span, _write: bool) -> Result<()> {
    Err(Error::system("madvise", libc::ENOSYS))
}

/// Whether there is a call for [`populate`].
pub fn can_populate() -> bool {
    false
}

/// `PrefetchVirtualMemory`: starts to read what is not in memory. It is advice: there are no errors.
pub fn will_need(span: Span) {
    let range = WIN32_MEMORY_RANGE_ENTRY { VirtualAddress: at(span.start()), NumberOfBytes: span.len() };
    // SAFETY: one entry; the call changes neither memory nor mappings.
    let _ = unsafe { PrefetchVirtualMemory(process(), 1, &raw const range, 0) };
}

/// Whether pages could be read, or written, by what the system says of them. That a device may fail it does not say.
pub fn would_succeed(span: Span, write: bool) -> bool {
    let may = |pages: &Pages| {
        let writable = matches!(
            pages.protection,
            PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY
        );
        let readable = matches!(pages.protection, PAGE_READONLY | PAGE_EXECUTE_READ);
        pages.state == MEM_COMMIT && (writable || (readable && !write))
    };
    pieces(span).all(|(_, pages)| may(&pages))
}

/// Seconds since the system started. A handler may ask.
pub fn monotonic_seconds() -> u64 {
    // SAFETY: reads a counter.
    unsafe { GetTickCount64() }.checked_div(1000).unwrap_or(0)
}

pub(super) fn size_of_file(file: HANDLE) -> Option<u64> {
    let mut size = 0_i64;
    // SAFETY: the call fills the number or fails.
    let done = unsafe { GetFileSizeEx(file, &raw mut size) };
    (done != 0).then(|| u64::try_from(size).ok()).flatten()
}

/// Addresses are never taken at a place that the caller names.
///
/// # Errors
/// `EEXIST` if anything is mapped in the range, otherwise `ENOMEM`.
pub fn reserve(span: Span) -> Result<()> {
    Err(Error::system("mmap", if has_mappings(span) { libc::EEXIST } else { libc::ENOMEM }))
}

/// Whether anything is mapped or reserved in the range.
pub fn has_mappings(span: Span) -> bool {
    pieces(span).any(|(_, pages)| pages.state != MEM_FREE)
}

/// `mprotect(2)`.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// `EACCES` for what the file was not opened for, `ENOMEM`.
pub unsafe fn mprotect(span: Span, prot: i32) -> Result<()> {
    for (part, pages) in pieces(span) {
        let wanted = protection(prot, pages.kind == MEM_MAPPED && pages.is_copied());
        // SAFETY: the caller's contract.
        if unsafe { protect(part, wanted) } {
            continue;
        }
        let error = Error::last("mprotect");
        return Err(match error.errno() {
            Some(libc::EINVAL | libc::EPERM) => {
                Error::refused("mprotect", libc::EACCES, "the file was not opened or mapped for this")
            }
            _ => error,
        });
    }
    Ok(())
}

/// `FlushViewOfFile`: hands changed pages to the file. To have the device store them is [`flush_file`](super::flush_file).
///
/// # Errors
/// `EIO` and the like; `EBUSY` where another process holds a lock on these bytes.
pub fn msync(span: Span, _flags: i32) -> Result<()> {
    for (part, _) in pieces(span).filter(|(_, pages)| pages.kind == MEM_MAPPED) {
        // SAFETY: writes pages to their file and changes no memory.
        let flushed = unsafe { FlushViewOfFile(at(part.start()), part.len()) };
        // SAFETY: the thread's own value. Pages of a section have no file.
        if flushed == 0 && unsafe { GetLastError() } != ERROR_INVALID_ADDRESS {
            return Err(Error::last("msync"));
        }
    }
    Ok(())
}

/// `madvise(2)`: of all advice Windows has `MADV_WILLNEED`; `MADV_NORMAL` is none.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// [`Error::Unavailable`].
pub unsafe fn madvise(span: Span, advice: i32) -> Result<()> {
    match advice {
        libc::MADV_NORMAL => Ok(()),
        libc::MADV_WILLNEED => {
            will_need(span);
            Ok(())
        }
        _ => Err(Error::unavailable("this advice", "Windows has MADV_WILLNEED, and no other")),
    }
}

/// `VirtualLock`.
///
/// # Errors
/// `ENOMEM` past the limit, which is the least size of the working set.
pub fn mlock(span: Span) -> Result<()> {
    for (part, _) in pieces(span) {
        // SAFETY: locking pages changes neither their contents nor who may touch them.
        check("mlock", unsafe { VirtualLock(at(part.start()), part.len()) })?;
    }
    Ok(())
}

/// `VirtualUnlock`. Pages that are not locked are no error, as in POSIX.
///
/// # Errors
/// `ENOMEM` when a page is not mapped.
pub fn munlock(span: Span) -> Result<()> {
    for page in span.pieces(page_size()) {
        // SAFETY: as for mlock. The call stops at the first page that is not locked: one at a time.
        if unsafe { VirtualUnlock(at(page.start()), page.len()) } != 0 {
            continue;
        }
        // SAFETY: the thread's own value.
        if unsafe { GetLastError() } != ERROR_NOT_LOCKED {
            return Err(Error::last("munlock"));
        }
    }
    Ok(())
}

/// `QueryWorkingSetEx`: one byte a page, whose lowest bit says that the page is in this process's working set.
///
/// # Errors
/// `ENOMEM`.
pub fn mincore(span: Span) -> Result<Vec<u8>> {
    let no_memory = |_| Error::system("mincore", libc::ENOMEM);
    let mut residency = Vec::new();
    residency.try_reserve_exact(span.len().div_ceil(page_size())).map_err(no_memory)?;
    // Asked for in pieces: the answer is four times as large as what is returned.
    for piece in span.pieces(page_size().saturating_mul(1024)) {
        let mut asked: Vec<PSAPI_WORKING_SET_EX_INFORMATION> = piece
            .pieces(page_size())
            .map(|page| PSAPI_WORKING_SET_EX_INFORMATION {
                VirtualAddress: at(page.start()),
                ..PSAPI_WORKING_SET_EX_INFORMATION::default()
            })
            .collect();
        let bytes = asked.len().saturating_mul(size_of::<PSAPI_WORKING_SET_EX_INFORMATION>());
        let bytes = u32::try_from(bytes).unwrap_or(0);
        // SAFETY: the vector has so many bytes, in which the call leaves its answers.
        check("mincore", unsafe { K32QueryWorkingSetEx(process(), asked.as_mut_ptr().cast(), bytes) })?;
        // SAFETY: every value of the union is a number.
        residency.extend(asked.iter().map(|page| u8::from(unsafe { page.VirtualAttributes.Flags } & 1 == 1)));
    }
    Ok(residency)
}

impl MapOptions {
    /// The flags of `mmap(2)` that a new mapping would have once.
    pub fn flags_once(self) -> i32 {
        0
    }

    /// The flags with which pages of a file would be mapped.
    pub fn flags(self, access: Access) -> i32 {
        if access == Access::Copy {
            libc::MAP_PRIVATE
        } else {
            libc::MAP_SHARED
        }
    }
}

/// Large pages need a privilege that few processes have.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn map_huge(_length: usize, _options: MapOptions, _log2: u8) -> Result<Span> {
    Err(Error::unavailable("hugePages", "not on Windows"))
}

/// What sets the limit of [`lock_limit`].
pub const LOCK_LIMIT: &str = "the least size of its working set";

/// `GetProcessWorkingSetSize`: of its least size, in bytes, the process may lock all but a few pages.
pub fn lock_limit() -> Option<u64> {
    let (mut least, mut most, mut flags) = (0_usize, 0_usize, 0_u32);
    // SAFETY: the call fills the numbers or fails.
    let done = unsafe { GetProcessWorkingSetSizeEx(process(), &raw mut least, &raw mut most, &raw mut flags) };
    (done != 0).then(|| u64::try_from(least).ok()).flatten()
}

/// The protection of the pages of a new mapping.
pub(super) fn protection_for(access: Access) -> u32 {
    match access {
        Access::Read => PAGE_READONLY,
        Access::Write => PAGE_READWRITE,
        Access::Copy => PAGE_WRITECOPY,
    }
}

/// Maps a range of a file at an address of the system's choice. Returns the whole pages; they are the caller's to unmap.
///
/// # Errors
/// `EACCES`, `ENOMEM`.
pub fn map_file(file: &File, layout: Layout, access: Access, options: MapOptions) -> Result<Span> {
    let protection = protection_for(access);
    let section = Section::of_file(file.as_raw_handle(), protection)?;
    let span = map_section(&section, 0, layout.page_offset, layout.map_length, protection)?;
    if options.populate {
        will_need(span);
    }
    Ok(span)
}

/// Maps `length` bytes of zeroed memory of this process. Returns the whole pages; they are the caller's to unmap.
///
/// # Errors
/// `ENOMEM`.
pub fn map_anonymous(length: usize, _options: MapOptions) -> Result<Span> {
    allocate_pages(0, length, PAGE_READWRITE)
}

/// Gives blocks to what a file grows by: NTFS does so when the length is set.
///
/// # Errors
/// `ENOSPC`, `EFBIG`.
pub fn allocate(file: &File, offset: u64, length: u64) -> Result<()> {
    let end = offset.checked_add(length).ok_or(Error::system("ftruncate", libc::EFBIG))?;
    file.set_len(end).map_err(|error| Error::from_io("ftruncate", &error))
}

/// How many mappings of ours the process can have: Windows has no limit but its memory.
pub fn mapping_limit() -> usize {
    usize::MAX
}

/// How many mappings the process has: 0, where there is no limit.
pub fn count_mappings() -> usize {
    0
}

/// Keeps the library that holds this code in memory until the process ends.
///
/// A worker thread's runtime closes the addons that it opened; the registry, and the finalizers that memory
/// still in use will call, must outlive it.
pub fn keep_library_loaded() {
    let here = keep_library_loaded as *const u16;
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    let mut library = std::ptr::null_mut();
    // SAFETY: with these flags the name is an address in the library to keep: this function's.
    let _kept = unsafe { GetModuleHandleExW(flags, here, &raw mut library) };
}

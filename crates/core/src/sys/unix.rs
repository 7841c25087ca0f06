//! POSIX system calls through `libc`; new mappings of files through `memmap2`.
//!
//! Functions that could pull memory from under somebody are `unsafe`: the [`registry`](crate::registry)
//! calls them, and only for addresses that it owns.

use std::ffi::CStr;
use std::fs::File;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

use super::types::{Access, MapOptions};
use crate::error::{Error, Result};
use crate::flags::MAP_NORESERVE;
use crate::range::{Layout, Span};
use crate::table::FileIdentity;

#[cfg(target_os = "freebsd")]
use libc::posix_fadvise as posix_fadvise64;
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{fallocate64, mmap64, off64_t, posix_fadvise64, pread64, pwrite64};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use libc::{mmap as mmap64, off_t as off64_t, pread as pread64, pwrite as pwrite64};

/// `0` or `-1` with `errno`, as a `Result`.
fn check(syscall: &'static str, status: libc::c_int) -> Result<()> {
    if status == 0 {
        Ok(())
    } else {
        Err(Error::last(syscall))
    }
}

/// An address as the pointer that the C calls take.
fn pointer(span: Span) -> *mut libc::c_void {
    std::ptr::with_exposed_provenance_mut(span.start())
}

/// `sysconf(_SC_PAGESIZE)`: bytes in a page.
pub fn page_size() -> usize {
    static CACHED: AtomicUsize = AtomicUsize::new(0);
    match CACHED.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: sysconf only reads its argument.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let size = usize::try_from(size).unwrap_or(4096);
            CACHED.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// `mmap(2)` with all its arguments. Returns the address.
///
/// # Safety
/// With `MAP_FIXED` in `flags`, the caller owns every page that is mapped in the range.
///
/// # Errors
/// As the call: `EACCES`, `EBADF`, `EINVAL`, `ENODEV`, `ENOMEM`, `EPERM`...
pub unsafe fn mmap(addr: usize, length: usize, prot: i32, flags: i32, fd: RawFd, offset: i64) -> Result<usize> {
    let hint = std::ptr::with_exposed_provenance_mut(addr);
    let offset = off64_t::from(offset);
    // SAFETY: without MAP_FIXED the call only adds a mapping where there is none; with it, the caller's contract.
    let at = unsafe { mmap64(hint, length, prot, flags, fd, offset) };
    if at == libc::MAP_FAILED {
        return Err(Error::last("mmap"));
    }
    Ok(at.expose_provenance())
}

/// `munmap(2)`.
///
/// # Safety
/// The caller owns every page in the range, and nothing reads or writes them any more.
///
/// # Errors
/// `EINVAL`; `ENOMEM` when a mapping would be split in two and there are too many already.
pub unsafe fn munmap(span: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    check("munmap", unsafe { libc::munmap(pointer(span), span.len()) })
}

/// Replaces whatever is mapped in the range by addresses without access or memory, in one step: they stay taken, the
/// file and its memory are let go.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// `ENOMEM`, and `EINVAL` for a part of a huge page.
pub unsafe fn retire(span: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    unsafe { replace(span, libc::PROT_NONE) }
}

/// Replaces whatever is mapped in the range by zeros of this process, which cost memory once they are written.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// As [`retire`].
pub unsafe fn map_zeros(span: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    unsafe { replace(span, libc::PROT_READ | libc::PROT_WRITE) }
}

unsafe fn replace(span: Span, prot: i32) -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the caller's contract.
    unsafe { mmap(span.start(), span.len(), prot, flags, -1, 0) }.map(|_| ())
}

/// Replaces whatever is mapped in the range by a readable and writable mapping of a file whose changes stay in this process.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// As `mmap(2)`.
pub unsafe fn map_private(span: Span, fd: RawFd, offset: i64) -> Result<()> {
    let flags = libc::MAP_PRIVATE | MAP_NORESERVE | libc::MAP_FIXED;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the caller's contract.
    unsafe { mmap(span.start(), span.len(), prot, flags, fd, offset) }.map(|_| ())
}

/// Replaces whatever is mapped in the range by a mapping of a file as it was before.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// As `mmap(2)`.
pub unsafe fn map_again(span: Span, prot: i32, flags: i32, fd: RawFd, offset: u64) -> Result<()> {
    let offset = i64::try_from(offset).map_err(|_| Error::system("mmap", libc::EOVERFLOW))?;
    // SAFETY: the caller's contract.
    unsafe { mmap(span.start(), span.len(), prot, flags | libc::MAP_FIXED, fd, offset) }.map(|_| ())
}

/// Maps a part of a file, or memory, over addresses that are reserved.
///
/// # Safety
/// As [`map_again`].
///
/// # Errors
/// As `mmap(2)`.
pub unsafe fn map_more(span: Span, prot: i32, flags: i32, fd: RawFd, offset: u64) -> Result<()> {
    // SAFETY: the caller's contract.
    unsafe { map_again(span, prot, flags, fd, offset) }
}

/// Pages that were unmapped together with all others of their mapping. There are none: here parts can be unmapped.
#[derive(Debug)]
pub struct TakenPages;

/// Never needed: see [`TakenPages`].
///
/// # Safety
/// None is needed.
///
/// # Errors
/// Always `ENOSYS`.
pub unsafe fn take_pages(_room: Span, _pages: Span, _own: bool) -> Result<TakenPages> {
    Err(Error::system("munmap", libc::ENOSYS))
}

/// Never needed: see [`TakenPages`].
pub fn put_pages(_taken: &TakenPages) {}

/// `pwrite(2)` of the first `length` bytes of a range, until all are written.
///
/// # Errors
/// As the call; `EFAULT` if the range cannot be read.
pub fn write_from_memory(fd: RawFd, span: Span, length: u64, offset: u64) -> Result<()> {
    let overflow = |_| Error::system("pwrite", libc::EOVERFLOW);
    let length = usize::try_from(length).map_err(overflow)?.min(span.len());
    let mut written = 0;
    while let Some(rest) = span.slice(written, length.saturating_sub(written)) {
        let done = u64::try_from(written).map_err(overflow)?;
        let at = off64_t::try_from(offset.saturating_add(done)).map_err(overflow)?;
        // SAFETY: the call reads the range, and reports what it cannot read.
        let count = unsafe { pwrite64(fd, pointer(rest), rest.len(), at) };
        match usize::try_from(count) {
            Ok(0) => return Err(Error::system("pwrite", libc::EIO)),
            Ok(count) => written = written.saturating_add(count),
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Error::last("pwrite")),
        }
    }
    Ok(())
}

/// Replaces the pages of the range, which can be read, by private memory with the same contents.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// As `mmap(2)` and `mremap(2)`; `EFAULT` if the pages cannot be read after all.
#[cfg(target_os = "linux")]
pub unsafe fn copy_privately(span: Span) -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | MAP_NORESERVE;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no MAP_FIXED.
    let copy = unsafe { mmap(0, span.len(), prot, flags, -1, 0) }?;
    let to = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(copy), iov_len: span.len() };
    let from = libc::iovec { iov_base: pointer(span), iov_len: span.len() };
    let process = libc::pid_t::try_from(std::process::id()).unwrap_or(-1);
    // SAFETY: the call copies between the two ranges of this process, the first of them just mapped; it reports what it
    // cannot read.
    let copied = unsafe { libc::process_vm_readv(process, &raw const to, 1, &raw const from, 1, 0) };
    let moved = if usize::try_from(copied) == Ok(span.len()) {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: the source was just mapped and the target is the caller's.
        unsafe { mremap(copy, span.len(), span.len(), flags, span.start()) }.map(|_| ())
    } else {
        Err(Error::last("process_vm_readv"))
    };
    moved.inspect_err(|_| {
        if let Some(copy) = Span::new(copy, span.len()) {
            // SAFETY: mapped above, seen by nobody.
            let _ = unsafe { munmap(copy) };
        }
    })
}

/// Replaces the pages of the range, which can be read, by private memory with the same contents. Other threads may
/// see zeros for a moment.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// As `mmap(2)`.
#[cfg(not(target_os = "linux"))]
pub unsafe fn copy_privately(span: Span) -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: no MAP_FIXED.
    let copy = unsafe { mmap(0, span.len(), libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) }?;
    let copy = Span::new(copy, span.len()).ok_or(Error::system("mmap", libc::ENOMEM))?;
    // SAFETY: the pages can be read, says the caller, and the copy was just mapped.
    unsafe { std::ptr::copy_nonoverlapping(pointer(span), pointer(copy), span.len()) };
    // SAFETY: the caller's contract.
    let replaced = unsafe { map_zeros(span) };
    if replaced.is_ok() {
        // SAFETY: both were just mapped.
        unsafe { std::ptr::copy_nonoverlapping(pointer(copy), pointer(span), span.len()) };
    }
    // SAFETY: mapped above, seen by nobody. A failure leaves memory behind.
    let _ = unsafe { munmap(copy) };
    replaced
}

/// Replaces the pages of the range by private memory with what a file has from `offset` on, and zeros behind its end.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// As `mmap(2)` and `pread(2)`; the range is then as before.
pub unsafe fn copy_from_file(span: Span, prot: i32, fd: RawFd, offset: u64) -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | MAP_NORESERVE;
    // SAFETY: no MAP_FIXED.
    let copy = unsafe { mmap(0, span.len(), libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) }?;
    let copy = Span::new(copy, span.len()).ok_or(Error::system("mmap", libc::ENOMEM))?;
    let filled = read_into_memory(fd, copy, offset).and_then(|()| {
        // SAFETY: just mapped, seen by nobody else.
        let bytes = unsafe { std::slice::from_raw_parts(pointer(copy).cast::<u8>(), copy.len()) };
        // SAFETY: as above.
        unsafe { mprotect(copy, prot) }?;
        Ok(bytes.iter().all(|byte| *byte == 0))
    });
    let moved = match filled {
        // Fresh zeros become one mapping with neighbours of their kind; moved pages stay one each.
        // SAFETY: the caller's contract.
        Ok(true) => unsafe { replace(span, prot) },
        // SAFETY: the source was just mapped and the target is the caller's.
        Ok(false) => return unsafe { move_onto(copy, span) },
        Err(error) => Err(error),
    };
    // SAFETY: mapped above, seen by nobody.
    let _ = unsafe { munmap(copy) };
    moved
}

#[cfg(not(target_os = "freebsd"))]
const NO_DATA: i32 = libc::ENODATA;
#[cfg(target_os = "freebsd")]
const NO_DATA: i32 = libc::ENOATTR;

/// `pread(2)` into fresh pages, until they are full or the file ends.
fn read_into_memory(fd: RawFd, span: Span, offset: u64) -> Result<()> {
    let overflow = |_| Error::system("pread", libc::EOVERFLOW);
    let mut done = 0;
    while let Some(rest) = span.slice(done, span.len().saturating_sub(done)) {
        let at = offset.saturating_add(u64::try_from(done).map_err(overflow)?);
        let at = off64_t::try_from(at).map_err(overflow)?;
        // SAFETY: the range is the caller's, mapped and writable.
        let count = unsafe { pread64(fd, pointer(rest), rest.len(), at) };
        match usize::try_from(count) {
            // Nothing at all is a page that the file has not got.
            Ok(0) if done == 0 => return Err(Error::system("pread", NO_DATA)),
            Ok(0) => return Ok(()),
            Ok(count) => done = done.saturating_add(count),
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Error::last("pread")),
        }
    }
    Ok(())
}

/// Moves private pages to where others are, in one step. They are gone from where they were, even after a failure.
///
/// # Safety
/// The caller owns every page of both ranges, which have the same length.
#[cfg(target_os = "linux")]
unsafe fn move_onto(from: Span, to: Span) -> Result<()> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the caller's contract.
    let moved = unsafe { mremap(from.start(), from.len(), to.len(), flags, to.start()) };
    moved.map(|_| ()).inspect_err(|_| {
        // SAFETY: still there, and the caller's.
        let _ = unsafe { munmap(from) };
    })
}

/// Puts the contents of private pages where others are. Other threads may see zeros for a moment.
///
/// # Safety
/// As on Linux.
#[cfg(not(target_os = "linux"))]
unsafe fn move_onto(from: Span, to: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    let replaced = unsafe { map_zeros(to) };
    if replaced.is_ok() {
        // SAFETY: both are mapped, and the target is fresh.
        unsafe { std::ptr::copy_nonoverlapping(pointer(from), pointer(to), from.len()) };
    }
    // SAFETY: the caller's contract.
    let _ = unsafe { munmap(from) };
    replaced
}

/// Lets pages be read, whatever their protection was.
pub fn make_readable(span: Span) -> bool {
    // SAFETY: no access becomes forbidden and nothing is written.
    unsafe { libc::mprotect(pointer(span), span.len(), libc::PROT_READ) == 0 }
}

/// Whether there is something to read in pages that may be read: false if the file behind them has become shorter.
/// Elsewhere than on Linux the answer is yes.
pub fn can_be_read(span: Span) -> bool {
    #[cfg(target_os = "linux")]
    {
        // Moves none of those who wait at the first byte, and has to look at it for that. Sandboxes and emulators have it, which
        // `process_vm_readv()` cannot be said of.
        let call = libc::FUTEX_CMP_REQUEUE | libc::FUTEX_PRIVATE_FLAG;
        let (at, nobody, any) = (pointer(span), 0, 0);
        // SAFETY: the kernel reads four bytes, writes nothing, and reports what it cannot read.
        let status = unsafe { libc::syscall(libc::SYS_futex, at, call, nobody, nobody, at, any) };
        status >= 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = span;
        true
    }
}

/// `madvise(2)`, `MADV_POPULATE_READ` or `MADV_POPULATE_WRITE`: brings pages into memory and into the page tables as if each
/// was read, or written (Linux 5.14).
///
/// # Errors
/// `EFAULT` where an access would raise SIGBUS, `EHWPOISON`; `EINVAL` where it would raise SIGSEGV; `ENOMEM` when a page is not
/// mapped, or there is no memory for it; `ENOSYS` on systems without such advice.
pub fn populate(span: Span, write: bool) -> Result<()> {
    if !can_populate() {
        return Err(Error::system("madvise", libc::ENOSYS));
    }
    #[cfg(target_os = "linux")]
    {
        let advice = if write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
        // SAFETY: this advice only prefaults; an address that is not mapped is ENOMEM.
        check("madvise", unsafe { libc::madvise(pointer(span), span.len(), advice) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (span, write);
        Err(Error::system("madvise", libc::ENOSYS))
    }
}

/// Whether the kernel knows an advice. madvise(2): for no bytes it fails iff the advice is unknown.
pub fn knows_advice(advice: i32) -> bool {
    // SAFETY: no bytes, so nothing is done.
    unsafe { libc::madvise(std::ptr::null_mut(), 0, advice) == 0 }
}

/// Whether the kernel has the advice that [`populate`] gives. What says yes to any advice, as qemu does for a program of another
/// CPU, follows none: its word for a page would have an access fault for ever. Async-signal-safe after the first call.
pub fn can_populate() -> bool {
    #[cfg(target_os = "linux")]
    {
        const NO_ADVICE: i32 = i32::MAX;
        static ANSWER: OnceLock<bool> = OnceLock::new();
        *ANSWER.get_or_init(|| knows_advice(libc::MADV_POPULATE_READ) && !knows_advice(NO_ADVICE))
    }
    #[cfg(not(target_os = "linux"))]
    {
        false
    }
}

/// `madvise(2)`, `MADV_WILLNEED`: starts to read what is not in memory. It is advice: there are no errors.
pub fn will_need(span: Span) {
    // SAFETY: this advice changes neither memory nor mappings; an address that is not mapped is ENOMEM.
    let _ = unsafe { libc::madvise(pointer(span), span.len(), libc::MADV_WILLNEED) };
}

/// Asks the kernel whether pages could be read, or written, without a fault (Linux 5.14; elsewhere the answer is no).
/// It brings them into memory and changes nothing.
pub fn would_succeed(span: Span, write: bool) -> bool {
    populate(span, write).is_ok()
}

/// `clock_gettime(CLOCK_MONOTONIC)` in seconds. Async-signal-safe.
pub fn monotonic_seconds() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the call fills the structure; after a failure it is zero.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    // SAFETY: zeroed, which is a valid value, or filled.
    u64::try_from(unsafe { now.assume_init() }.tv_sec).unwrap_or(0)
}

/// The size of an open file in bytes, if the descriptor still is that file's.
pub fn size_if_same(file: FileIdentity) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the call fills the structure or fails.
    let status = unsafe { libc::fstat(file.fd, stat.as_mut_ptr()) };
    if status != 0 {
        return None;
    }
    // SAFETY: filled by the successful call.
    let stat = unsafe { stat.assume_init() };
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // the types differ between platforms; the bits count
    let same = stat.st_dev as u64 == file.device && stat.st_ino as u64 == file.inode;
    same.then(|| u64::try_from(stat.st_size).ok()).flatten()
}

/// Takes exactly this range of addresses, without memory behind it, if nothing is mapped there.
///
/// # Errors
/// `EEXIST` if anything is mapped in the range; otherwise as `mmap(2)`.
pub fn reserve(span: Span) -> Result<()> {
    #[cfg(target_os = "linux")]
    const EXACT: i32 = libc::MAP_FIXED_NOREPLACE;
    #[cfg(not(target_os = "linux"))]
    const EXACT: i32 = 0;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | MAP_NORESERVE | EXACT;
    // SAFETY: no MAP_FIXED. A system without the exact flag takes the address as a hint: checked below.
    let at = unsafe { mmap(span.start(), span.len(), libc::PROT_NONE, flags, -1, 0) }?;
    if at == span.start() {
        return Ok(());
    }
    if let Some(elsewhere) = Span::new(at, span.len()) {
        // SAFETY: the mapping that the line above made, seen by nobody.
        unsafe { munmap(elsewhere) }?;
    }
    Err(Error::system("mmap", libc::EEXIST))
}

/// Takes addresses of the kernel's choice, without memory behind them.
///
/// # Errors
/// `ENOMEM`.
pub fn reserve_anywhere(length: usize) -> Result<Span> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | MAP_NORESERVE;
    // SAFETY: no MAP_FIXED.
    let at = unsafe { mmap(0, length, libc::PROT_NONE, flags, -1, 0) }?;
    Span::new(at, length).ok_or(Error::system("mmap", libc::ENOMEM))
}

/// Moves private pages to where addresses were reserved. Where they were, the addresses stay taken, with whatever behind them.
///
/// # Safety
/// The caller owns every page of both ranges, which have the same length.
///
/// # Errors
/// As `mremap(2)`: `EINVAL` from kernels before 5.13 for pages of a file; `EFAULT` for more than one mapping, from most.
#[cfg(target_os = "linux")]
pub unsafe fn move_away(from: Span, to: Span) -> Result<()> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    // SAFETY: the caller's contract.
    unsafe { mremap(from.start(), from.len(), to.len(), flags, to.start()) }.map(|_| ())
}

/// Copies private pages to where addresses were reserved.
///
/// # Safety
/// The caller owns every page of both ranges, which have the same length; the first can be read.
///
/// # Errors
/// As `mmap(2)`.
#[cfg(not(target_os = "linux"))]
pub unsafe fn move_away(from: Span, to: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    unsafe { map_zeros(to) }?;
    // SAFETY: both are mapped, and the target is fresh.
    unsafe { std::ptr::copy_nonoverlapping(pointer(from), pointer(to), from.len()) };
    Ok(())
}

/// Writes zeros.
///
/// # Safety
/// The caller owns every page of the range, which is private memory that can be written.
pub unsafe fn clear(span: Span) {
    // SAFETY: the caller's contract.
    unsafe { std::ptr::write_bytes(pointer(span).cast::<u8>(), 0, span.len()) };
}

/// `getrlimit(RLIMIT_FSIZE)`: the largest size in bytes that the process may give a file.
pub fn file_size_limit() -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills the structure or fails.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) };
    if status != 0 {
        return u64::MAX;
    }
    // SAFETY: filled by the successful call.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    if limit == libc::RLIM_INFINITY {
        return u64::MAX;
    }
    #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)] // the type differs between platforms
    u64::try_from(limit).unwrap_or(u64::MAX)
}

/// Whether anything is mapped in the range, by `/proc/self/maps`; `false` where there is no such file.
pub fn has_mappings(span: Span) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = |line: &str| {
        let (start, rest) = line.split_once('-')?;
        let (end, _) = rest.split_once(' ')?;
        Span::between(usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?)
    };
    maps.lines().filter_map(range).any(|mapped| mapped.intersect(span).is_some())
}

/// `mprotect(2)`.
///
/// # Safety
/// The caller owns every page in the range.
///
/// # Errors
/// `EACCES` for writing to a mapping of a descriptor opened read-only, `EINVAL`, `ENOMEM`.
pub unsafe fn mprotect(span: Span, prot: i32) -> Result<()> {
    // SAFETY: the caller's contract.
    check("mprotect", unsafe { libc::mprotect(pointer(span), span.len(), prot) })
}

/// `msync(2)`.
///
/// # Errors
/// `EBUSY`, `EINVAL`, `EIO`, `ENOMEM` when a page is not mapped.
pub fn msync(span: Span, flags: i32) -> Result<()> {
    // SAFETY: msync writes pages to their file and changes no memory; an address that is not mapped is ENOMEM.
    check("msync", unsafe { libc::msync(pointer(span), span.len(), flags) })
}

/// `sync_file_range(2)`, `SYNC_FILE_RANGE_WRITE` (Linux): starts to write changed pages of a file. There are no errors: those of the device
/// are `msync(2)`'s to tell.
pub fn start_writing(file: &File, offset: u64, length: usize) {
    #[cfg(target_os = "linux")]
    if let (Ok(offset), Ok(length)) = (off64_t::try_from(offset), off64_t::try_from(length)) {
        // SAFETY: a plain call on a descriptor that `file` keeps open.
        let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, length);
}

/// `madvise(2)`.
///
/// # Safety
/// The caller owns every page in the range: some advice throws their contents away.
///
/// # Errors
/// As the call.
pub unsafe fn madvise(span: Span, advice: i32) -> Result<()> {
    // SAFETY: the caller's contract.
    check("madvise", unsafe { libc::madvise(pointer(span), span.len(), advice) })
}

/// `mlock(2)`.
///
/// # Errors
/// `EAGAIN`, `ENOMEM` past the limit `RLIMIT_MEMLOCK`, `EPERM`.
pub fn mlock(span: Span) -> Result<()> {
    // SAFETY: locking pages changes neither their contents nor who may touch them.
    check("mlock", unsafe { libc::mlock(pointer(span), span.len()) })
}

/// `mlock2(2)`, `MLOCK_ONFAULT`: locks pages that are in memory, and the others when they come in (Linux 4.4).
///
/// # Errors
/// As [`mlock`]; `ENOSYS` on systems without it.
pub fn mlock_on_fault(span: Span) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: as for mlock. The call takes an address, a length and flags.
        let status = unsafe { libc::syscall(libc::SYS_mlock2, pointer(span), span.len(), libc::MLOCK_ONFAULT) };
        if status == 0 {
            Ok(())
        } else {
            Err(Error::last("mlock2"))
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = span;
        Err(Error::system("mlock2", libc::ENOSYS))
    }
}

/// `getrlimit(2)`, `RLIMIT_MEMLOCK`: bytes that a process without privileges may lock; `None` for no limit.
pub fn lock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call fills the structure, or fails and leaves it.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)] // the type differs between platforms
    (limit.rlim_cur != libc::RLIM_INFINITY).then(|| u64::try_from(limit.rlim_cur).unwrap_or(u64::MAX))
}

/// `posix_fadvise(2)`, `POSIX_FADV_DONTNEED`: drops stored pages that nobody has mapped from the page cache.
///
/// # Errors
/// As the call; `ENOSYS` on systems without it.
pub fn drop_from_page_cache(file: &File, offset: u64, length: u64) -> Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        let overflow = |_| Error::system("posix_fadvise", libc::EOVERFLOW);
        let (offset, length) =
            (off64_t::try_from(offset).map_err(overflow)?, off64_t::try_from(length).map_err(overflow)?);
        // SAFETY: a plain call on a descriptor that `file` keeps open. It returns the error number.
        match unsafe { posix_fadvise64(file.as_raw_fd(), offset, length, libc::POSIX_FADV_DONTNEED) } {
            0 => Ok(()),
            errno => Err(Error::system("posix_fadvise", errno)),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let _ = (file, offset, length);
        Err(Error::system("posix_fadvise", libc::ENOSYS))
    }
}

/// `munlock(2)`.
///
/// # Errors
/// `ENOMEM` when a page is not mapped.
pub fn munlock(span: Span) -> Result<()> {
    // SAFETY: as for mlock.
    check("munlock", unsafe { libc::munlock(pointer(span), span.len()) })
}

/// `mincore(2)`: one byte a page, whose lowest bit says that the page is in memory.
///
/// # Errors
/// `EAGAIN`, `ENOMEM` when a page is not mapped.
pub fn mincore(span: Span) -> Result<Vec<u8>> {
    let pages = span.len().div_ceil(page_size());
    let mut residency = Vec::new();
    residency.try_reserve_exact(pages).map_err(|_| Error::system("mincore", libc::ENOMEM))?;
    residency.resize(pages, 0_u8);
    // SAFETY: the vector has the one byte a page that the call writes.
    let status = unsafe { libc::mincore(pointer(span), span.len(), residency.as_mut_ptr().cast()) };
    check("mincore", status)?;
    Ok(residency)
}

/// `mremap(2)`, Linux. Returns the new address. `old_length` may be 0: a second mapping of shared pages.
///
/// # Safety
/// The caller owns the old range, and with `MREMAP_FIXED` every page that is mapped in the new one.
///
/// # Errors
/// As the call.
#[cfg(target_os = "linux")]
pub unsafe fn mremap(old: usize, old_length: usize, new_length: usize, flags: i32, new: usize) -> Result<usize> {
    let old = std::ptr::with_exposed_provenance_mut(old);
    let new: *mut libc::c_void = std::ptr::with_exposed_provenance_mut(new);
    // SAFETY: the caller's contract.
    let at = unsafe { libc::mremap(old, old_length, new_length, flags, new) };
    if at == libc::MAP_FAILED {
        return Err(Error::last("mremap"));
    }
    Ok(at.expose_provenance())
}

#[cfg(target_os = "linux")]
const SYNCHRONOUS: i32 = libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC;
#[cfg(not(target_os = "linux"))]
const SYNCHRONOUS: i32 = libc::MAP_SHARED;

impl MapOptions {
    /// The flags of `mmap(2)` that a new mapping has once.
    pub fn flags_once(self) -> i32 {
        #[cfg(target_os = "linux")]
        let populate = if self.populate { libc::MAP_POPULATE } else { 0 };
        #[cfg(not(target_os = "linux"))]
        let populate = 0;
        populate
    }

    fn builder(self) -> memmap2::MmapOptions {
        let mut builder = memmap2::MmapOptions::new();
        if self.populate {
            builder.populate();
        }
        if self.no_reserve {
            builder.no_reserve_swap();
        }
        if self.stack {
            builder.stack();
        }
        builder
    }

    /// The flags with which pages of a file are mapped, now and again later.
    pub fn flags(self, access: Access) -> i32 {
        let kind = match access {
            Access::Copy => libc::MAP_PRIVATE,
            Access::Write if self.sync => SYNCHRONOUS,
            Access::Read | Access::Write => libc::MAP_SHARED,
        };
        kind | if self.no_reserve { MAP_NORESERVE } else { 0 }
    }
}

/// Maps a range of a file at an address of the kernel's choice. Returns the whole pages; they are the caller's to unmap.
///
/// # Errors
/// As `mmap(2)`.
pub fn map_file(file: &File, layout: Layout, access: Access, options: MapOptions) -> Result<Span> {
    if options.sync {
        return map_synchronously(file, layout, options);
    }
    let failed = |error: std::io::Error| Error::from_io("mmap", &error);
    let mut builder = options.builder();
    builder.offset(layout.page_offset).len(layout.map_length);
    let start = match access {
        Access::Read => {
            let map = builder.map_raw_read_only(file).map_err(failed)?;
            ManuallyDrop::new(map).as_ptr()
        }
        Access::Write => {
            let map = builder.map_raw(file).map_err(failed)?;
            ManuallyDrop::new(map).as_ptr()
        }
        Access::Copy => {
            // SAFETY: memmap2 asks that the file not change under its slice; we make no slice of it.
            let map = unsafe { builder.map_copy(file) }.map_err(failed)?;
            ManuallyDrop::new(map).as_ptr()
        }
    };
    whole_pages(start, layout.map_length)
}

/// As [`map_file`], for writing, with `MAP_SYNC`.
#[cfg(target_os = "linux")]
fn map_synchronously(file: &File, layout: Layout, options: MapOptions) -> Result<Span> {
    let offset = i64::try_from(layout.page_offset).map_err(|_| Error::system("mmap", libc::EOVERFLOW))?;
    let flags = SYNCHRONOUS | if options.populate { libc::MAP_POPULATE } else { 0 };
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no MAP_FIXED.
    let at = unsafe { mmap(0, layout.map_length, prot, flags, file.as_raw_fd(), offset) };
    let at = at.map_err(|error| match error.errno() {
        Some(errno @ (libc::EOPNOTSUPP | libc::EINVAL)) => Error::refused(
            "mmap",
            errno,
            "MAP_SYNC needs a file on persistent memory, on a file system mounted with DAX",
        ),
        _ => error,
    })?;
    Span::pages(at, layout.map_length).ok_or(Error::system("mmap", libc::EOVERFLOW))
}

/// There is no such flag here.
#[cfg(not(target_os = "linux"))]
fn map_synchronously(_file: &File, _layout: Layout, _options: MapOptions) -> Result<Span> {
    Err(Error::system("mmap", libc::ENOTSUP))
}

/// Fails if a file cannot be mapped with `MAP_SYNC`.
///
/// # Errors
/// `EOPNOTSUPP` with the reason; otherwise as `mmap(2)`.
pub fn try_sync(file: &File) -> Result<()> {
    let page = Layout { page_offset: 0, lead: 0, map_length: page_size() };
    let span = map_synchronously(file, page, MapOptions::default())?;
    // SAFETY: just mapped, seen by nobody.
    unsafe { munmap(span) }
}

/// Fails if a file cannot be mapped at all, whatever its size.
///
/// # Errors
/// As `mmap(2)`: `EIO` or `ENODEV` for the files of `/proc`.
#[cfg(target_os = "linux")]
pub fn try_map(file: &File) -> Result<()> {
    let page = Layout { page_offset: 0, lead: 0, map_length: page_size() };
    let span = map_file(file, page, Access::Read, MapOptions::default())?;
    // SAFETY: just mapped, seen by nobody.
    unsafe { munmap(span) }
}

/// Maps memory of reserved huge pages of two to the power of `log2` bytes (`MAP_HUGETLB`; Linux). Returns its small pages: the
/// kernel has mapped whole huge ones.
///
/// # Errors
/// As `mmap(2)`: `ENOMEM`, `EINVAL`.
pub fn map_huge(length: usize, options: MapOptions, log2: u8) -> Result<Span> {
    #[cfg(target_os = "linux")]
    {
        let mut builder = options.builder();
        let map = builder.huge(Some(log2)).len(length).map_anon();
        whole_pages(ManuallyDrop::new(map.map_err(|error| Error::from_io("mmap", &error))?).as_ptr(), length)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (length, options, log2);
        Err(Error::system("mmap", libc::ENOTSUP))
    }
}

/// `madvise(2)`, `MADV_HUGEPAGE` (Linux).
///
/// # Errors
/// `EINVAL` if the kernel makes no huge pages.
pub fn prefer_huge_pages(span: Span) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: this advice changes neither memory nor mappings; an address that is not mapped is ENOMEM.
        check("madvise", unsafe { libc::madvise(pointer(span), span.len(), libc::MADV_HUGEPAGE) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = span;
        Err(Error::system("madvise", libc::ENOTSUP))
    }
}

/// `prctl(2)`, `PR_SET_VMA_ANON_NAME`: gives memory without a file a name in `/proc/self/maps` (Linux 5.17, if it was built so). Returns
/// whether it has one now.
pub fn name_memory(span: Span, name: &CStr) -> bool {
    #[cfg(target_os = "linux")]
    {
        // include/uapi/linux/prctl.h
        const PR_SET_VMA: libc::c_int = 0x5356_4d41;
        const PR_SET_VMA_ANON_NAME: libc::c_ulong = 0;
        // SAFETY: the call copies the name, and changes nothing but the range's own name.
        unsafe { libc::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, span.start(), span.len(), name.as_ptr()) == 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (span, name);
        false
    }
}

/// Maps `length` bytes of zeroed memory of this process. Returns the whole pages; they are the caller's to unmap.
///
/// # Errors
/// As `mmap(2)`.
pub fn map_anonymous(length: usize, options: MapOptions) -> Result<Span> {
    let map = options.builder().len(length).map_anon().map_err(|error| Error::from_io("mmap", &error))?;
    whole_pages(ManuallyDrop::new(map).as_ptr(), length)
}

fn whole_pages(start: *const u8, length: usize) -> Result<Span> {
    Span::pages(start.expose_provenance(), length).ok_or(Error::system("mmap", libc::EOVERFLOW))
}

/// A new descriptor for the same open file, closed on exec (`F_DUPFD_CLOEXEC`).
///
/// # Errors
/// `EBADF`, `EMFILE`.
pub fn duplicate(fd: RawFd) -> Result<File> {
    if fd < 0 {
        return Err(Error::system("open", libc::EBADF));
    }
    // SAFETY: the number is borrowed for this one call, which fails with EBADF if no file is open under it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let owned = borrowed.try_clone_to_owned().map_err(|error| Error::from_io("dup", &error))?;
    Ok(File::from(owned))
}

/// `fallocate(2)`: gives blocks to a range of a file, and the file the length that the range needs.
///
/// # Errors
/// `ENOSPC`, `EFBIG`, `EDQUOT`; `EOPNOTSUPP` where the file system cannot; `ENOMEM` for more memory than there is.
#[cfg(target_os = "linux")]
pub fn allocate(file: &File, offset: u64, length: u64) -> Result<()> {
    if exhausts_memory(file, length) {
        return Err(Error::refused("fallocate", libc::ENOMEM, "more than the memory that is available"));
    }
    let too_big = |_| Error::system("fallocate", libc::EFBIG);
    let offset = off64_t::try_from(offset).map_err(too_big)?;
    let length = off64_t::try_from(length).map_err(too_big)?;
    loop {
        // SAFETY: a plain call on a descriptor that `file` keeps open.
        let status = unsafe { fallocate64(file.as_raw_fd(), 0, offset, length) };
        match check("fallocate", status) {
            Err(error) if error.errno() == Some(libc::EINTR) => {}
            result => return result,
        }
    }
}

/// `fcntl(F_PREALLOCATE)`: gives blocks to a range at the end of a file, then sets the file's length.
///
/// # Errors
/// `ENOSPC`, `EFBIG`; `EOPNOTSUPP` where the file system cannot.
#[cfg(target_os = "macos")]
pub fn allocate(file: &File, offset: u64, length: u64) -> Result<()> {
    let too_big = || Error::system("fcntl", libc::EFBIG);
    let mut store = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: i64::try_from(length).map_err(|_| too_big())?,
        fst_bytesalloc: 0,
    };
    // SAFETY: the structure lives until the call returns.
    let status = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &raw mut store) };
    if status == -1 {
        return Err(Error::last("fcntl"));
    }
    let end = offset.checked_add(length).ok_or_else(too_big)?;
    file.set_len(end).map_err(|error| Error::from_io("ftruncate", &error))
}

/// There is no such call here.
///
/// # Errors
/// Always `EOPNOTSUPP`.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn allocate(_file: &File, _offset: u64, _length: u64) -> Result<()> {
    Err(Error::system("fallocate", libc::EOPNOTSUPP))
}

/// What `fstatfs(2)` says of the file system behind `fd`.
#[cfg(target_os = "linux")]
fn file_system(fd: RawFd) -> Option<libc::statfs64> {
    let mut stat = MaybeUninit::<libc::statfs64>::uninit();
    // SAFETY: the call fills the structure or fails.
    let status = unsafe { libc::fstatfs64(fd, stat.as_mut_ptr()) };
    // SAFETY: filled by the successful call.
    (status == 0).then(|| unsafe { stat.assume_init() })
}

/// The block size of the file system behind `fd` if that is hugetlbfs, whose mappings go by huge pages.
#[cfg(target_os = "linux")]
pub fn hugetlbfs_page_size(fd: RawFd) -> Option<usize> {
    let stat = file_system(fd)?;
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)] // the type of f_type differs between platforms
    let is_hugetlbfs = stat.f_type as i64 == libc::HUGETLBFS_MAGIC as i64;
    is_hugetlbfs.then(|| usize::try_from(stat.f_bsize).ok()).flatten()
}

/// Whether so many bytes for a file would be more memory than there is: of a file of memory without a limit (a memfd) the kernel would
/// allocate until it ends processes.
#[cfg(target_os = "linux")]
fn exhausts_memory(file: &File, length: u64) -> bool {
    let Some(stat) = file_system(file.as_raw_fd()) else { return false };
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)] // the type of f_type differs between platforms
    let is_unlimited = stat.f_type as i64 == libc::TMPFS_MAGIC as i64 && stat.f_blocks == 0;
    let available = || Some(memory_figure("MemAvailable:")?.saturating_add(memory_figure("SwapFree:")?));
    is_unlimited && available().is_some_and(|available| u64::try_from(available).is_ok_and(|most| length > most))
}

/// A line of `/proc/meminfo`, in bytes.
#[cfg(target_os = "linux")]
fn memory_figure(name: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// The size in bytes of the huge pages that `MAP_HUGETLB` gives when no size is named.
#[cfg(target_os = "linux")]
pub fn default_huge_page_size() -> Option<usize> {
    memory_figure("Hugepagesize:")
}

/// How many mappings of ours the process can have before the runtime might get none for itself: seven eighths of
/// `vm.max_map_count` on Linux (65530 unless set), without limit elsewhere.
pub fn mapping_limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        text.trim().parse::<usize>().map_or(usize::MAX, |limit| limit.saturating_sub(limit / 8))
    })
}

/// How many mappings the process has (Linux; 0 elsewhere, where there is no limit).
pub fn count_mappings() -> usize {
    std::fs::read("/proc/self/maps").map_or(0, |maps| maps.iter().filter(|byte| **byte == b'\n').count())
}

/// Keeps the library that holds this code in memory until the process ends.
///
/// A worker thread's runtime closes the addons that it opened; the registry, and the finalizers that memory
/// still in use will call, must outlive it.
pub fn keep_library_loaded() {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let here: *const libc::c_void = keep_library_loaded as *const libc::c_void;
    // SAFETY: dladdr fills the structure or returns 0.
    let found = unsafe { libc::dladdr(here, info.as_mut_ptr()) };
    if found == 0 {
        return;
    }
    // SAFETY: all zeroes is a valid Dl_info, and the call filled it.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return;
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the name is the loader's own, of a library that is loaded: this only marks it.
    let _kept = unsafe { libc::dlopen(info.dli_fname, flags) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_refuses_what_is_mapped() {
        let span = map_anonymous(page_size(), MapOptions::default()).unwrap();
        assert_eq!(reserve(span).unwrap_err().errno(), Some(libc::EEXIST));
        // SAFETY: this test's own mapping.
        unsafe { munmap(span) }.unwrap();
    }
}

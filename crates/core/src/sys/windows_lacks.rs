//! What Windows has nothing for, or what this package has not done there: refused, each with its reason.

use std::ffi::CStr;
use std::fs::File;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::types::Wake;
use crate::error::{Error, Result};
use crate::range::Span;

/// Whether the system knows an advice.
pub fn knows_advice(advice: i32) -> bool {
    matches!(advice, libc::MADV_NORMAL | libc::MADV_WILLNEED)
}

/// Writes zeros.
///
/// # Safety
/// The caller owns every page of the range, which is private memory that can be written.
pub unsafe fn clear(span: Span) {
    let start = std::ptr::with_exposed_provenance_mut::<u8>(span.start());
    // SAFETY: the caller's contract.
    unsafe { std::ptr::write_bytes(start, 0, span.len()) };
}

/// There is no limit to the size of files but the disk.
pub fn file_size_limit() -> u64 {
    u64::MAX
}

/// Pages cannot be locked before they are in memory.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn mlock_on_fault(_span: Span) -> Result<()> {
    Err(Error::unavailable("onFault", "Windows locks pages that are in memory, and no others"))
}

/// Nothing is dropped from the cache of files.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn drop_from_page_cache(_file: &File, _offset: u64, _length: u64) -> Result<()> {
    Err(Error::unavailable("pageCache", "Windows drops nothing from its cache of files when asked"))
}

/// There is no `MAP_SYNC`.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn try_sync(_file: &File) -> Result<()> {
    Err(Error::unavailable("mapSync", "only Linux has it"))
}

/// Large pages need a privilege that few processes have.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn prefer_huge_pages(_span: Span) -> Result<()> {
    Err(Error::unavailable("hugePages", "not on Windows"))
}

/// Memory has no names.
pub fn name_memory(_span: Span, _name: &CStr) -> bool {
    false
}

/// There are no files without a name.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn memfd_create(_name: &CStr) -> Result<File> {
    Err(Error::unavailable("memfd", "only Linux has it"))
}

/// There are no seals.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn add_seals(_file: &File, _seals: i32) -> Result<()> {
    Err(Error::unavailable("seal", "only Linux has it"))
}

/// There are no seals.
pub fn seals(_file: &File) -> Option<i32> {
    None
}

/// A file is not opened again by its handle.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn open_again(_file: &File) -> Result<File> {
    Err(Error::unavailable("seal", "only Linux has it"))
}

/// `WaitOnAddress` knows cells of one process only.
fn no_waiting() -> Error {
    Error::unavailable("waiting for a cell", "Windows wakes nobody in another process")
}

/// What deadlines are in: the time since the first call.
pub fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Whether this system can wait.
pub fn has_waiting() -> bool {
    false
}

/// There is no such call here.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn futex_wait(_address: usize, _expected: u32, _deadline: Option<Duration>) -> Result<Wake> {
    Err(no_waiting())
}

/// There is no such call here.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn futex_wake(_address: usize, _count: u32) -> Result<u32> {
    Err(no_waiting())
}

/// There is no such call here.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn futex_compare(_address: usize, _expected: u32) -> Result<bool> {
    Err(no_waiting())
}

/// There is no such call here.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn futex_move(_from: &AtomicU32, _expected: u32, _to: usize) -> Result<bool> {
    Err(no_waiting())
}

/// Whether there is [`futex_wait_two`].
pub fn has_wait_two() -> bool {
    false
}

/// There is no such call here.
///
/// # Errors
/// Always [`Error::Unavailable`].
pub fn futex_wait_two(_interrupt: &AtomicU32, _address: usize, _expected: u32) -> Result<Option<Wake>> {
    Err(no_waiting())
}

/// Sets an interrupt, for which nobody waits.
pub fn futex_interrupt(interrupt: &AtomicU32, value: u32) {
    interrupt.store(value, Ordering::SeqCst);
}

/// There are no signals.
pub fn block_signals() {}

/// The system starts to write when `FlushViewOfFile` is called: there is nothing to add.
pub fn start_writing(_file: &File, _offset: u64, _length: usize) {}

//! Waiting for a 32-bit cell of memory, in any process: `futex(2)`; on macOS `os_sync_wait_on_address(3)`.
//!
//! The kernel knows a cell of shared memory by its file and its place in it, and one of private memory by the process and
//! its address: none of these calls needs the memory to be there, nor is an address that is not mapped more than an `EFAULT`.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::types::Wake;
use crate::error::{Error, Result};

/// `clock_gettime(CLOCK_MONOTONIC)`: what deadlines are in.
pub fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::{
    futex_compare, futex_interrupt, futex_move, futex_wait, futex_wait_two, futex_wake, has_wait_two, has_waiting,
};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::sync::OnceLock;

    use super::{AtomicU32, Duration, Error, Result, Wake};

    /// `struct futex_waitv`.
    #[repr(C)]
    struct Waiter {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }

    const FUTEX_32: u32 = 2;
    const NOBODY: *const libc::timespec = std::ptr::null();

    fn pointer(address: usize) -> *mut u32 {
        std::ptr::with_exposed_provenance_mut(address)
    }

    fn timespec(time: Duration) -> libc::timespec {
        // Longer is for ever.
        #[allow(clippy::useless_conversion)] // the type differs between platforms
        let tv_sec = i32::try_from(time.as_secs()).unwrap_or(i32::MAX).into();
        #[allow(clippy::unnecessary_fallible_conversions)] // the type differs between platforms
        let tv_nsec = libc::c_long::try_from(time.subsec_nanos()).unwrap_or(0);
        libc::timespec { tv_sec, tv_nsec }
    }

    fn ended(status: libc::c_long) -> Result<Wake> {
        if status >= 0 {
            return Ok(Wake::Woken);
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EAGAIN) => Ok(Wake::NotEqual),
            Some(libc::ETIMEDOUT) => Ok(Wake::TimedOut),
            Some(libc::EINTR) => Ok(Wake::Signal),
            _ => Err(Error::last("futex")),
        }
    }

    /// Whether this system can wait.
    pub fn has_waiting() -> bool {
        true
    }

    /// `FUTEX_WAIT_BITSET`: waits until `deadline` as long as the cell has this value.
    ///
    /// # Errors
    /// `EFAULT` for an address without memory; `EINVAL` for one that is no multiple of 4.
    pub fn futex_wait(address: usize, expected: u32, deadline: Option<Duration>) -> Result<Wake> {
        let time = deadline.map(timespec);
        let time = time.as_ref().map_or(NOBODY, std::ptr::from_ref);
        let nobody: *const u32 = std::ptr::null();
        let (call, any) = (libc::FUTEX_WAIT_BITSET, libc::FUTEX_BITSET_MATCH_ANY);
        // SAFETY: the kernel reads the cell and the time, which lives until the call returns, and writes nothing.
        ended(unsafe { libc::syscall(libc::SYS_futex, pointer(address), call, expected, time, nobody, any) })
    }

    /// `FUTEX_WAKE`: wakes up to `count` waits, at least one, and returns how many.
    ///
    /// # Errors
    /// `EFAULT` for an address without memory that can be written.
    pub fn futex_wake(address: usize, count: u32) -> Result<u32> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        // SAFETY: the kernel reads and writes no memory of ours.
        let woken = unsafe { libc::syscall(libc::SYS_futex, pointer(address), libc::FUTEX_WAKE, count) };
        u32::try_from(woken).map_err(|_| Error::last("futex"))
    }

    /// `FUTEX_CMP_REQUEUE` of nobody: whether the cell has this value. Unlike an access it does not fault.
    ///
    /// # Errors
    /// `EFAULT` for an address without memory.
    pub fn futex_compare(address: usize, expected: u32) -> Result<bool> {
        requeue(address, expected, address, 0).map(|moved| moved.is_some())
    }

    /// `FUTEX_CMP_REQUEUE`: makes a wait for `from`, which has the value `expected`, one for `to`. Returns whether there was one.
    ///
    /// # Errors
    /// `EFAULT` for an address without memory.
    pub fn futex_move(from: &AtomicU32, expected: u32, to: usize) -> Result<bool> {
        let moved = requeue(from.as_ptr().expose_provenance(), expected, to, 1)?;
        Ok(moved.is_some_and(|count| count > 0))
    }

    /// `None` if the cell had another value.
    fn requeue(from: usize, expected: u32, to: usize, count: libc::c_ulong) -> Result<Option<libc::c_long>> {
        let (call, nobody) = (libc::FUTEX_CMP_REQUEUE, 0);
        // SAFETY: the kernel reads the cell, and writes nothing.
        let moved =
            unsafe { libc::syscall(libc::SYS_futex, pointer(from), call, nobody, count, pointer(to), expected) };
        match std::io::Error::last_os_error().raw_os_error() {
            _ if moved >= 0 => Ok(Some(moved)),
            Some(libc::EAGAIN) => Ok(None),
            _ => Err(Error::last("futex")),
        }
    }

    /// Whether the kernel has [`futex_wait_two`] (Linux 5.16).
    pub fn has_wait_two() -> bool {
        static ANSWER: OnceLock<bool> = OnceLock::new();
        *ANSWER.get_or_init(|| {
            let nobody: *const Waiter = std::ptr::null();
            // SAFETY: no waiters: the call is EINVAL where there is such a call.
            let status = unsafe { libc::syscall(libc::SYS_futex_waitv, nobody, 0, 0, NOBODY, libc::CLOCK_MONOTONIC) };
            status < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
        })
    }

    /// `futex_waitv(2)`: waits as long as `interrupt` is 0 and the cell has this value. [`Wake::Woken`] is said of the cell, and
    /// `Ok(None)` if it was only the interrupt.
    ///
    /// # Errors
    /// `EFAULT` for an address without memory; `ENOSYS`.
    pub fn futex_wait_two(interrupt: &AtomicU32, address: usize, expected: u32) -> Result<Option<Wake>> {
        let waiter = |address: usize, value: u32, flags: u32| Waiter {
            value: u64::from(value),
            address: u64::try_from(address).unwrap_or(0),
            flags,
            reserved: 0,
        };
        let private = FUTEX_32 | libc::FUTEX_PRIVATE_FLAG.cast_unsigned();
        // The cell last: of two that were woken, the kernel names the last.
        let waiters = [waiter(interrupt.as_ptr().expose_provenance(), 0, private), waiter(address, expected, FUTEX_32)];
        // SAFETY: the kernel reads the array and the two cells, and writes nothing.
        let index = unsafe {
            libc::syscall(libc::SYS_futex_waitv, waiters.as_ptr(), waiters.len(), 0, NOBODY, libc::CLOCK_MONOTONIC)
        };
        if index == 0 {
            return Ok(None);
        }
        ended(index).map(Some)
    }

    /// Sets an interrupt and wakes the wait for it.
    pub fn futex_interrupt(interrupt: &AtomicU32, value: u32) {
        interrupt.store(value, std::sync::atomic::Ordering::SeqCst);
        let call = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the kernel reads and writes no memory of ours.
        unsafe { libc::syscall(libc::SYS_futex, interrupt.as_ptr(), call, 1) };
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use elsewhere::{
    futex_compare, futex_interrupt, futex_move, futex_wait, futex_wait_two, futex_wake, has_wait_two, has_waiting,
};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod elsewhere {
    use std::ffi::CStr;
    use std::sync::atomic::Ordering;
    use std::sync::OnceLock;

    use super::{monotonic, AtomicU32, Duration, Error, Result, Wake};

    type WaitUntil = unsafe extern "C" fn(*mut libc::c_void, u64, usize, u32, u32, u64) -> libc::c_int;
    type WakeOne = unsafe extern "C" fn(*mut libc::c_void, usize, u32) -> libc::c_int;

    const SHARED: u32 = 1;
    const OS_CLOCK_MACH_ABSOLUTE_TIME: u32 = 32;
    const CELL: usize = 4;
    /// What is no deadline ends all the same, so long that nobody minds.
    const FOREVER: Duration = Duration::from_secs(3600);

    fn look_up(name: &CStr) -> Option<*mut libc::c_void> {
        if !cfg!(target_os = "macos") {
            return None;
        }
        // SAFETY: a look-up by name among the symbols that are loaded.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!symbol.is_null()).then_some(symbol)
    }

    /// macOS 14.4.
    fn calls() -> Option<(WaitUntil, WakeOne)> {
        static CALLS: OnceLock<Option<(WaitUntil, WakeOne)>> = OnceLock::new();
        *CALLS.get_or_init(|| {
            let wait = look_up(c"os_sync_wait_on_address_with_timeout")?;
            let wake = look_up(c"os_sync_wake_by_address_any")?;
            // SAFETY: <os/os_sync_wait_on_address.h> declares it so.
            let wait = unsafe { std::mem::transmute::<*mut libc::c_void, WaitUntil>(wait) };
            // SAFETY: as above.
            let wake = unsafe { std::mem::transmute::<*mut libc::c_void, WakeOne>(wake) };
            Some((wait, wake))
        })
    }

    fn pointer(address: usize) -> *mut libc::c_void {
        std::ptr::with_exposed_provenance_mut(address)
    }

    fn missing() -> Error {
        Error::system("os_sync_wait_on_address", libc::ENOSYS)
    }

    /// Whether this system can wait.
    pub fn has_waiting() -> bool {
        calls().is_some()
    }

    /// `os_sync_wait_on_address_with_timeout(3)`.
    ///
    /// # Errors
    /// `EFAULT`, `EINVAL`, `ENOMEM`; `ENOSYS`.
    pub fn futex_wait(address: usize, expected: u32, deadline: Option<Duration>) -> Result<Wake> {
        let (wait, _) = calls().ok_or_else(missing)?;
        // The call does not say whether it waited.
        if !futex_compare(address, expected)? {
            return Ok(Wake::NotEqual);
        }
        let left = deadline.map_or(FOREVER, |deadline| deadline.saturating_sub(monotonic()));
        let nanoseconds = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX).max(1);
        let (value, clock) = (u64::from(expected), OS_CLOCK_MACH_ABSOLUTE_TIME);
        // SAFETY: the kernel reads the cell, and writes nothing.
        let status = unsafe { wait(pointer(address), value, CELL, SHARED, clock, nanoseconds) };
        if status >= 0 {
            return Ok(Wake::Woken);
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::ETIMEDOUT) => Ok(Wake::TimedOut),
            Some(libc::EINTR) => Ok(Wake::Signal),
            _ => Err(Error::last("os_sync_wait_on_address")),
        }
    }

    /// `os_sync_wake_by_address_any(3)`, until nobody waits or `count` are woken.
    ///
    /// # Errors
    /// `EINVAL`; `ENOSYS`.
    pub fn futex_wake(address: usize, count: u32) -> Result<u32> {
        let (_, wake) = calls().ok_or_else(missing)?;
        let mut woken = 0_u32;
        while woken < count {
            // SAFETY: the kernel reads and writes no memory of ours.
            if unsafe { wake(pointer(address), CELL, SHARED) } != 0 {
                match std::io::Error::last_os_error().raw_os_error() {
                    Some(libc::ENOENT) => break,
                    _ => return Err(Error::last("os_sync_wake_by_address")),
                }
            }
            woken = woken.saturating_add(1);
        }
        Ok(woken)
    }

    /// Whether the cell has this value. The caller has it pinned, and a fault of its page is made good.
    ///
    /// # Errors
    /// None here.
    pub fn futex_compare(address: usize, expected: u32) -> Result<bool> {
        // SAFETY: mapped and aligned, and only accessed atomically here.
        let cell = unsafe { AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(address)) };
        Ok(cell.load(Ordering::SeqCst) == expected)
    }

    /// There is no such call here.
    ///
    /// # Errors
    /// Always `ENOSYS`.
    pub fn futex_move(_from: &AtomicU32, _expected: u32, _to: usize) -> Result<bool> {
        Err(missing())
    }

    /// Whether there is [`futex_wait_two`]: no.
    pub fn has_wait_two() -> bool {
        false
    }

    /// There is no such call here.
    ///
    /// # Errors
    /// Always `ENOSYS`.
    pub fn futex_wait_two(_interrupt: &AtomicU32, _address: usize, _expected: u32) -> Result<Option<Wake>> {
        Err(missing())
    }

    /// Sets an interrupt. Who waits looks at it now and then.
    pub fn futex_interrupt(interrupt: &AtomicU32, value: u32) {
        interrupt.store(value, Ordering::SeqCst);
    }
}

/// Blocks all signals for this thread but those of its own faults: others are for threads of the runtime.
pub fn block_signals() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call fills the set.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    for signal in [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
        // SAFETY: filled above.
        unsafe { libc::sigdelset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: the set is filled; only this thread's mask is changed.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) };
}
